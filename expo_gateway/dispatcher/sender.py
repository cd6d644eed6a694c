"""One attempt of one delivery: build the request, hand it to the provider, draw the conclusions.

The conclusions are a receipt or a later attempt for the delivery itself, and whatever the outcome means for others:
a dead device goes to the registry, a project pauses, a credential's breaker opens.
"""

import logging
from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from expo_gateway.dispatcher.decision import Again, Final, Window, decide, delivered, is_over, lapsed, window
from expo_gateway.dispatcher.holds import Holds, Key, Pause
from expo_gateway.dispatcher.observer import DeliveryObserver, HeldBy
from expo_gateway.errors import StoreUnavailable
from expo_gateway.metrics import DeliveryCounts
from expo_gateway.protocol.apns import ApnsRequest, build_apns_request
from expo_gateway.protocol.device import Device, Platform
from expo_gateway.protocol.fcm import FcmRequest, build_fcm_request
from expo_gateway.protocol.local import LocalRequest, build_local_request
from expo_gateway.protocol.message import MAX_DATA_BYTES, PushMessage
from expo_gateway.protocol.push_token import redacted
from expo_gateway.protocol.receipt import expo_error, too_big
from expo_gateway.providers.base import Accepted, Outcome, Provider, Rejected, Scope, Uncertain, Unsent
from expo_gateway.registry.base import Registry

log = logging.getLogger(__name__)

PROVIDERS = {Platform.IOS: "apns", Platform.ANDROID: "fcm", Platform.LOCAL: "local"}
OUTCOMES: Mapping[type[Outcome], str] = {
    Accepted: "accepted",
    Rejected: "rejected",
    Unsent: "unsent",
    Uncertain: "uncertain",
}
"""Both as they are called in metrics."""


class ProjectProviders(msgspec.Struct, frozen=True, kw_only=True):
    """What a project is sent through. None: it has no credentials for that platform."""

    apns: Provider[ApnsRequest] | None
    fcm: Provider[FcmRequest] | None
    captures: bool = False
    """It stands in for a real project's own: what goes wrong here says nothing of that project's credentials."""


# A Struct, because every delivery has one: see Window.
class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One place of a batch, ready to be tried."""

    ticket_id: str
    message: PushMessage
    device: Device
    accepted_at: float
    attempts: int
    """How often it was tried so far."""

    @property
    def key(self) -> Key:
        return device_key(self.device)


def credential_key(project_id: str, platform: Platform, *, sandbox: bool) -> Key:
    """Development builds are on their own: Apple's environments have each their credential, and their troubles."""
    return f"{project_id}/sandbox" if sandbox and platform is Platform.IOS else project_id, platform


def device_key(device: Device) -> Key:
    """Of the credential that the device is reached with. A local device is its own: it waits for no other phone."""
    if device.platform is Platform.LOCAL:
        return device.device_token, device.platform
    return credential_key(device.project.project_id, device.platform, sandbox=device.sandbox)


NO_PROVIDERS = ProjectProviders(apns=None, fcm=None)


