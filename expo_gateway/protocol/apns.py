"""Expo's message as an APNs request: headers and payload as expo-notifications reads them on iOS.

Source: https://docs.expo.dev/push-notifications/what-you-need-to-know/ and Apple, "Sending notification requests to
APNs" and "Generating a remote notification". Pure: the caller brings the instant.
"""

from math import ceil

import msgspec
import orjson

from expo_gateway.protocol.device import Device, Project
from expo_gateway.protocol.message import CriticalSound, PushMessage

# https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification
MAX_PAYLOAD_BYTES = 4096

# Our choice: what a 32-bit clock can tell. Apple keeps a push for 30 days at most, whatever is asked.
MAX_EXPIRATION = 2**32 - 1

PRIORITY_IMMEDIATE = 10
PRIORITY_POWER_AWARE = 5


# A Struct is made in a tenth of the time that a frozen dataclass takes, and every attempt has one.
class ApnsRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One `POST /3/device/<device token>`."""

    apns_id: str
    """The ticket id: the same through every attempt."""
    device_token: str
    sandbox: bool
    topic: str
    push_type: str
    priority: int
    expiration: int | None
    """Unix seconds; 0: try once; None: Apple's own policy."""
    collapse_id: str | None
    payload: bytes
    """Compact UTF-8 JSON, as APNs counts it."""


def build_apns_request(message: PushMessage, device: Device, *, apns_id: str, accepted_at: float) -> ApnsRequest:
    visible = is_visible(message)
    return ApnsRequest(
        apns_id=apns_id,
        device_token=device.device_token,
        sandbox=device.sandbox,
        topic=device.app_id,
        push_type="alert" if visible else "background",
        # Apple: a background push must have priority 5. Expo: "default" is high on iOS.
        priority=PRIORITY_POWER_AWARE if not visible or message.priority == "normal" else PRIORITY_IMMEDIATE,
        expiration=expiration(message, accepted_at=accepted_at),
        # An empty one would be an empty header.
        collapse_id=message.collapse_id or None,
        payload=orjson.dumps(_payload(message, device.project, visible=visible)),
    )


def is_visible(message: PushMessage) -> bool:
    """Whether the push is an alert, as Expo defines a notification message; if not, it is a background push.

    Badge and sound are ours to add: Apple allows neither in a background push.
    """
    return (
        message.title is not None
        or message.body is not None
        or message.subtitle is not None
        or message.icon is not None
        or message.channel_id is not None
        or message.badge is not None
        or _sound(message.sound) is not None
    )


def expiration(message: PushMessage, *, accepted_at: float) -> int | None:
    """`apns-expiration`. `ttl` takes precedence over `expiration`; 0 of either means one attempt, not "expired"."""
    if message.ttl is not None:
        return min(int(accepted_at) + ceil(message.ttl), MAX_EXPIRATION) if message.ttl > 0 else 0
    if message.expiration is not None:
        return max(0, min(int(message.expiration), MAX_EXPIRATION))
    return None


def _payload(message: PushMessage, project: Project, *, visible: bool) -> dict[str, object]:
    """The JSON object that the app receives: `aps`, the message's data under `body`, and the project's names."""
    whole: dict[str, object] = {"aps": _aps(message, visible=visible)}
    body = message.data_object()
    if message.rich_content is not None and message.rich_content.image is not None:
        # A notification service extension reads body._richContent.image.
        body = {**(body or {}), "_richContent": {"image": message.rich_content.image}}
    if body is not None:
        whole["body"] = body
    whole["experienceId"] = whole["scopeKey"] = project.full_name
    whole["projectId"] = project.project_id
    return whole


def _aps(message: PushMessage, *, visible: bool) -> dict[str, object]:
    """Member by member: most messages have few of them, and this is done for every attempt."""
    aps: dict[str, object] = {}
    if alert := _alert(message):
        aps["alert"] = alert
    if (sound := _sound(message.sound)) is not None:
        aps["sound"] = sound
    if message.badge is not None:
        aps["badge"] = _number(message.badge)
    if message.wakes_app or not visible:
        # Without it iOS drops a background push.
        aps["content-available"] = 1
    if message.mutable_content:
        aps["mutable-content"] = 1
    if message.category_id is not None:
        aps["category"] = message.category_id
    if message.thread_id is not None:
        aps["thread-id"] = message.thread_id
    if message.interruption_level is not None:
        aps["interruption-level"] = message.interruption_level
    if message.target_content_id is not None:
        aps["target-content-id"] = message.target_content_id
    if message.relevance_score is not None:
        aps["relevance-score"] = _number(message.relevance_score)
    if message.filter_criteria is not None:
        aps["filter-criteria"] = message.filter_criteria
    return aps


def _alert(message: PushMessage) -> dict[str, str]:
    alert = {}
    if message.title is not None:
        alert["title"] = message.title
    if message.subtitle is not None:
        alert["subtitle"] = message.subtitle
    if message.body is not None:
        alert["body"] = message.body
    return alert


def _sound(sound: str | CriticalSound | None) -> object:
    """A file name, or Apple's sound dictionary for critical alerts, where `critical` is 1 or absent."""
    if not isinstance(sound, CriticalSound):
        return sound
    parts = {"critical": 1 if sound.critical else None, "name": sound.name, "volume": _number(sound.volume)}
    return {name: part for name, part in parts.items() if part is not None} or None


def _number(value: int | float | None) -> int | float | None:
    """As JavaScript writes it: 1.0 is 1, and what is beyond 64 bits is a double."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
