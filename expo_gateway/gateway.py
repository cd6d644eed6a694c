"""Say yes or no now: a batch becomes tickets, ids become receipts, a device gets its push token."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from expo_gateway.admission.desk import Admission
from expo_gateway.errors import RequestRefused
from expo_gateway.metrics import TicketCounts
from expo_gateway.outbox.base import NewBatch, Outbox
from expo_gateway.protocol.device import (
    Device,
    Platform,
    Project,
    ProjectKind,
    Registration,
    made_for,
    project_id_of,
    virtual_device,
)
from expo_gateway.protocol.message import SendRequest
from expo_gateway.protocol.push_token import PUSH_TOKEN_RANDOM_BYTES, is_well_formed, passes_sdk_check, push_token
from expo_gateway.protocol.ticket import (
    BATCH_RANDOM_BYTES,
    BatchId,
    TicketError,
    batch_id,
    not_a_push_token,
    not_a_recipient,
)
from expo_gateway.registry.base import Registry

log = logging.getLogger(__name__)

MAX_RECEIPT_IDS = 1000  # recorded: PUSH_TOO_MANY_RECEIPTS
RECEIPTS_KEPT_S = 24 * 3600.0  # https://docs.expo.dev/push-notifications/sending-notifications/#push-receipts


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    """What becomes of push tokens and projects that nobody registered.

    Enrolled: whatever passes the Node SDK's check becomes a virtual device of `project`, on `platform` (None: half
    iPhones, half Android phones). Refused: as exp.host does; so are always those that come in one request with a device
    of a real project. Unknown projects are made, or refused.
    """

    project: Project
    platform: Platform | None = None
    strict: bool | None = None
    """True: push tokens are refused. False: they are enrolled. None: they are enrolled while no project is real."""

    def refuses_tokens(self, *, has_real: bool) -> bool:
        return has_real if self.strict is None else self.strict

    def refuses_projects(self, *, has_real: bool) -> bool:
        """With emulated projects only, a phone's own projectId is as good as any, also where tokens are refused."""
        return has_real and self.strict is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tickets:
    """The answer to a batch: at each place an error, or None where the ticket is ok."""

    batch_id: BatchId
    refused: Sequence[TicketError | None]


