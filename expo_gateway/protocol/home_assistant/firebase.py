"""From the words of Firebase's SDK, in which the official relay writes, to those of FCM's and of Apple's own API.

Source: https://firebase.google.com/docs/reference/admin/node/firebase-admin.messaging,
https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages and Apple, "Generating a remote notification".
"""

import re
from collections.abc import Mapping
from typing import Final

from expo_gateway.protocol.home_assistant.ios import PUSH_TYPE
from expo_gateway.protocol.home_assistant.javascript import is_truthy, text_of
from expo_gateway.protocol.home_assistant.notification import Json

# The SDK's names of what Apple writes with hyphens.
_APS: Final = {"threadId": "thread-id", "interruptionLevel": "interruption-level"}
_FLAGS: Final = {"contentAvailable": "content-available", "mutableContent": "mutable-content"}
_ALERT: Final = {
    "locKey": "loc-key",
    "locArgs": "loc-args",
    "titleLocKey": "title-loc-key",
    "titleLocArgs": "title-loc-args",
    "subtitleLocKey": "subtitle-loc-key",
    "subtitleLocArgs": "subtitle-loc-args",
    "actionLocKey": "action-loc-key",
    "launchImage": "launch-image",
}
_MILLISECONDS: Final = re.compile(r"\d{1,15}", re.ASCII)
_DURATION: Final = re.compile(r"\d{1,12}(\.\d{1,9})?s", re.ASCII)


def fcm_message(payload: Mapping[str, object]) -> Json:
    """The `message` of `messages:send`, without a target."""
    message: Json = {name: part for name, part in payload.items() if part or name not in ("notification", "android")}
    if isinstance(data := message.get("data"), dict):
        message["data"] = {name: text_of(value) for name, value in data.items()}
    if isinstance(android := message.get("android"), dict):
        message["android"] = _android(android)
    if isinstance(apns := message.get("apns"), dict):
        message["apns"] = _apns(apns)
    return message


def apns_headers(message: Mapping[str, object]) -> dict[str, str]:
    """What `fcm_message` made, as the headers of a push that goes to Apple directly."""
    apns = _dict(message.get("apns"))
    headers = dict(_dict(apns.get("headers")))
    aps = _dict(_dict(apns.get("payload")).get("aps"))
    if apns.get("live_activity_token"):
        headers[PUSH_TYPE] = "liveactivity"
    is_background = headers.setdefault(PUSH_TYPE, "background" if aps.get("content-available") else "alert")
    if is_background == "background":
        # Apple: with a background push any other is an error.
        headers["apns-priority"] = "5"
    return {**headers, "apns-priority": headers.get("apns-priority", "10")}


def apns_payload(message: Mapping[str, object]) -> Json:
    """What `fcm_message` made, as the payload of such a push: FCM fills in what is missing from its common parts."""
    custom = {**_dict(message.get("data")), **_dict(_dict(message.get("apns")).get("payload"))}
    aps = dict(_dict(custom.get("aps")))
    texts = {name: text for name, text in _dict(message.get("notification")).items() if name in ("title", "body")}
    if texts and "alert" not in aps:
        aps["alert"] = texts
    if aps.get("alert") == {}:
        del aps["alert"]
    return {**custom, "aps": aps}


def _android(android: Json) -> Json:
    """A life or a priority that FCM would refuse is left to FCM's default: the user is to get his notification."""
    config = {name: value for name, value in android.items() if name not in ("ttl", "priority")}
    if (ttl := _duration(android.get("ttl"))) is not None:
        config["ttl"] = ttl
    priority = android.get("priority")
    if isinstance(priority, str) and priority.upper() in ("HIGH", "NORMAL"):
        config["priority"] = priority.upper()
    if isinstance(data := config.get("data"), dict):
        config["data"] = {name: text_of(value) for name, value in data.items()}
    return config


def _duration(ttl: object) -> str | None:
    """Milliseconds, also as a text, which is what templates make; or FCM's own form."""
    if isinstance(ttl, str) and _DURATION.fullmatch(ttl):
        return ttl
    if isinstance(ttl, str) and _MILLISECONDS.fullmatch(ttl):
        ttl = int(ttl)
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 <= ttl < 10**15:
        return None
    seconds, rest_ms = divmod(int(ttl), 1000)
    return f"{seconds}.{rest_ms:03}s" if rest_ms else f"{seconds}s"


def _apns(apns: Json) -> Json:
    config = {name: value for name, value in apns.items() if name not in ("headers", "payload", "liveActivityToken")}
    if isinstance(token := apns.get("liveActivityToken"), str):
        config["live_activity_token"] = token
    headers = _dict(apns.get("headers"))
    config["headers"] = {str(name).lower(): text_of(value) for name, value in headers.items()}
    payload = dict(_dict(apns.get("payload")))
    if "aps" in payload:
        payload["aps"] = _aps(_dict(payload["aps"]))
    config["payload"] = payload
    return config


def _aps(aps: Json) -> Json:
    written = {_APS.get(name, name): value for name, value in aps.items() if name not in _FLAGS}
    written |= {flag: 1 for name, flag in _FLAGS.items() if is_truthy(aps.get(name))}
    if isinstance(alert := written.get("alert"), dict):
        written["alert"] = {_ALERT.get(name, name): value for name, value in alert.items()}
    sound = written.get("sound")
    if isinstance(sound, dict) and isinstance(sound.get("critical"), bool):
        written["sound"] = {**sound, "critical": int(sound["critical"])}
    return written


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}
