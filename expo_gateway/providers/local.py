"""Local push: through the channel that an app opened to us, else through the cloud that it registered. Exactly once.

The first attempt goes through the channel, if one is open. What nobody confirms is tried again at once, and then the
cloud is next: our own relay, or the app's own `push_url`. Who has registered none waits for room in a channel that is
full. Source: homeassistant/components/mobile_app/notify.py.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, Protocol

import msgspec
import orjson
from msgspec import Struct

from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.receipt import FailedReceipt, ReceiptError, expo_error
from expo_gateway.providers.base import Accepted, Backoff, Outcome, Rejected, Unsent
from expo_gateway.providers.channels import Channels
from expo_gateway.providers.push_url import NotAnswered, NotPosted, Posted

Endpoint = Literal["legacy", "android"]
"""/api/sendPushNotification, /api/sendPush/android/v1"""

THROUGH_CHANNEL: Final = "local"
"""The `provider_id` of what went through a channel."""

NOT_CONNECTED: Final = "NotConnected"

# The next way is taken at once.
AT_ONCE: Final = Backoff(first_s=0.0)
# Our choices: so many notifications wait for an answer of a push_url, and so many of one device. One more is tried
# later: a push_url that hangs must hold up no other device.
MAX_POSTING: Final = 512
MAX_POSTING_OF_ONE: Final = 64
# Our choice: so many tickets are remembered that wait for room in a channel, some 2 MB.
MAX_TURNED_AWAY: Final = 10_000
# Our choice: as a phone's own server is out of reach for moments, or for a restart.
_AGAIN: Final = Backoff(first_s=5.0, cap_s=120.0)
# Our choice: phones confirm, and servers answer, within moments.
_ROOM: Final = Backoff(first_s=0.5, cap_s=10.0)

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Cloud(Struct, frozen=True, kw_only=True):
    """Where a registration's messages go when it does not listen."""

    push_url: str | None
    push_token: str | None
    registration_info: Mapping[str, str]
    """`app_id`, `app_version`, `webhook_id`, and `os_version` where there is one: as Home Assistant posts them."""
    endpoint: Endpoint
    """Of our relay, for a push token without a URL."""

    def __repr__(self) -> str:
        return "<cloud>"  # all of it is secret


class RelayAnswer(Struct, frozen=True, kw_only=True):
    """What the relay says, as over HTTP."""

    status: int
    body: Mapping[str, object]


class Relay(Protocol):
    async def push(self, endpoint: Endpoint, notification: Mapping[str, object]) -> RelayAnswer:
        """Never raises but for cancellation."""
        ...


class PushUrls(Protocol):
    async def post(self, url: str, body: bytes) -> Posted | NotPosted | NotAnswered: ...


