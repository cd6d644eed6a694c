"""Expo's message as an FCM v1 message, with the data keys that expo-notifications reads on Android.

Source: https://docs.expo.dev/push-notifications/sending-notifications-custom/ and
https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages. Pure: the caller brings the instant.
"""

from collections.abc import Mapping
from math import ceil

import msgspec
import orjson

from expo_gateway.protocol.device import Device
from expo_gateway.protocol.message import CriticalSound, PushMessage

# https://firebase.google.com/docs/cloud-messaging/concept-options: keys and values together.
MAX_PAYLOAD_BYTES = 4096
# https://firebase.google.com/docs/cloud-messaging/concept-options#lifetime: 28 days
MAX_TTL_S = 2_419_200


# A Struct, because every attempt has one: see ApnsRequest.
class FcmRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One `messages:send`."""

    device_token: str
    notification: Mapping[str, str] | None
    """None: a data-only message, which the app handles itself."""
    data: Mapping[str, str]
    android: Mapping[str, object]
    others: Mapping[str, object] = {}
    """What else the message has: `apns`, `webpush`, `fcm_options`. Expo's have none."""


def build_fcm_request(message: PushMessage, device: Device, *, accepted_at: float, now: float) -> FcmRequest:
    """The message as it is sent now: what is left of its life depends on when it was accepted."""
    visible = is_visible(message)
    return FcmRequest(
        device_token=device.device_token,
        notification=_notification(message) if visible else None,
        data=_data(message, device),
        android=_android(message, visible=visible, ttl=ttl_s(message, accepted_at=accepted_at, now=now)),
    )


def is_visible(message: PushMessage) -> bool:
    """Whether Android shows something: a notification message, as Expo defines it. If not, the message is headless."""
    return (
        message.title is not None
        or message.body is not None
        or message.subtitle is not None
        or message.icon is not None
        or message.channel_id is not None
    )


def payload_size_bytes(request: FcmRequest) -> int:
    """Size of the message as FCM counts it: the keys and values of `notification` and `data`, in UTF-8."""
    parts = [*(request.notification or {}).items(), *request.data.items()]
    return sum(len(name.encode()) + len(value.encode()) for name, value in parts)


def ttl_s(message: PushMessage, *, accepted_at: float, now: float) -> int | None:
    """`android.ttl`: what is left, in whole seconds. `ttl` takes precedence; 0 of either means now or never."""
    if message.ttl is not None:
        left = message.ttl - (now - accepted_at)
    elif message.expiration is not None:
        left = message.expiration - now
    else:
        return None
    return max(0, min(ceil(left), MAX_TTL_S))


def _notification(message: PushMessage) -> dict[str, str]:
    return _given({"title": message.title, "body": message.body, "image": _image(message)})


def _data(message: PushMessage, device: Device) -> dict[str, str]:
    """The client reads `message` as the text and `body` as the JSON of the message's data.

    Title and text stand here too: a notification that is tapped while the app is dead shows only these.
    """
    return _given(
        {
            "title": message.title,
            "message": message.body,
            "body": orjson.dumps(data).decode() if (data := message.data_object()) else "{}",
            "channelId": message.channel_id,
            "categoryId": message.category_id,
            "sound": _sound_name(message.sound),
            "badge": None if message.badge is None else _number(message.badge),
            "icon": message.icon,
            "tag": message.tag,
            "subtitle": message.subtitle,
            "priority": message.priority,
            "experienceId": device.project.full_name,
            "scopeKey": device.project.full_name,
            "projectId": device.project.project_id,
        }
    )


def _android(message: PushMessage, *, visible: bool, ttl: int | None) -> dict[str, object]:
    android: dict[str, object] = {"priority": "HIGH" if message.priority == "high" else "NORMAL"}
    if ttl is not None:
        android["ttl"] = f"{ttl}s"
    if message.collapse_id is not None:
        android["collapse_key"] = message.collapse_id
    shown = {
        "channel_id": message.channel_id,
        "icon": message.icon,
        "sound": _sound_name(message.sound),
        "tag": message.tag,
        "image": _image(message),
    }
    if visible and (notification := _given(shown)):
        android["notification"] = notification
    return android


def _image(message: PushMessage) -> str | None:
    return message.rich_content.image if message.rich_content is not None else None


def _sound_name(sound: str | CriticalSound | None) -> str | None:
    return sound.name if isinstance(sound, CriticalSound) else sound


def _number(value: int | float) -> str:
    """As JavaScript writes it: 1.0 is "1"."""
    return str(int(value)) if float(value).is_integer() else str(value)


def _given(fields: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}
