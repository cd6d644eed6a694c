"""Say yes or no now: a batch becomes tickets, ids become receipts, a device gets its push token."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

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
from expo_gateway.protocol.magic import OTHER_PROJECT, is_busy, magic_device, magic_of, names_other_project
from expo_gateway.protocol.message import SendRequest
from expo_gateway.protocol.push_token import PUSH_TOKEN_RANDOM_BYTES, is_well_formed, passes_sdk_check, push_token
from expo_gateway.protocol.receipt import shown
from expo_gateway.protocol.ticket import (
    BATCH_RANDOM_BYTES,
    BatchId,
    TicketError,
    accepted_at,
    batch_id,
    not_a_push_token,
    not_a_recipient,
    parse_ticket_ids,
)
from expo_gateway.recipients import Recipients, recipients_of, refuse_mixed_projects
from expo_gateway.registry.base import Registry

log = logging.getLogger(__name__)

MAX_RECEIPT_IDS = 1000  # recorded: PUSH_TOO_MANY_RECEIPTS
RECEIPTS_KEPT_S = 24 * 3600.0  # https://docs.expo.dev/push-notifications/sending-notifications/#push-receipts


class TokenPolicy(Struct, frozen=True, kw_only=True):
    """What becomes of push tokens and projects that nobody registered.

    Enrolled: whatever passes the Node SDK's check becomes a virtual device of `project`, on `platform` (None: half
    iPhones, half Android phones). Refused: as exp.host does; so are always those that come in one request with a device
    of a real project. Unknown projects are made, or refused.
    """

    project: Project
    platform: Platform | None = None
    strict: bool | None = None
    """True: push tokens are refused. False: they are enrolled. None: they are enrolled while no project is real."""
    magic: bool = True
    """Whether magic push tokens get their outcomes when they are enrolled, or are as good as any."""
    captures: bool = False
    """Real projects send to named devices only: what nobody registered is enrolled beside them, and captured."""

    def refuses_tokens(self, *, has_real: bool) -> bool:
        return has_real and not self.captures if self.strict is None else self.strict

    def is_guess(self, device: Device) -> bool:
        """What was enrolled because somebody sent to it was never registered. Made with a project of its own it was."""
        return device.virtual and (device.project in (self.project, OTHER_PROJECT) or _is_stray(device))

    def refuses_projects(self, *, has_real: bool) -> bool:
        """With emulated projects only, a phone's own projectId is as good as any, also where tokens are refused."""
        return has_real and self.strict is not False


class Tickets(Struct, frozen=True, kw_only=True):
    """The answer to a batch: at each place an error, or None where the ticket is ok."""

    batch_id: BatchId
    refused: Sequence[TicketError | None]


