"""Home Assistant's WebSocket API, our part of it: text frames in, events and frames out. No IO, no clock.

Who reads a socket hands each text to `receive` and acts on the events in their order; what he then has to say is made
by `admit`, `refuse`, `opened`, `result`, `failure` and `pushed`. The texts are Home Assistant's own.

https://developers.home-assistant.io/docs/api/websocket
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, TypeAlias

import msgspec
import orjson
from msgspec import Struct

# Home Assistant's own, for a client that has not shown a token yet.
MAX_AUTH_CHARS: Final = 64 * 1024
# Ours: a thousand commands in one array. Home Assistant takes 4 MB.
MAX_TEXT_CHARS: Final = 256 * 1024
# Home Assistant's own.
AUTH_S: Final = 10.0

# Our choice, for one connection: a client needs one for each registration.
MAX_SUBSCRIPTIONS: Final = 1000
# Our choice: the names of a client's keys come back to it in an error.
MAX_ERROR_CHARS: Final = 200

_BROKEN: Final = object()
# Of `greet`, `admit` and `refuse`.
_AUTH_BEGINS: Final = b'{"type":"auth_'


# -- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """A frame to be sent."""

    frame: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticate:
    """Call `admit` or `refuse`."""

    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """`mobile_app/push_notification_channel`. Call `opened` or `failure`."""

    id: int
    """Of the command; of the subscription from now on."""
    webhook_id: str = field(repr=False)
    support_confirm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """`mobile_app/push_notification_confirm`. Call `result` or `failure`."""

    id: int
    webhook_id: str = field(repr=False)
    confirm_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """Of a subscription that was opened. Call `result`."""

    id: int
    subscription: int


@dataclass(frozen=True, slots=True)
class End:
    """Close the socket with 1000; nothing more is said."""


Event: TypeAlias = Say | Authenticate | Listen | Confirm | Unsubscribe | End


class _Phase(Enum):
    AUTH = "auth"
    COMMANDS = "commands"
    OVER = "over"


class Conversation:
    """One socket."""

    def __init__(self, *, ha_version: str) -> None:
        """`ha_version`: clients ask for features by it, so it is to look like one of Home Assistant's."""
        self._ha_version = ha_version
        self._phase = _Phase.AUTH
        self._last_id = 0
        self._subscriptions: set[int] = set()
        self.coalesces = False
        """Whether several messages may go as one array: see `joined`."""

    @property
    def is_authenticated(self) -> bool:
        return self._phase is _Phase.COMMANDS

    @property
    def max_chars(self) -> int:
        """Of a text that is received now."""
        return MAX_TEXT_CHARS if self.is_authenticated else MAX_AUTH_CHARS

    # -- what we say --

    def greet(self) -> bytes:
        return _json({"type": "auth_required", "ha_version": self._ha_version})

    def admit(self) -> bytes:
        self._phase = _Phase.COMMANDS
        return _json({"type": "auth_ok", "ha_version": self._ha_version})

    def refuse(self, message: str = "Invalid access token or password") -> bytes:
        """The socket is to be closed after it."""
        self._phase = _Phase.OVER
        return _json({"type": "auth_invalid", "message": message})

    def opened(self, command: Listen) -> bytes:
        self._subscriptions.add(command.id)
        return result(command.id)

    # -- what the client says --

    def receive(self, text: str) -> Iterable[Event]:
        """What a text frame means. Nothing is expected after End. Of an array each command is read when the one before
        it was acted on."""
        if self._phase is _Phase.OVER:
            return ()
        value = _parsed(text) if len(text) <= self.max_chars else _BROKEN
        if value is _BROKEN:
            return self._end()
        if self._phase is _Phase.AUTH:
            return self._authenticate(value)
        return map(self._command, value) if isinstance(value, list) else (self._command(value),)

    def receive_bytes(self) -> Sequence[Event]:
        """A binary frame: nobody authenticates with one, and there is no binary command."""
        return self._end() if self._phase is _Phase.AUTH else ()

    def _end(self) -> Sequence[Event]:
        self._phase = _Phase.OVER
        return (End(),)

    def _authenticate(self, value: object) -> Sequence[Event]:
        try:
            form = msgspec.convert(value, _AuthForm)
        except msgspec.ValidationError as error:
            return Say(frame=self.refuse(f"Auth message incorrectly formatted: {_shown(error)}")), End()
        return (Authenticate(access_token=form.access_token),)

    def _command(self, value: object) -> Event:
        if not isinstance(value, dict):
            return _refused(0, "invalid_format", "Message incorrectly formatted.")
        id_, kind = value.get("id"), value.get("type")
        if type(id_) is not int or id_ <= 0 or not isinstance(kind, str) or not kind:
            return _refused(id_, "invalid_format", "Message incorrectly formatted.")
        if id_ <= self._last_id:
            return _refused(id_, "id_reuse", "Identifier values have to increase.")
        form = _FORMS.get(kind)
        if form is None:
            return _refused(id_, "unknown_command", "Unknown command.")
        self._last_id = id_
        try:
            command = msgspec.convert(value, form)
        except msgspec.ValidationError as error:
            return _refused(id_, "invalid_format", _shown(error))
        return self._act(command)

    def _act(self, command: "_CommandForm") -> Event:
        match command:
            case _PingForm():
                return Say(frame=_json({"id": command.id, "type": "pong"}))
            case _FeaturesForm():
                self.coalesces = "coalesce_messages" in command.features
                return Say(frame=result(command.id))
            case _ListenForm() if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
                return _refused(command.id, "not_allowed", f"There are {MAX_SUBSCRIPTIONS} subscriptions already.")
            case _ListenForm():
                return Listen(id=command.id, webhook_id=command.webhook_id, support_confirm=command.support_confirm)
            case _ConfirmForm():
                return Confirm(id=command.id, webhook_id=command.webhook_id, confirm_id=command.confirm_id)
            case _UnsubscribeForm():
                return self._unsubscribe(command)
        raise AssertionError(command)

    def _unsubscribe(self, command: "_UnsubscribeForm") -> Event:
        if command.subscription not in self._subscriptions:
            return _refused(command.id, "not_found", "Subscription not found.")
        self._subscriptions.discard(command.subscription)
        return Unsubscribe(id=command.id, subscription=command.subscription)


