"""What FCM itself demands of a message whose names and types are right.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages and
https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type (sizes, reserved keys).
These are Google's rules written down anew: nothing is shared with the gateway's own builder of messages.
"""

import re
from collections.abc import Mapping

import orjson

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Answer
from expo_gateway.emulators.fcm_fields import TARGETS

MAX_PAYLOAD_BYTES = 4096
MAX_TOPIC_PAYLOAD_BYTES = 2048
MAX_TTL_S = 2_419_200
"""Four weeks."""
RESERVED_DATA_KEYS = frozenset(("from", "message_type"))
RESERVED_DATA_PREFIXES = ("google.", "gcm.notification.")
MAX_CONDITION_TOPICS = 5

# Our choice: any token of a registration token's characters and no demand on its length, so that the device tokens of
# anybody's tests work. Real ones are some 140 to 160 characters with one colon.
DEVICE_TOKEN = re.compile(r"[A-Za-z0-9_:-]{1,4096}", re.ASCII)
TOPIC = re.compile(r"(/topics/)?[A-Za-z0-9_.~%-]{1,900}", re.ASCII)
CONDITION_TOPIC = re.compile(r"'[A-Za-z0-9_.~%-]+'\s+in\s+topics", re.ASCII)


def judge_message(message: Mapping[str, object]) -> Answer | None:
    """The refusal of a message for what it says, None when FCM would take it. Devices are not looked at here."""
    return (
        _judge_target(message)
        or _judge_data_keys(message)
        or _judge_ttl(_object(message, "android").get("ttl"))
        or _judge_size(message)
    )


def target_of(message: Mapping[str, object]) -> tuple[str, str]:
    """(kind, value) of the target; ("", "") when none is set."""
    for kind in TARGETS:
        if value := message.get(kind):
            return kind, str(value)
    return "", ""


def payload_bytes(message: Mapping[str, object]) -> int:
    """Size of what an Android device would receive: keys and values of data and notification.

    The parts of `android` replace (data) or override (notification) the common ones. Google does not publish how it
    counts; assumed.
    """
    android = _object(message, "android")
    data = _object(android, "data") or _object(message, "data")
    notification = {**_object(message, "notification"), **_object(android, "notification")}
    return sum(_size(key) + _size(value) for part in (data, notification) for key, value in part.items())


def _judge_target(message: Mapping[str, object]) -> Answer | None:
    kind, value = target_of(message)
    if not kind:
        return fcm_errors.recipient_missing()
    if kind in ("token", "fid") and not DEVICE_TOKEN.fullmatch(value):
        return fcm_errors.invalid_registration_token(f"message.{kind}")
    if kind == "topic" and not TOPIC.fullmatch(value):
        return fcm_errors.invalid_argument("Topic name contains invalid characters.", field="message")
    if kind == "condition" and not is_condition(value):
        return fcm_errors.invalid_condition()
    return None


def is_condition(text: str) -> bool:
    """Up to five `'name' in topics` joined by `&&` and `||`, with `!` and parentheses."""
    shape, topics = CONDITION_TOPIC.subn("T", text)
    if not 1 <= topics <= MAX_CONDITION_TOPICS:
        return False
    shape, before = re.sub(r"\s", "", shape), ""
    while shape != before:
        before = shape
        shape = re.sub(r"!T|\(T\)|T&&T|T\|\|T", "T", shape)
    return shape == "T"


def _judge_data_keys(message: Mapping[str, object]) -> Answer | None:
    for path, owner in (("message", message), ("message.android", _object(message, "android"))):
        for key in _object(owner, "data"):
            if key in RESERVED_DATA_KEYS or key.startswith(RESERVED_DATA_PREFIXES):
                return fcm_errors.invalid_argument(f"Invalid data payload key: {key}", field=f"{path}.data.{key}")
    return None


def _judge_ttl(ttl: object) -> Answer | None:
    if ttl is None or 0 <= float(str(ttl).removesuffix("s")) <= MAX_TTL_S:
        return None
    message = f"TTL must be a duration between 0 and {MAX_TTL_S} seconds."
    return fcm_errors.invalid_argument(message, field="message.android.ttl")


def _judge_size(message: Mapping[str, object]) -> Answer | None:
    kind, _ = target_of(message)
    limit_bytes = MAX_PAYLOAD_BYTES if kind in ("token", "fid") else MAX_TOPIC_PAYLOAD_BYTES
    return fcm_errors.too_big(limit_bytes) if payload_bytes(message) > limit_bytes else None


def _object(owner: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = owner.get(name)
    return value if isinstance(value, dict) else {}


def _size(value: object) -> int:
    return len(value.encode()) if isinstance(value, str) else len(orjson.dumps(value))