class TicketObserver(Protocol):
    """Who watches what is accepted and refused."""

    def accepted(
        self,
        batch_id: BatchId,
        *,
        request: SendRequest,
        body: bytes,
        devices: Mapping[str, Device],
        refused: Sequence[TicketError | None],
    ) -> None:
        """The tickets of a batch, which is durable by now unless all are refused. Does not raise or take long."""
        ...


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
        wake: Callable[[str], None],
        admission: Admission | None = None,
        refresh: Callable[[], Awaitable[None]] | None = None,
        receipts_need_token: bool = False,
        observer: TicketObserver | None = None,
    ) -> None:
        """`wake` hears of every batch that was accepted, by its project. `refresh` brings `admission` up to date; it is
        awaited for a project that `admission` does not know yet.

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
        self._observer = observer
        self.counts = TicketCounts()

    async def accept(self, request: SendRequest, *, body: bytes, bearer: str | None = None) -> Tickets:
        """Take a batch in. When this returns, every ticket that is ok is durable and will be tried.

        `body` is what the request was decoded from; it is stored as it is. `bearer` is the access token that came with
        it. Raises RequestRefused when the batch as a whole is refused, StoreUnavailable when it can't be kept; nothing
        is accepted then.
        """
        tokens = request.tokens
        known = await self._registry.devices(tokens)
        recipients = recipients_of(known.values())
        devices, newcomers = self._sort_out(tokens, known, recipients)
        everyone = [*devices.values(), *newcomers]
        if newcomers or devices is not known:
            recipients = recipients_of(everyone)
        if not recipients.are_of_one_project:
            with_virtual = self._policy.magic and names_other_project(tokens)
            refuse_mixed_projects(tokens, everyone, with_virtual=with_virtual)
        await self._admit(everyone, recipients, count=len(tokens), bearer=bearer)
        if newcomers:
            devices = {**devices, **await self._registry.enrol(newcomers)}
            recipients = recipients_of(devices.values())
            _refuse_busy(newcomers)
        refused = self._refusals(tokens, devices, recipients)
        batch = batch_id(now=self._clock(), random_bytes=self._random_bytes(BATCH_RANDOM_BYTES))
        errors = [error.error for error in refused if error is not None]
        if len(errors) < len(tokens):
            project_id = devices[tokens[refused.index(None)]].project.project_id
            await self._outbox.add(
                NewBatch(
                    batch_id=batch,
                    project_id=project_id,
                    body=body,
                    places=len(tokens),
                    refused=[place for place, error in enumerate(refused) if error is not None] if errors else (),
                )
            )
            self._wake(project_id)
            if log.isEnabledFor(logging.DEBUG):
                project = devices[tokens[refused.index(None)]].project
                log.debug("accepted", extra=_accepted_fields(batch, project, refused))
        if self._observer is not None:
            self._observer.accepted(batch, request=request, body=body, devices=devices, refused=refused)
        self.counts.add(errors, places=len(tokens))
        return Tickets(batch_id=batch, refused=refused)

    async def _admit(
        self, devices: Sequence[Device], recipients: Recipients, *, count: int, bearer: str | None
    ) -> None:
        """Who sends, then how much: a caller that may not send uses up nothing of the project's rate."""
        if not devices:
            return
        project = recipients.projects[0] if len(recipients.projects) == 1 else _sender(devices).project
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
        now, delay_s = self._clock(), self._admission.limits.receipt_delay_s
        if delay_s:
            ticket_ids = _accepted_before(now - delay_s, ticket_ids)
        return shown(await self._outbox.receipts(ticket_ids, not_before=now - RECEIPTS_KEPT_S), now=now)

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

    def _sort_out(
        self, tokens: Sequence[str], known: Mapping[str, Device], recipients: Recipients
    ) -> tuple[Mapping[str, Device], Sequence[Device]]:
        """The devices of a batch; and those that are to be enrolled, once the batch is admitted."""
        if self._keeps_apart(recipients):
            if not recipients.has_virtual:
                return known, ()
            return {token: device for token, device in known.items() if not device.virtual}, ()
        if self._policy.refuses_tokens(has_real=self._admission.has_real):
            return {token: device for token, device in known.items() if not self._policy.is_guess(device)}, ()
        if len(known) == len(tokens):
            return known, ()
        unknown = [token for token in dict.fromkeys(tokens) if token not in known and passes_sdk_check(token)]
        return known, [self._virtual(token) for token in unknown]

    def _keeps_apart(self, recipients: Recipients) -> bool:
        """Whether virtual devices have no business in this request."""
        return not self._policy.captures and recipients.is_any_real

    def _virtual(self, token: str) -> Device:
        project, platform, now = self._policy.project, self._policy.platform, self._clock()
        magic = magic_of(token) if self._policy.magic else None
        if magic is not None:
            return magic_device(token, magic, project=project, platform=platform, now=now)
        return virtual_device(token, project=project, platform=platform, now=now)

    def _refusals(
        self, tokens: Sequence[str], devices: Mapping[str, Device], recipients: Recipients
    ) -> list[TicketError | None]:
        """At each place an error, or None where the ticket is ok."""
        is_any_real, keeps_apart = recipients.is_any_real, self._keeps_apart(recipients)
        lacks = is_any_real and any(self._admission.missing_credentials(device) for device in recipients.apps)
        all_reachable = devices.keys() >= set(tokens) and not recipients.has_gone
        are_alike = recipients.are_of_one_project and not (recipients.has_virtual and is_any_real)
        if all_reachable and are_alike and not lacks:
            return [None] * len(tokens)
        refused: list[TicketError | None] = []
        for token in tokens:
            device = devices.get(token)
            if device is None or device.gone_at is not None or (keeps_apart and _is_stray(device)):
                refused.append(_not_reachable(token, device))
            elif is_any_real:
                refused.append(self._admission.missing_credentials(device))
            else:
                refused.append(None)
        return refused


def _is_stray(device: Device) -> bool:
    """It was enrolled before its project became real: no real provider knows it."""
    return device.virtual and device.project.kind is ProjectKind.REAL


def _not_reachable(token: str, device: Device | None) -> TicketError:
    """A device that the provider called dead had a receipt that said so at the first send; later ones have this."""
    return not_a_recipient(token) if device is not None or is_well_formed(token) else not_a_push_token(token)


def _accepted_before(instant: float, ticket_ids: Sequence[str]) -> list[str]:
    """Or at that instant. Malformed ids go too."""
    placed = parse_ticket_ids(ticket_ids)
    return [ticket for ticket, (batch, _) in placed.items() if accepted_at(batch) <= instant]


def _sender(devices: Collection[Device]) -> Device:
    """The device whose project sends. Virtual devices go with any."""
    return next((device for device in devices if not device.virtual), next(iter(devices)))


def _accepted_fields(batch: BatchId, project: Project, refused: Sequence[TicketError | None]) -> Mapping[str, object]:
    """Of the log line; the request's id comes with the task."""
    count = sum(error is None for error in refused)
    return {"batch_id": batch.hex(), "project": project.full_name, "count": count, "refused": len(refused) - count}


def _no_such_project(*, project_id: str | None, full_name: str | None) -> RequestRefused:
    """The code is that of a public app's source; status and text are assumed: all errors seen of this call are 400."""
    wanted = f"id {project_id}" if project_id is not None else f"name {full_name}"
    return RequestRefused("EXPERIENCE_NOT_FOUND", f"There is no project with the {wanted}.")


def _refuse_busy(newcomers: Sequence[Device]) -> None:
    """A busy device's first request is the one that enrols it, in whatever process."""
    if any(is_busy(device) for device in newcomers):
        raise RequestRefused(
            "TOO_MANY_REQUESTS",
            "Exceeded 600 notifications per second, please try again.",
            status=429,
            is_transient=True,
            retry_after_s=1,
        )