class Sender:
    """Tries deliveries. Holds are per credential, so that one dead provider harms no other."""

    def __init__(
        self,
        *,
        providers: Callable[[Device], ProjectProviders],
        registry: Registry,
        holds: Holds,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        retry_budget_s: float,
        observer: DeliveryObserver | None = None,
        local: Provider[LocalRequest] | None = None,
    ) -> None:
        """`local`: who reaches local devices, whatever their project; None: nobody."""
        self._providers = providers
        self._local = local
        self._registry = registry
        self._holds = holds
        self._clock = clock
        self._jitter = jitter
        self._retry_budget_s = retry_budget_s
        self.observer = observer
        self.counts = DeliveryCounts()

    async def attempt(self, delivery: Delivery) -> tuple[Final | Again, int]:
        """Try once, unless something holds it back. Returns what follows, and the attempts made by now.

        Our own mistake must not take the batch down: it is a receipt like any other, and a log line.
        """
        try:
            return await self._attempt(delivery)
        except Exception:
            log.exception("delivery %s failed inside the gateway", delivery.ticket_id)
            receipt = expo_error("The notification could not be processed.").to_json(sent_at=self._clock())
            return Final(receipt=receipt), delivery.attempts + 1

    async def _attempt(self, delivery: Delivery) -> tuple[Final | Again, int]:
        is_local = delivery.device.platform is Platform.LOCAL
        providers, began_at = NO_PROVIDERS if is_local else self._providers(delivery.device), self._clock()
        key = delivery.key if not providers.captures else _captured(delivery.key)
        span = window(_with_life(delivery), accepted_at=delivery.accepted_at, budget_s=self._retry_budget_s)
        held = self._held(delivery, span, key, now=began_at)
        if held is not None:
            return held, delivery.attempts
        outcome = await self._through_provider(delivery, providers, now=began_at)
        self._count(delivery, outcome, took_s=self._clock() - began_at)
        if self.observer is not None:
            self.observer.attempt_ended(delivery.ticket_id, n=delivery.attempts + 1, outcome=outcome)
        if isinstance(outcome, Accepted):
            self._holds.credential_works(key)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("delivery %s to %s: ok", delivery.ticket_id, redacted(delivery.device.push_token))
            return delivered(outcome, accepted_at=delivery.accepted_at), delivery.attempts + 1
        return await self._conclude(delivery, outcome, span, key), delivery.attempts + 1

    def _held(self, delivery: Delivery, span: Window, key: Key, *, now: float) -> Final | Again | None:
        """Why the delivery is not sent now: its time is over, its project waits, its credential is refused."""
        if is_over(span, attempts=delivery.attempts, now=now):
            self._count_held(delivery, "lapsed")
            return Final(receipt=lapsed().to_json(sent_at=now))
        pause = self._holds.pause(key, now=now)
        if pause is not None:
            self._count_held(delivery, "paused")
            waits = pause.until <= span.retry_until
            return Again(due_at=pause.until) if waits else Final(receipt=pause.receipt.to_json(sent_at=now))
        refusal = self._holds.refusal(key, now=now)
        if refusal is None:
            return None
        self._count_held(delivery, "breaker")
        return Final(receipt=refusal.to_json(sent_at=now))

    def _count_held(self, delivery: Delivery, by: HeldBy) -> None:
        self.counts.held[PROVIDERS[delivery.device.platform], by] += 1
        if self.observer is not None:
            self.observer.held(delivery.ticket_id, by=by)

    def _count(self, delivery: Delivery, outcome: Outcome, *, took_s: float) -> None:
        reason = outcome.reason if isinstance(outcome, Rejected) else ""
        self.counts.attempted(
            PROVIDERS[delivery.device.platform], OUTCOMES[type(outcome)], reason=reason, took_s=took_s
        )

    async def _through_provider(self, delivery: Delivery, providers: ProjectProviders, *, now: float) -> Outcome:
        message, device = delivery.message, delivery.device
        if message.is_too_big:
            receipt = too_big(message.largest_bytes, MAX_DATA_BYTES)
            return Rejected(reason="MessageTooBig", status=0, receipt=receipt)
        if device.platform is Platform.LOCAL:
            return await self._through_channel(delivery)
        provider = providers.apns if device.platform is Platform.IOS else providers.fcm
        if provider is None:
            return _failed(f"The project has no credentials for {device.platform.value}.")
        if device.virtual and not provider.emulated:
            return _failed("The push token belongs to a virtual device, which no real provider knows.")
        if device.platform is Platform.IOS:
            request = _apns_request(delivery)
            self._started(delivery, request)
            return await cast(Provider[ApnsRequest], provider).send(request)
        fcm_request = _fcm_request(delivery, now=now)
        self._started(delivery, fcm_request)
        return await cast(Provider[FcmRequest], provider).send(fcm_request)

    async def _through_channel(self, delivery: Delivery) -> Outcome:
        if self._local is None:
            return _failed("This gateway has no local push.")
        request = build_local_request(
            delivery.message, delivery.device, ticket_id=delivery.ticket_id, attempt=delivery.attempts + 1
        )
        self._started(delivery, request)
        return await self._local.send(request)

    def _started(self, delivery: Delivery, request: ApnsRequest | FcmRequest | LocalRequest) -> None:
        if self.observer is not None:
            self.observer.attempt_started(delivery.ticket_id, n=delivery.attempts + 1, request=request)

    async def _conclude(
        self, delivery: Delivery, outcome: Rejected | Unsent | Uncertain, span: Window, key: Key
    ) -> Final | Again:
        now = self._clock()
        verdict = decide(outcome, window=span, attempts=delivery.attempts + 1, now=now, jitter=self._jitter())
        if isinstance(verdict, Again):
            self.counts.retries[PROVIDERS[delivery.device.platform]] += 1
        if isinstance(outcome, Rejected):
            await self._heed(delivery, outcome, verdict, key, now=now)
        log.info(
            "delivery %s to %s: %s",
            delivery.ticket_id,
            redacted(delivery.device.push_token),
            outcome.reason if isinstance(outcome, Rejected) else outcome.why,
        )
        return verdict

    async def _heed(
        self, delivery: Delivery, refusal: Rejected, verdict: Final | Again, key: Key, *, now: float
    ) -> None:
        """What a refusal means for more than this delivery."""
        if refusal.device_gone and not _is_for_activity(delivery):
            await self._bury(delivery.device, gone_at=refusal.gone_at if refusal.gone_at is not None else now)
        if refusal.scope is Scope.DELIVERY:
            self._holds.credential_works(key)
        elif refusal.backoff is not None:
            least = now + max(refusal.backoff.first_s, refusal.backoff.retry_after_s or 0.0)
            until = verdict.due_at if isinstance(verdict, Again) else least
            self._holds.start_pause(key, Pause(until=until, receipt=refusal.receipt))
        elif refusal.scope is Scope.CREDENTIAL:
            self._holds.credential_refused(key, refusal.receipt, now=now)

    async def _bury(self, device: Device, *, gone_at: float) -> None:
        try:
            await self._registry.mark_gone(device.push_token, device_token=device.device_token, gone_at=gone_at)
        except StoreUnavailable as error:
            # The receipt says it all the same; the next send to the device will mark it.
            log.warning("%s could not be marked as gone: %s", redacted(device.push_token), error)


