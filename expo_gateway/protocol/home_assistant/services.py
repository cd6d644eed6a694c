"""Home Assistant's actions that tell somebody something, as POST /api/services/<domain>/<service> has them. Pure.

Texts are sent as they are: templates are not rendered. `targets`, which Apprise writes, is taken for `target`.

https://www.home-assistant.io/integrations/notify/ https://www.home-assistant.io/integrations/persistent_notification/
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from expo_gateway.protocol.home_assistant.registration import Malformed, size_bytes, text_of

# Title of who says none: Home Assistant does not send it along.
DEFAULT_TITLE: Final = "Home Assistant"
SERVICE_PREFIX: Final = "mobile_app_"

# Our choices. What a phone may get at a time is checked later, and is less.
MAX_MESSAGE_CHARS: Final = 16 * 1024
MAX_DATA_BYTES: Final = 64 * 1024
MAX_TARGETS: Final = 1000
MAX_NOTIFICATION_ID_CHARS: Final = 255


class Notification(Struct, frozen=True, kw_only=True):
    """A call of `notify`."""

    message: str
    title: str | None = None
    data: Mapping[str, object] | None = None
    targets: Sequence[str] = ()
    """Empty: whoever the service is for."""

    def event(self) -> dict[str, object]:
        """What a local channel gets, and a `push_url` beside other things."""
        members = {"message": self.message, "title": self.title, "data": self.data}
        return {name: value for name, value in members.items() if value is not None}


class Note(Struct, frozen=True, kw_only=True):
    """A call of `persistent_notification.create`."""

    message: str
    title: str | None = None
    notification_id: str | None = None
    """None: it is to be made up."""


def read_notification(value: object) -> Notification:
    """Raises Malformed."""
    given = _object(value, ("message", "title", "target", "targets", "data"))
    data = given.get("data")
    if "data" in given and not isinstance(data, dict):
        raise Malformed("expected a dictionary for dictionary value @ data['data']")
    if size_bytes(data, "data") > MAX_DATA_BYTES:
        raise Malformed(f"got more than {MAX_DATA_BYTES} bytes @ data['data']")
    title = _optional(given, "title", max_chars=MAX_MESSAGE_CHARS)
    return Notification(
        message=_message(given),
        title=None if title in ("", DEFAULT_TITLE) else title,
        data=data if isinstance(data, dict) else None,
        targets=tuple(dict.fromkeys([*_targets(given, "target"), *_targets(given, "targets")])),
    )


def read_note(value: object) -> Note:
    """Raises Malformed."""
    given = _object(value, ("message", "title", "notification_id"))
    return Note(
        message=_message(given),
        title=_optional(given, "title", max_chars=MAX_MESSAGE_CHARS),
        notification_id=_notification_id(given),
    )


def read_dismissal(value: object) -> str:
    """The notification's id. Raises Malformed."""
    given = _object(value, ("notification_id",))
    return _required(_notification_id(given), "notification_id")


def services(slugs: Iterable[str]) -> list[dict[str, object]]:
    """The answer to GET /api/services."""
    fields = {
        "message": _field("text", required=True),
        "title": _field("text"),
        "target": _field("object"),
        "data": _field("object"),
    }
    sends = {"name": "Send a notification", "description": "Sends a notification to all devices.", "fields": fields}
    to_each = {
        f"{SERVICE_PREFIX}{slug}": {
            "name": f"Send a notification via {SERVICE_PREFIX}{slug}",
            "description": "Sends a notification to this device.",
            "fields": fields,
        }
        for slug in sorted(set(slugs))
    }
    creates = {
        "name": "Create",
        "description": "Shows a notification until it is dismissed.",
        "fields": {"message": fields["message"], "title": fields["title"], "notification_id": _field("text")},
    }
    dismisses = {
        "name": "Dismiss",
        "description": "Dismisses a notification.",
        "fields": {"notification_id": _field("text", required=True)},
    }
    return [
        {"domain": "notify", "services": {"notify": sends, **to_each}},
        {"domain": "persistent_notification", "services": {"create": creates, "dismiss": dismisses}},
    ]


def _field(selector: str, *, required: bool = False) -> dict[str, object]:
    return {"required": required, "selector": {selector: {}}}


# -- checks ----------------------------------------------------------------------------------------------------------


def _object(value: object, names: Collection[str]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Malformed("expected a dictionary")
    unknown = next((name for name in value if name not in names), None)
    if unknown is not None:
        raise Malformed(f"extra keys not allowed @ data['{unknown[:60]}']")
    return value


def _message(given: Mapping[str, object]) -> str:
    return _required(_optional(given, "message", max_chars=MAX_MESSAGE_CHARS), "message")


def _notification_id(given: Mapping[str, object]) -> str | None:
    return _optional(given, "notification_id", max_chars=MAX_NOTIFICATION_ID_CHARS)


def _optional(given: Mapping[str, object], name: str, *, max_chars: int) -> str | None:
    """None: it is not there. null is not nothing."""
    return text_of(given[name], name, max_chars=max_chars) if name in given else None


def _required(text: str | None, name: str) -> str:
    if text is None:
        raise Malformed(f"required key not provided @ data['{name}']")
    return text


def _targets(given: Mapping[str, object], name: str) -> Sequence[str]:
    """One or a list."""
    value = given.get(name, [])
    every = value if isinstance(value, list) else [value]
    if len(every) > MAX_TARGETS:
        raise Malformed(f"got {len(every)} targets, wanted at most {MAX_TARGETS} @ data['{name}']")
    return [text_of(one, name) for one in every]