class Gateway:
    """What every door leads to."""

    def __init__(
        self,
        *,
        registry: Registry,
        outbox: Outbox,
        policy: TokenPolicy,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        wake: Callable[[], None],
        admission: Admission | None = None,
        refresh: Callable[[], Awaitable[None]] | None = None,
        receipts_need_token: bool = False,
    ) -> None:
        """`refresh` brings `admission` up to date; it is awaited for a project that `admission` does not know yet.

        Without an admission nothing is configured. `receipts_need_token`: see `receipts`.
        """
        self._admission = admission if admission is not None else Admission()
        self._refresh = refresh
        self._receipts_need_token = receipts_need_token
        self._registry = registry
        self._outbox = outbox
        self._policy = policy
        self._clock = clock
        self._random_bytes = random_bytes
        self._wake = wake
        self.counts = TicketCounts()

    async def accept(self, request: SendRequest, *, body: bytes, bearer: str | None = None) -> Tickets:
        """Take a batch in. When this returns, every ticket that is ok is durable and will be tried.

        `body` is what the request was decoded from; it is stored as it is. `bearer` is the access token that came with
        it. Raises RequestRefused when the batch as a whole is refused, StoreUnavailable when it can't be kept; nothing
        is accepted then.
        """
        tokens = [token for _, token in request.recipients()]
        devices, newcomers = await self._devices(tokens)
        _refuse_mixed_projects(tokens, devices)
        await self._admit([*devices.values(), *newcomers], count=len(tokens), bearer=bearer)
        if newcomers:
            devices = {**devices, **await self._registry.enrol(newcomers)}
        refused = [self._refusal(token, devices.get(token)) for token in tokens]
        batch = batch_id(now=self._clock(), random_bytes=self._random_bytes(BATCH_RANDOM_BYTES))
        accepted = next((token for token, error in zip(tokens, refused, strict=True) if error is None), None)
        if accepted is not None:
            await self._outbox.add(
                NewBatch(
                    batch_id=batch,
                    project_id=devices[accepted].project.project_id,
                    body=body,
                    places=len(tokens),
                    refused=[place for place, error in enumerate(refused) if error is not None],
                )
            )
            self._wake()
            if log.isEnabledFor(logging.DEBUG):
                log.debug("accepted", extra=_accepted_fields(batch, devices[accepted].project, refused))
        self.counts.add([error.error for error in refused if error is not None], places=len(tokens))
        return Tickets(batch_id=batch, refused=refused)

    async def _admit(self, devices: Sequence[Device], *, count: int, bearer: str | None) -> None:
        """Who sends, then how much: a caller that may not send uses up nothing of the project's rate."""
        if not devices:
            return
        project = min(devices, key=lambda device: device.virtual).project
        if project.kind is ProjectKind.REAL and self._refresh is not None and not self._admission.knows(project):
            await self._refresh()
        self._admission.check_bearer(project.project_id, bearer)
        self._admission.take_rate(project.project_id, count=count, now=self._clock())

    async def receipts(self, ticket_ids: Sequence[str], *, bearer: str | None = None) -> Mapping[str, bytes]:
        """Receipt JSON by ticket id, in the order asked; ids without a receipt are left out.

        The access token of a project is not asked for, unless `receipts_need_token`: the Python SDK's check_receipts
        and several other SDKs never send it, and a ticket id can't be guessed. RequestRefused as for `accept`.
        """
        if len(ticket_ids) > MAX_RECEIPT_IDS:
            raise RequestRefused(
                "PUSH_TOO_MANY_RECEIPTS",
                f"You can request a maximum of {MAX_RECEIPT_IDS} receipts per request (received {len(ticket_ids)}); "
                "divide your requests.",
            )
        if self._receipts_need_token:
            for project_id in await self._outbox.project_ids(ticket_ids):
                self._admission.check_bearer(project_id, bearer)
        return await self._outbox.receipts(ticket_ids, not_before=self._clock() - RECEIPTS_KEPT_S)

    async def register(self, registration: Registration) -> str:
        """The push token of a device: a new one, or the one that it has."""
        device = await self._registry.register(
            registration, push_token=push_token(self._random_bytes(PUSH_TOKEN_RANDOM_BYTES)), now=self._clock()
        )
        return device.push_token

    async def update_device_token(
        self, *, device_id: str, app_id: str, device_token: str, platform: Platform, sandbox: bool
    ) -> int:
        """A rotated device token. Returns how many push tokens the device holds; 0: it never registered."""
        return await self._registry.update_device_token(
            device_id=device_id,
            app_id=app_id,
            device_token=device_token,
            platform=platform.value,
            sandbox=sandbox,
            now=self._clock(),
        )

    async def project(self, *, project_id: str | None = None, full_name: str | None = None) -> Project:
        """The project of this id, or else of this name.

        An unknown one is made: the phone knows its id, not we. RequestRefused where real projects are, and the policy
        does not say otherwise: its phones would seem to be registered and nothing would ever reach them.
        """
        if project_id is not None:
            known = await self._registry.project(project_id=project_id.lower())
        else:
            known = await self._registry.project_named(full_name or "")
        if known is not None:
            return known
        if self._policy.refuses_projects(has_real=self._admission.has_real):
            raise _no_such_project(project_id=project_id, full_name=full_name)
        if project_id is not None:
            return await self._registry.add_project(made_for(project_id.lower()))
        name = full_name or ""
        return await self._registry.add_project(Project(project_id=project_id_of(name), full_name=name))

    async def _devices(self, tokens: Sequence[str]) -> tuple[Mapping[str, Device], Sequence[Device]]:
        """The devices of a batch, by one look-up; and those that are to be enrolled, once the batch is admitted."""
        wanted = [token for token in dict.fromkeys(tokens) if passes_sdk_check(token)]
        if not wanted:
            return {}, ()
        known = await self._registry.devices(wanted)
        if self._policy.refuses_tokens(has_real=self._admission.has_real) or _is_any_real(known):
            # What was ever enrolled was never registered.
            return {token: device for token, device in known.items() if not device.virtual}, ()
        if len(known) == len(wanted):
            return known, ()
        return known, [self._virtual(token) for token in wanted if token not in known]

    def _virtual(self, token: str) -> Device:
        return virtual_device(token, project=self._policy.project, platform=self._policy.platform, now=self._clock())

    def _refusal(self, token: str, device: Device | None) -> TicketError | None:
        if device is not None:
            # The provider called it dead: the first send had a receipt that said so, later ones have this ticket.
            # A virtual device was enrolled before its project became real: no real provider knows it.
            is_stray = device.virtual and device.project.kind is ProjectKind.REAL
            if device.gone_at is not None or is_stray:
                return not_a_recipient(token)
            return self._admission.missing_credentials(device)
        return not_a_recipient(token) if is_well_formed(token) else not_a_push_token(token)


def _accepted_fields(batch: BatchId, project: Project, refused: Sequence[TicketError | None]) -> Mapping[str, object]:
    """Of the log line; the request's id comes with the task."""
    count = sum(error is None for error in refused)
    return {"batch_id": batch.hex(), "project": project.full_name, "count": count, "refused": len(refused) - count}


def _is_any_real(devices: Mapping[str, Device]) -> bool:
    """Then a push token that nobody registered is just unknown: real and virtual devices are never mixed."""
    return any(device.project.kind is ProjectKind.REAL for device in devices.values())


def _no_such_project(*, project_id: str | None, full_name: str | None) -> RequestRefused:
    """The code is that of a public app's source; status and text are assumed: all errors seen of this call are 400."""
    wanted = f"id {project_id}" if project_id is not None else f"name {full_name}"
    return RequestRefused("EXPERIENCE_NOT_FOUND", f"There is no project with the {wanted}.")


def _refuse_mixed_projects(tokens: Sequence[str], devices: Mapping[str, Device]) -> None:
    """All recipients of a request must be of one project; the answer tells which are of which.

    Virtual devices go with any: nobody said whose they are.
    """
    by_project: dict[str, list[str]] = {}
    for token in dict.fromkeys(tokens):
        if token in devices and not devices[token].virtual:
            by_project.setdefault(devices[token].project.full_name, []).append(token)
    if len(by_project) > 1:
        raise RequestRefused(
            "PUSH_TOO_MANY_EXPERIENCE_IDS",
            "All push notification messages in the same request must be for the same project; "
            "check the details field to investigate conflicting tokens.",
            details=by_project,
        )