# -- frames ----------------------------------------------------------------------------------------------------------


def result(id_: int) -> bytes:
    return _json({"id": id_, "type": "result", "success": True, "result": None})


def failure(id_: object, code: str, message: str) -> bytes:
    """`id_` is echoed as it was sent, unless that was an array or an object."""
    error = {"code": code, "message": message}
    # What is nested too deeply to be written is no id of anybody's.
    shown = None if isinstance(id_, (list, dict)) else id_
    return _json({"id": shown, "type": "result", "success": False, "error": error})


def webhook_not_found(id_: int) -> bytes:
    return failure(id_, "not_found", "Webhook ID not found")


def not_linked(id_: int) -> bytes:
    return failure(id_, "unauthorized", "User not linked to this webhook ID")


def channel_not_found(id_: int) -> bytes:
    """Also for a confirm that comes late, or for the second time."""
    return failure(id_, "not_found", "Push notification channel not found")


def pushed(subscription: int, event: bytes) -> bytes:
    """A notification on its channel. `event`: its body, a JSON object."""
    return b'{"id":%d,"type":"event","event":%s}' % (subscription, event)


def joined(frames: Sequence[bytes]) -> Sequence[bytes]:
    """Several frames as one, for clients that asked for it. A single one stays as it is.

    So does the answer to an authentication: who sends that and the wish in one go reads it before any array.
    """
    commands = [frame for frame in frames if not frame.startswith(_AUTH_BEGINS)]
    if len(commands) < 2:
        return frames
    first = [frame for frame in frames if frame.startswith(_AUTH_BEGINS)]
    return [*first, b"[" + b",".join(commands) + b"]"]


# -- what commands are to look like ----------------------------------------------------------------------------------


class _AuthForm(Struct, forbid_unknown_fields=True):
    type: Literal["auth"]
    access_token: str


class _CommandForm(Struct, forbid_unknown_fields=True):
    id: int
    type: str


class _PingForm(_CommandForm, forbid_unknown_fields=True):
    pass


class _FeaturesForm(_CommandForm, forbid_unknown_fields=True):
    features: dict[str, int | bool]


class _ListenForm(_CommandForm, forbid_unknown_fields=True):
    webhook_id: str
    support_confirm: bool = False


class _ConfirmForm(_CommandForm, forbid_unknown_fields=True):
    webhook_id: str
    confirm_id: str


class _UnsubscribeForm(_CommandForm, forbid_unknown_fields=True):
    subscription: int


_FORMS: Final[Mapping[str, type[_CommandForm]]] = {
    "ping": _PingForm,
    "supported_features": _FeaturesForm,
    "unsubscribe_events": _UnsubscribeForm,
    "mobile_app/push_notification_channel": _ListenForm,
    "mobile_app/push_notification_confirm": _ConfirmForm,
}


def _shown(error: msgspec.ValidationError) -> str:
    """It names types and keys, and no values: they may be secrets."""
    text = str(error)
    return text if len(text) <= MAX_ERROR_CHARS else f"{text[: MAX_ERROR_CHARS - 1]}…"


def _parsed(text: str) -> object:
    try:
        value: object = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return _BROKEN
    return value


def _json(value: Mapping[str, object]) -> bytes:
    return orjson.dumps(value)


def _refused(id_: object, code: str, message: str) -> Event:
    return Say(frame=failure(id_, code, message))