class LocalProvider:
    """Implements Provider[LocalRequest]."""

    def __init__(
        self,
        *,
        channels: Channels | None,
        cloud_of: Callable[[str], Awaitable[Cloud | None]],
        relay: Relay,
        own_endpoint: Callable[[str], Endpoint | None],
        push_urls: PushUrls,
        waits: Callable[[str, bool], None],
        confirm_s: float,
        exact: bool = False,
    ) -> None:
        """`channels`: None where nobody can listen. `cloud_of`: by registration id; None: it is gone; what it raises
        is a reason to try again. `own_endpoint`: of a URL that is our own relay's. `waits`: a delivery begins to wait
        for a phone or a push_url, or ends to. `exact`: the id that a confirm was waited for by goes to the cloud, too.
        """
        self._channels = channels
        self._cloud_of = cloud_of
        self._relay = relay
        self._own_endpoint = own_endpoint
        self._push_urls = push_urls
        self._waits = waits
        self._confirm_s = confirm_s
        self._exact = exact
        self._posting: Counter[str] = Counter()
        """Notifications that wait for an answer of a push_url, by registration id."""
        self._turned_away: dict[str, None] = {}
        """Tickets that a full channel did not take, and that have no other way; the oldest first."""

    @property
    def emulated(self) -> bool:
        return False

    async def send(self, request: LocalRequest) -> Outcome:
        is_new = request.attempt == 1 or request.ticket_id in self._turned_away
        self._turned_away.pop(request.ticket_id, None)
        if self._channels is None or not is_new:
            return await self._through_cloud(request)
        outcome = await self._through_channel(self._channels, request)
        if outcome is not None:
            return outcome
        outcome = await self._through_cloud(request)
        has_no_cloud = isinstance(outcome, Rejected) and outcome.reason == NOT_CONNECTED
        return self._turn_away(request) if has_no_cloud and self._channels.is_open(request.registration_id) else outcome

    async def close(self) -> None:
        """Connections are the door's."""

    # -- the channel ------------------------------------------------------------------------------------------------

    async def _through_channel(self, channels: Channels, request: LocalRequest) -> Outcome | None:
        """None: there is none."""
        confirm_id = confirm_id_of(request)
        arrived = channels.offer(request.registration_id, request.event, confirm_id=confirm_id)
        if arrived is None:
            return None
        if not arrived.done():
            self._waits(request.ticket_id, True)
            try:
                await asyncio.wait({arrived}, timeout=self._confirm_s)
            finally:
                self._waits(request.ticket_id, False)
                if not arrived.done():
                    channels.missed(request.registration_id, confirm_id)
        if arrived.done() and not arrived.cancelled() and arrived.result():
            return Accepted(provider_id=THROUGH_CHANNEL)
        return Unsent(why="nobody confirmed it", receipt=expo_error(_NOT_CONFIRMED), backoff=AT_ONCE)

    def _turn_away(self, request: LocalRequest) -> Unsent:
        """The channel is full: nothing was offered to it, so that it may be later."""
        self._turned_away[request.ticket_id] = None
        if len(self._turned_away) > MAX_TURNED_AWAY:
            del self._turned_away[next(iter(self._turned_away))]
        return Unsent(why="too many wait for a confirm already", receipt=expo_error(_NOT_CONFIRMED), backoff=_ROOM)

    # -- the cloud --------------------------------------------------------------------------------------------------

    async def _through_cloud(self, request: LocalRequest) -> Outcome:
        try:
            cloud = await self._cloud_of(request.registration_id)
        except Exception as error:  # the store is away
            return _unsent(f"the registration can't be read: {error}")
        if cloud is None or cloud.push_token is None:
            return Rejected(reason=NOT_CONNECTED, status=0, receipt=expo_error(_NOT_CONNECTED))
        endpoint = cloud.endpoint if cloud.push_url is None else self._own_endpoint(cloud.push_url)
        notification = self._notification(request, cloud, push_token=cloud.push_token)
        if endpoint is not None:
            answer = await self._relay.push(endpoint, {name: _plain(part) for name, part in notification.items()})
            return _said(answer.status, answer.body)
        return await self._post(request, cloud.push_url or "", msgspec.json.encode(notification))

    async def _post(self, request: LocalRequest, push_url: str, body: bytes) -> Outcome:
        posting = self._posting
        if posting[request.registration_id] >= MAX_POSTING_OF_ONE or posting.total() >= MAX_POSTING:
            return _unsent("too many notifications wait for an answer already", backoff=_ROOM)
        posting[request.registration_id] += 1
        self._waits(request.ticket_id, True)
        try:
            return _posted(await self._push_urls.post(push_url, body))
        finally:
            self._waits(request.ticket_id, False)
            posting[request.registration_id] -= 1
            if not posting[request.registration_id]:
                del posting[request.registration_id]

    def _notification(self, request: LocalRequest, cloud: Cloud, *, push_token: str) -> dict[str, object]:
        """In Home Assistant's form: the event, and whom it is for."""
        leaked = {"hass_confirm_id": confirm_id_of(request)} if self._exact and request.attempt > 1 else {}
        event: dict[str, object] = {**_OBJECT.decode(request.event)}
        return {**event, **leaked, "push_token": push_token, "registration_info": dict(cloud.registration_info)}


def confirm_id_of(request: LocalRequest) -> str:
    """32 hex digits, as Home Assistant's, and the same through every attempt."""
    return request.ticket_id.replace("-", "")


def _posted(posted: Posted | NotPosted | NotAnswered) -> Outcome:
    if isinstance(posted, NotAnswered):
        # It may have arrived, and a phone that rings twice is worse.
        return Rejected(reason="NoAnswer", status=0, receipt=_refused(f"the push_url did not answer ({posted.why})"))
    if isinstance(posted, NotPosted):
        if posted.is_refused:
            return Rejected(reason="PushUrlRefused", status=0, receipt=_refused(posted.why))
        return _unsent(posted.why)
    return _said(posted.status, _object(posted.body))


def _said(status: int, body: Mapping[str, object]) -> Outcome:
    """A relay's answer, ours or another's, as Home Assistant reads it."""
    if status in (200, 201, 202):
        message_id = body.get("messageId")
        return Accepted(provider_id=message_id[:200] if isinstance(message_id, str) else "")
    texts = [text for name in ("message", "errorMessage") if isinstance(text := body.get(name), str) and text]
    message = f"The relay answered {status}: {texts[0][:500] if texts else 'no reason was given'}"
    if status == 503 and body.get("errorType") == UNAVAILABLE:
        return _unsent(message)
    kind = body.get("errorType")
    reason = kind if isinstance(kind, str) and kind.isalnum() and len(kind) <= 40 else f"Status{status}"
    if status == 429:
        receipt = FailedReceipt(error=ReceiptError.MESSAGE_RATE_EXCEEDED, message=message)
        return Rejected(reason="RateLimited", status=status, receipt=receipt)
    return Rejected(reason=reason, status=status, receipt=_refused(message))


UNAVAILABLE: Final = "Unavailable"
"""`errorType` of our relay's 503: nothing of the notification was accepted."""

_NOT_CONFIRMED: Final = "The device did not confirm the notification, and there was no time for another way."
_NOT_CONNECTED: Final = "The device is not connected to local push notifications, and has registered no other way."


def _unsent(why: str, *, backoff: Backoff = _AGAIN) -> Unsent:
    return Unsent(why=why, receipt=_refused(why), backoff=backoff)


def _refused(message: str) -> FailedReceipt:
    return FailedReceipt(error=ReceiptError.PROVIDER_ERROR, message=message)


def _plain(part: object) -> object:
    return orjson.loads(bytes(part)) if isinstance(part, msgspec.Raw) else part


def _object(body: bytes) -> Mapping[str, object]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
