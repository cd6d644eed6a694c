"""What Home Assistant's core posts to a `push_url`: one notification for one phone.

Source: https://developers.home-assistant.io/docs/api/native-app-integration/notifications, and what its versions
2024.3 and 2026.11 were seen to send. There is no authentication and no version; unknown members are ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from msgspec import Struct

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.message import MAX_DEPTH, decode_json, too_deep

# Our choice: ten times the longest that Apple and Google issue.
MAX_TOKEN_CHARS: Final = 4096

Json = dict[str, Any]


class Registration(Struct, frozen=True, kw_only=True):
    """`registration_info`: the app that is meant. All of it may be missing."""

    app_id: str = ""
    app_version: str = ""
    os_version: str | None = None
    webhook_id: str | None = None


# A dataclass, so that the tokens stay out of repr.
@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    push_token: str = field(repr=False)
    message: str
    title: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """Whatever the user wrote."""
    registration: Registration = field(default=Registration(), repr=False)
    live_activity_token: str | None = field(default=None, repr=False)
    """Apple's address of a Live Activity, or of what starts one. Then this is for that and no alert."""


class Translated(Struct, frozen=True, kw_only=True):
    """A notification as the official relay hands it to Firebase's SDK, in that SDK's words."""

    payload: Json
    counts: bool
    """Against the limit of a day."""


def read_object(body: bytes) -> Json:
    """RequestRefused (400): it is no JSON object."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = decode_json(body)
    if not isinstance(value, dict):
        raise invalid(f"The request body is {kind_of(value)}; wanted a JSON object.")
    if _is_deeper(value, MAX_DEPTH):
        raise too_deep()
    return value


def read_notification(fields: Json) -> Notification:
    """RequestRefused (400) for the first thing that is wrong."""
    return Notification(
        push_token=read_push_token(fields),
        message=_message(fields),
        title=_text(fields, "title"),
        data=_object(fields, "data"),
        registration=_registration(_object(fields, "registration_info")),
        live_activity_token=_text(fields, "live_activity_token") or None,
    )


def read_push_token(fields: Json) -> str:
    token = _text(fields, "push_token")
    if not token:
        raise invalid("push_token is missing; wanted the push token of a phone.")
    if len(token) > MAX_TOKEN_CHARS:
        raise invalid(f"push_token has {len(token)} characters; wanted at most {MAX_TOKEN_CHARS}.")
    return token


def event_of(notification: Notification) -> Json:
    """What a local channel is sent: the notification itself, without addresses."""
    event: Json = {"message": notification.message}
    if notification.title is not None:
        event["title"] = notification.title
    if notification.data:
        event["data"] = notification.data
    return event


def invalid(text: str) -> RequestRefused:
    return RequestRefused("VALIDATION_ERROR", text)


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    if isinstance(value, str):
        return "a string"
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a number"


def _message(fields: Json) -> str:
    """Home Assistant makes a string of anything, and always sends one."""
    message = _text(fields, "message")
    if message is None:
        raise invalid("message is missing; wanted a string.")
    return message


def _text(fields: Json, name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{name} is {kind_of(value)}; wanted a string.")
    return value


def _object(fields: Json, name: str) -> Json:
    value = fields.get(name)
    if value is not None and not isinstance(value, dict):
        raise invalid(f"{name} is {kind_of(value)}; wanted an object.")
    return value or {}


def _registration(info: Json) -> Registration:
    return Registration(
        app_id=_text(info, "app_id") or "",
        app_version=_text(info, "app_version") or "",
        os_version=_text(info, "os_version"),
        webhook_id=_text(info, "webhook_id"),
    )


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inner)