# What is native is loaded with the first message that is.


def _with_life(delivery: Delivery) -> PushMessage:
    if type(delivery.message) is PushMessage:
        return delivery.message
    from expo_gateway.protocol.native_requests import with_own_life

    return with_own_life(delivery.message, delivery.device.platform)


def _apns_request(delivery: Delivery) -> ApnsRequest:
    message, device, accepted_at = delivery.message, delivery.device, delivery.accepted_at
    if type(message) is PushMessage:
        return build_apns_request(message, device, apns_id=delivery.ticket_id, accepted_at=accepted_at)
    from expo_gateway.protocol.native_requests import native_apns_request

    return native_apns_request(message, device, apns_id=delivery.ticket_id, accepted_at=accepted_at)


def _fcm_request(delivery: Delivery, *, now: float) -> FcmRequest:
    message, device, accepted_at = delivery.message, delivery.device, delivery.accepted_at
    if type(message) is PushMessage:
        return build_fcm_request(message, device, accepted_at=accepted_at, now=now)
    from expo_gateway.protocol.native_requests import native_fcm_request

    return native_fcm_request(message, device, accepted_at=accepted_at, now=now)


def _is_for_activity(delivery: Delivery) -> bool:
    """Its address is a Live Activity's: when that is over, the device is as alive as before."""
    if type(delivery.message) is PushMessage or delivery.device.platform is not Platform.IOS:
        return False
    from expo_gateway.protocol.native_requests import apns_part

    part = apns_part(delivery.message)
    return part is not None and part.device_token is not None


def _captured(key: Key) -> Key:
    return f"{key[0]}/captured", key[1]


def _failed(message: str) -> Rejected:
    return Rejected(reason="ExpoError", status=0, receipt=expo_error(message))
