"""Who listens for local pushes: open channels, and the confirms that are waited for. No IO.

A channel is a subscription of a Home Assistant client, made by `mobile_app/push_notification_channel`. There is one for
a registration: the newest wins, and the older is not told.
Source: homeassistant/components/mobile_app/push_notification.py.

By default a missed confirm costs a channel nothing but that message; MAX_MISSED of them in a row end it, and the client
is told. `exact` does as Home Assistant does: the first one ends the channel, in silence
(https://github.com/home-assistant/core/issues/176833).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

# Our choice: three messages in a row that a phone does not confirm, and it is not there any more.
MAX_MISSED = 3
# Our choices: so many messages wait for confirms, and so many of one device; one more goes to the cloud.
MAX_WAITING = 2000
MAX_WAITING_OF_ONE = 200


class ChannelStatus(StrEnum):
    """In the words of the companion apps: https://companion.home-assistant.io/docs/notifications/notification-local"""

    DISABLED = "disabled"
    """The app says that it does not want to."""
    UNSUPPORTED = "unsupported"
    """The app never said that it can."""
    UNAVAILABLE = "unavailable"
    """It wants to, and nobody of its user is connected; or this gateway serves no channels."""
    ESTABLISHING = "establishing"
    """Its user is connected, and it has not subscribed yet."""
    AVAILABLE = "available"


class Channel:
    """An open channel. Only `Channels` changes it."""

    __slots__ = ("deliver", "end", "messages", "missed", "registration_id", "support_confirm", "waiting")

    def __init__(
        self,
        registration_id: str,
        *,
        deliver: Callable[[bytes], None],
        end: Callable[[str], None],
        support_confirm: bool,
    ) -> None:
        self.registration_id = registration_id
        self.deliver = deliver
        self.end = end
        self.support_confirm = support_confirm
        self.messages = 0
        """Sent since it was opened."""
        self.missed = 0
        """Confirms in a row that did not come."""
        self.waiting: dict[str, asyncio.Future[bool]] = {}
        """By confirm id: True once it came, False once it is known not to."""


class Channels:
    """All of a process. Every method returns at once, and is called in the event loop."""

    def __init__(self, *, exact: bool = False, max_waiting: int = MAX_WAITING) -> None:
        self._exact = exact
        self._max_waiting = max_waiting
        self._open: dict[str, Channel] = {}
        self._connected: Counter[str] = Counter()
        self._waiting = 0

    # -- what the door says -----------------------------------------------------------------------------------------

    def connected(self, user_id: str) -> None:
        """A connection of this user is past its authentication."""
        self._connected[user_id] += 1

    def disconnected(self, user_id: str) -> None:
        self._connected[user_id] -= 1
        if self._connected[user_id] <= 0:
            del self._connected[user_id]

    def open(
        self,
        registration_id: str,
        *,
        deliver: Callable[[bytes], None],
        end: Callable[[str], None],
        support_confirm: bool,
    ) -> Channel:
        """A client subscribed. What an older channel waits for goes to the cloud; that client is not told.

        `deliver` gets the event, a JSON object, to be queued on the connection. `end` is called with the reason when
        the channel is closed from here and the client must be told: close its connection. Neither raises.
        """
        older = self._open.get(registration_id)
        if older is not None:
            self._close(older)
        channel = Channel(registration_id, deliver=deliver, end=end, support_confirm=support_confirm)
        self._open[registration_id] = channel
        return channel

    def close(self, channel: Channel) -> bool:
        """Unsubscribed, or disconnected: what it waits for goes to the cloud. False: it was closed before."""
        return self._close(channel)

    def confirm(self, registration_id: str, confirm_id: str) -> bool:
        """The phone has it. False: nothing waits for that, not any more, or it was confirmed before."""
        channel = self._open.get(registration_id)
        waits = channel.waiting.pop(confirm_id, None) if channel is not None else None
        if channel is None or waits is None:
            return False
        channel.missed = 0
        self._waiting -= 1
        waits.set_result(True)
        return True

    def forget(self, registration_id: str) -> None:
        """The registration is gone."""
        channel = self._open.get(registration_id)
        if channel is not None and self._close(channel):
            channel.end("the registration is gone")

    # -- what is asked ----------------------------------------------------------------------------------------------

    def is_open(self, registration_id: str) -> bool:
        return registration_id in self._open

    def messages(self, registration_id: str) -> int:
        """Sent to the channel since it was opened; 0 without one."""
        channel = self._open.get(registration_id)
        return 0 if channel is None else channel.messages

    def status(self, registration_id: str, *, user_id: str, app_data: Mapping[str, object]) -> ChannelStatus:
        if registration_id in self._open:
            return ChannelStatus.AVAILABLE
        if "push_websocket_channel" not in app_data:
            return ChannelStatus.UNSUPPORTED
        if not app_data["push_websocket_channel"]:
            return ChannelStatus.DISABLED
        return ChannelStatus.ESTABLISHING if self._connected[user_id] else ChannelStatus.UNAVAILABLE

    @property
    def open_channels(self) -> int:
        return len(self._open)

    @property
    def all_messages(self) -> int:
        """Sent to the channels that are open, since each was opened."""
        return sum(channel.messages for channel in self._open.values())

    @property
    def waiting(self) -> int:
        """Messages that wait for a confirm."""
        return self._waiting

    # -- what the provider does -------------------------------------------------------------------------------------

    def offer(self, registration_id: str, event: msgspec.Raw, *, confirm_id: str) -> "asyncio.Future[bool] | None":
        """Send the event through the registration's channel. None: it has none, or too many wait already.

        The future: True when it has arrived, as far as can be known; False as soon as it is known that nobody will
        confirm it. A channel without confirms: it is True at once. Whoever stops waiting says `missed`.
        """
        channel = self._open.get(registration_id)
        if channel is None or (channel.support_confirm and self._is_full(channel)):
            return None
        arrived: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if channel.support_confirm:
            channel.waiting[confirm_id] = arrived
            self._waiting += 1
        else:
            arrived.set_result(True)
        channel.messages += 1
        channel.deliver(_confirmable(event, confirm_id) if channel.support_confirm else bytes(event))
        return arrived

    def missed(self, registration_id: str, confirm_id: str) -> None:
        """Nobody confirmed it in time."""
        channel = self._open.get(registration_id)
        waits = channel.waiting.pop(confirm_id, None) if channel is not None else None
        if channel is None or waits is None:
            return
        self._waiting -= 1
        waits.cancel()
        channel.missed += 1
        if self._exact:
            self._close(channel)
        elif channel.missed >= MAX_MISSED:
            self._close(channel)
            channel.end(f"{MAX_MISSED} notifications in a row were not confirmed")

    def close_all(self, reason: str) -> None:
        """The gateway stops: every client is told, and what is waited for goes to the cloud."""
        for channel in list(self._open.values()):
            self._close(channel)
            channel.end(reason)

    # -- below ------------------------------------------------------------------------------------------------------

    def _is_full(self, channel: Channel) -> bool:
        return self._waiting >= self._max_waiting or len(channel.waiting) >= MAX_WAITING_OF_ONE

    def _close(self, channel: Channel) -> bool:
        if self._open.get(channel.registration_id) is not channel:
            return False
        del self._open[channel.registration_id]
        waiting, channel.waiting = channel.waiting, {}
        self._waiting -= len(waiting)
        for arrived in waiting.values():
            if not arrived.done():
                arrived.set_result(False)
        return True


def _confirmable(event: msgspec.Raw, confirm_id: str) -> bytes:
    members: dict[str, msgspec.Raw] = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**members, "hass_confirm_id": confirm_id})
