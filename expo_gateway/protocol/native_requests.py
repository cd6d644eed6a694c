"""A native message as the request that one provider gets: what a door has translated, and the device.

An FCM message for a device that is reached through APNs is put together as Google does it: its `notification` where the
`apns` part has no alert, its `data` beside `aps`.
Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#ApnsConfig, and for Live Activities
https://firebase.google.com/docs/cloud-messaging/customize-messages/live-activity. Pure.
"""

import re
from collections.abc import Mapping
from math import ceil

import msgspec
import orjson
from msgspec.structs import replace

from expo_gateway.protocol.apns import (
    MAX_EXPIRATION,
    PRIORITY_IMMEDIATE,
    PRIORITY_POWER_AWARE,
    ApnsRequest,
    build_apns_request,
)
from expo_gateway.protocol.device import Device, Platform
from expo_gateway.protocol.fcm import MAX_TTL_S, FcmRequest, build_fcm_request
from expo_gateway.protocol.message import PushMessage
from expo_gateway.protocol.native import NativeApns, NativeMessage

# Apple: the topic of a Live Activity.
LIVE_ACTIVITY_SUFFIX = ".push-type.liveactivity"

_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s", re.ASCII)
_DIGITS = re.compile(r"\d{1,10}", re.ASCII)
_PAYLOAD = msgspec.json.Decoder(dict[str, object])


class _FcmApns(msgspec.Struct, frozen=True, kw_only=True):
    headers: dict[str, str] = {}
    payload: dict[str, object] = {}
    fcm_options: dict[str, object] = {}
    live_activity_token: str | None = None
    liveActivityToken: str | None = None


class _FcmParts(msgspec.Struct, frozen=True, kw_only=True):
    """FCM's message. `apns`, `webpush` and `fcm_options` go to FCM as they are."""

    notification: dict[str, str] | None = None
    data: dict[str, str] = {}
    android: dict[str, object] = {}
    apns: dict[str, object] | None = None
    webpush: dict[str, object] | None = None
    fcm_options: dict[str, object] | None = None


_fcm_parts: msgspec.json.Decoder[_FcmParts] = msgspec.json.Decoder(_FcmParts)


def with_own_life(message: PushMessage, platform: Platform) -> PushMessage:
    """The message with the `ttl` or `expiration` that its part for this platform has. Expo's stay as they are."""
    if not isinstance(message, NativeMessage):
        return message
    if platform is Platform.ANDROID and len(memoryview(message.fcm)):
        ttl = _ttl_s(_fcm_parts.decode(message.fcm).android)
        return message if ttl is None else replace(message, ttl=ttl, expiration=None)
    apns = apns_part(message) if platform is Platform.IOS else None
    expiration = _number(apns.headers, "apns-expiration") if apns is not None else None
    return message if expiration is None else replace(message, ttl=None, expiration=expiration)


def apns_part(message: PushMessage) -> NativeApns | None:
    """What the message says to APNs, directly or through FCM. None: nothing, title and body have to do."""
    if not isinstance(message, NativeMessage):
        return None
    if message.apns is not None or not len(memoryview(message.fcm)):
        return message.apns
    parts = _fcm_parts.decode(message.fcm)
    if parts.apns is None:
        return None
    apns = msgspec.convert(parts.apns, _FcmApns)
    return NativeApns(
        headers={name.lower(): value for name, value in apns.headers.items()},
        payload=msgspec.Raw(orjson.dumps(_as_google_sends_it(parts, apns))),
        device_token=apns.live_activity_token or apns.liveActivityToken,
    )


def native_apns_request(message: PushMessage, device: Device, *, apns_id: str, accepted_at: float) -> ApnsRequest:
    """msgspec.DecodeError: its part for APNs is none."""
    part = apns_part(message)
    if part is None:
        return build_apns_request(message, device, apns_id=apns_id, accepted_at=accepted_at)
    payload = _PAYLOAD.decode(part.payload)
    push_type = part.headers.get("apns-push-type") or _push_type(payload, is_live=part.device_token is not None)
    usual = PRIORITY_POWER_AWARE if push_type == "background" else PRIORITY_IMMEDIATE
    priority, expiration = _number(part.headers, "apns-priority"), _number(part.headers, "apns-expiration")
    return ApnsRequest(
        apns_id=apns_id,
        device_token=part.device_token or device.device_token,
        sandbox=device.sandbox,
        topic=device.app_id + (LIVE_ACTIVITY_SUFFIX if push_type == "liveactivity" else ""),
        push_type=push_type,
        priority=usual if priority is None else priority,
        expiration=None if expiration is None else min(expiration, MAX_EXPIRATION),
        collapse_id=part.headers.get("apns-collapse-id") or None,
        payload=orjson.dumps(payload),
    )


def native_fcm_request(message: PushMessage, device: Device, *, accepted_at: float, now: float) -> FcmRequest:
    """msgspec.DecodeError: its part for FCM is none."""
    if not isinstance(message, NativeMessage) or not len(memoryview(message.fcm)):
        return build_fcm_request(message, device, accepted_at=accepted_at, now=now)
    parts = _fcm_parts.decode(message.fcm)
    others = {"apns": parts.apns, "webpush": parts.webpush, "fcm_options": parts.fcm_options}
    return FcmRequest(
        device_token=device.device_token,
        notification=parts.notification,
        data=parts.data,
        android=_aged(parts.android, waited_s=now - accepted_at),
        others={name: part for name, part in others.items() if part is not None},
    )


def _as_google_sends_it(parts: _FcmParts, apns: _FcmApns) -> dict[str, object]:
    payload: dict[str, object] = {**parts.data, **apns.payload}
    aps = payload.get("aps")
    if isinstance(aps, dict) and parts.notification is not None and "alert" not in aps:
        shown = {name: parts.notification[name] for name in ("title", "body") if name in parts.notification}
        if shown:
            payload["aps"] = {**aps, "alert": shown}
    if "image" in apns.fcm_options:
        payload["fcm_options"] = {"image": apns.fcm_options["image"]}
    return payload


def _push_type(payload: Mapping[str, object], *, is_live: bool) -> str:
    """What goes without saying. Apple: a background push has content-available, and shows, plays and counts nothing."""
    aps = payload.get("aps")
    if is_live:
        return "liveactivity"
    if isinstance(aps, dict) and aps.get("content-available") == 1 and not aps.keys() & {"alert", "sound", "badge"}:
        return "background"
    return "alert"


def _aged(android: Mapping[str, object], *, waited_s: float) -> Mapping[str, object]:
    """With what is left of its `ttl`."""
    ttl = _ttl_s(android)
    if not ttl or waited_s < 1:
        return android
    return {**android, "ttl": f"{max(0, min(ceil(ttl - waited_s), MAX_TTL_S))}s"}


def _ttl_s(android: Mapping[str, object]) -> float | None:
    found = _SECONDS.fullmatch(str(android.get("ttl")))
    return float(found[1]) if found is not None else None


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if _DIGITS.fullmatch(text) else None
