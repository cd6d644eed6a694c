"""The push relay: what Home Assistant posts becomes a batch, within the limit of a day and before it is answered.

A refusal is an answer, never an exception: see relay_answers.py for what Home Assistant makes of one. Whether a
delivery failed is known later; then it is taken out of what counts. This is done when the same push token comes again,
by the receipts of what it was sent before: nothing runs beside, and no delivery has to tell anybody.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Final

from msgspec import Struct

from expo_gateway.errors import RequestRefused, StoreUnavailable
from expo_gateway.gateway import Gateway
from expo_gateway.home_assistant import relay_answers as answers
from expo_gateway.home_assistant.awaited import Awaited
from expo_gateway.home_assistant.recipients import Recipients
from expo_gateway.outbox.base import Outbox
from expo_gateway.protocol.body import inflate
from expo_gateway.protocol.home_assistant.notification import (
    Json,
    Notification,
    Translated,
    read_notification,
    read_object,
    read_push_token,
)
from expo_gateway.protocol.home_assistant.relay_message import Endpoint, limited_notice, native_message, translated
from expo_gateway.protocol.native import NativeMessage, encode_native, native_request
from expo_gateway.protocol.receipt import is_ok
from expo_gateway.protocol.ticket import TicketError, ticket_id
from expo_gateway.providers.local import RelayAnswer
from expo_gateway.registry.home_assistant import HomeAssistantStore, RelayCounts, Taken

log = logging.getLogger(__name__)

# Home Assistant waits for ten.
EXACT_WAIT_S: Final = 8.0
# Our choice: an emulator takes some milliseconds, Google some hundred.
EXACT_LOOK_EVERY_S: Final = 0.02


class Relay:
    """`exact`: it behaves as the official relay does, and so waits for the outcome of each delivery."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        recipients: Recipients,
        store: HomeAssistantStore,
        outbox: Outbox,
        clock: Callable[[], float],
        max_per_day: int,
        exact: bool = False,
        exact_wait_s: float = EXACT_WAIT_S,
    ) -> None:
        self.exact = exact
        self._gateway = gateway
        self._recipients = recipients
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._max_per_day = max_per_day
        self._exact_wait_s = exact_wait_s
        self._awaited = Awaited()

    async def push_body(self, endpoint: Endpoint, body: bytes, *, bearer: str | None = None) -> RelayAnswer:
        """The same as `push`, of a request's body."""
        return await self._answered(lambda: self._push(endpoint, read_object(inflate(body)), bearer=bearer))

    async def push(
        self, endpoint: Endpoint, notification: Mapping[str, object], *, bearer: str | None = None
    ) -> RelayAnswer:
        """Take a notification in, as Home Assistant posts it. When this returns 201, it is durable.

        `bearer`: an access token of a project that asks for one; Home Assistant itself has none.
        """
        return await self._answered(lambda: self._push(endpoint, dict(notification), bearer=bearer))

    async def check_body(self, body: bytes) -> RelayAnswer:
        """`POST /api/checkRateLimits`: how much is left of the day."""
        return await self._answered(lambda: self._check(body))

    def refusal(self, error: RequestRefused) -> RelayAnswer:
        return answers.refused(error, exact=self.exact)

    async def _answered(self, answer: Callable[[], Awaitable[RelayAnswer]]) -> RelayAnswer:
        try:
            return await answer()
        except RequestRefused as error:
            return self.refusal(error)
        except StoreUnavailable:
            return answers.unavailable()
        except Exception as error:
            # Without the exception's text: it may quote what was sent.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("the relay failed with %s, a bug:\n%s", type(error).__qualname__, where)
            return answers.internal_error(answers.FAILED)

    async def _check(self, body: bytes) -> RelayAnswer:
        fields = read_object(inflate(body))
        complaint = _exact_token_complaint(fields) if self.exact else None
        if complaint is not None:
            return complaint
        token, now = read_push_token(fields), self._clock()
        key, day = _key(token), answers.day_of(now)
        await self._settle(key, day=day)
        limits = self._limits(await self._store.counts(key, day=day), now=now)
        return answers.checked(target=token, limits=limits)

    async def _push(self, endpoint: Endpoint, fields: Json, *, bearer: str | None) -> RelayAnswer:
        complaint = _exact_complaint(fields) if self.exact else None
        if complaint is not None:
            return complaint
        notification, now = read_notification(fields), self._clock()
        to = await self._recipients.find(notification.push_token, app_id=notification.registration.app_id)
        if to is None:
            return answers.unknown_token(exact=self.exact)
        order = _Order(
            notification=notification,
            endpoint=endpoint,
            translated=translated(notification, endpoint, exact=self.exact, now=now),
            to=to,
            key=_key(notification.push_token),
            day=answers.day_of(now),
            now=now,
            bearer=bearer,
        )
        await self._settle(order.key, day=order.day)
        if not order.translated.counts:
            return await self._deliver(order, await self._store.counts(order.key, day=order.day))
        taken = await self._store.take(order.key, day=order.day, maximum=self._max_per_day, exempt=False)
        if taken.is_limited:
            return await self._limit(order, taken)
        return await self._deliver(order, taken.counts)

    async def _limit(self, order: "_Order", taken: Taken) -> RelayAnswer:
        """Whoever sends is told by the answer, and the phone by a notice: once a day, or each time."""
        if taken.is_first_notice or self.exact:
            resets_at = answers.resets_at(order.now)
            notice = limited_notice(to=order.to, maximum=self._max_per_day, resets_at=resets_at)
            try:
                await self._send(notice, bearer=order.bearer)
            except RequestRefused as error:
                log.info("a phone could not be told that it is limited: %s", error.code)
        return answers.limited(target=order.notification.push_token, limits=self._limits(taken.counts, now=order.now))

    async def _deliver(self, order: "_Order", counts: RelayCounts) -> RelayAnswer:
        """`counts`: with this one, if it counts."""
        payload = order.translated.payload
        message = native_message(order.notification, payload, endpoint=order.endpoint, to=order.to, exact=self.exact)
        if message.is_too_big:
            await self._came_to_nothing(order)
            return answers.too_large(message.largest_bytes, exact=self.exact)
        try:
            sent = await self._send(message, bearer=order.bearer)
        except (RequestRefused, StoreUnavailable):
            await self._came_to_nothing(order)
            raise
        if isinstance(sent, TicketError):
            await self._came_to_nothing(order)
            return await self._undeliverable(sent, order.to)
        failed = await self._outcome(sent) if self.exact else None
        if failed is not None:
            await self._came_to_nothing(order)
            return answers.failed_delivery(failed)
        if order.translated.counts:
            self._awaited.add(order.key, day=order.day, tickets=[sent])
        limits = self._limits(counts, now=order.now)
        return answers.accepted(message_id=sent, payload=payload, target=order.notification.push_token, limits=limits)

    async def _send(self, message: NativeMessage, *, bearer: str | None) -> str | TicketError:
        """The ticket's id."""
        tickets = await self._gateway.accept(native_request([message]), body=encode_native([message]), bearer=bearer)
        return tickets.refused[0] or ticket_id(tickets.batch_id, 0)

    async def _undeliverable(self, error: TicketError, to: str) -> RelayAnswer:
        if error.error != "DeviceNotRegistered":
            return answers.internal_error(error.message)
        if await self._recipients.is_dead(to):
            return answers.dead_token(exact=self.exact)
        return answers.unknown_token(exact=self.exact)

    async def _outcome(self, ticket: str) -> bytes | None:
        """The receipt of a delivery that failed; None when it did not, or nothing is known in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._exact_wait_s):
                return await self._failure(ticket)
        return None

    async def _failure(self, ticket: str) -> bytes | None:
        """Once there is a receipt: it, if it is one of a failure."""
        while True:
            found = await self._outbox.receipts([ticket], not_before=0.0)
            if found:
                return None if is_ok(found[ticket]) else found[ticket]
            await asyncio.sleep(EXACT_LOOK_EVERY_S)

    async def _settle(self, key: bytes, *, day: int) -> None:
        """What failed since then no longer counts."""
        tickets = self._awaited.take(key, day=day)
        if not tickets:
            return
        open_tickets = tickets
        try:
            receipts = await self._outbox.receipts(tickets, not_before=0.0)
            open_tickets = [ticket for ticket in tickets if ticket not in receipts]
            for receipt in receipts.values():
                if not is_ok(receipt):
                    await self._store.failed(key, day=day)
        finally:
            self._awaited.add(key, day=day, tickets=open_tickets)

    async def _came_to_nothing(self, order: "_Order") -> None:
        if order.translated.counts:
            with suppress(StoreUnavailable):
                await self._store.failed(order.key, day=order.day)

    def _limits(self, counts: RelayCounts, *, now: float) -> Json:
        return answers.rate_limits(counts, maximum=self._max_per_day, now=now)


class _Order(Struct, frozen=True, kw_only=True):
    """One notification on its way through."""

    notification: Notification
    endpoint: Endpoint
    translated: Translated
    to: str
    """The push token that the gateway knows."""
    key: bytes
    day: int
    now: float
    bearer: str | None

    def __repr__(self) -> str:
        return "<order>"  # tokens are secret


def _key(token: str) -> bytes:
    """What counts are kept by: the token itself is nobody's business."""
    return sha256(token.encode("utf-8", "replace")).digest()


def _exact_complaint(fields: Json) -> RelayAnswer | None:
    """What the official relay stumbles over, and how."""
    complaint = _exact_token_complaint(fields)
    if complaint is None and fields.get("registration_info") is None:
        return answers.framework_error(500, answers.NO_REGISTRATION)
    return complaint


def _exact_token_complaint(fields: Json) -> RelayAnswer | None:
    token = fields.get("push_token")
    if not token:
        return answers.forbidden(answers.NO_TOKEN)
    if isinstance(token, str) and ":" not in token:
        return answers.forbidden(answers.NO_FCM_TOKEN)
    return None
