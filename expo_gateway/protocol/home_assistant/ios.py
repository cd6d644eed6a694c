"""A notification for Home Assistant's iOS app, as `POST /api/sendPushNotification` of the official relay makes it.

What comes out is in the words of Firebase's SDK (`contentAvailable`); `firebase.py` makes it what is sent. Source:
facts of the official relay, observed 2026-11, and https://companion.home-assistant.io/docs/notifications/.

`exact` is what the official relay does. Without it the mapping is for any app, since whoever runs a relay has one of
his own, and what the user wrote in `data` and nobody knows stands in the payload, as he wrote it.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from expo_gateway.protocol.home_assistant.commands import (
    CLEAR_BADGE,
    CLEAR_NOTIFICATION,
    DELETE_ALERT,
    IOS_BACKGROUND,
    IOS_EXEMPT,
    TEST_PUSH_SOURCE,
)
from expo_gateway.protocol.home_assistant.javascript import float_of, integer_of, is_truthy, number_of
from expo_gateway.protocol.home_assistant.notification import Json, Notification, Translated

COMPANION_APP: Final = "io.robbie.HomeAssistant"
COLLAPSE_ID: Final = "apns-collapse-id"
PUSH_TYPE: Final = "apns-push-type"

# Parts of the message that `data` may bring along whole.
_WHOLE_PARTS: Final = ("android", "apns", "data", "webpush")
# Copied as they are: where they are set, and for a kiosk, where 0 is a level too, where they are given.
_COPIED: Final = ("actions", "entity_id", "attachment", "url", "shortcut", "presentation_options")
_ICONS: Final = ("notification_icon", "icon_url", "notification_icon_color", "color")
_KIOSK: Final = ("level", "volume", "mode")
_NEED_CATEGORY: Final = ("actions", "entity_id", "action_data", "attachment", "video", "image", "audio")
_NEED_EXTENSION: Final = ("entity_id", "attachment", "video", "image", "audio", "notification_icon", "icon_url")
# What a file is, unless `attachment` says: the first one given is shown.
_MEDIA: Final = {"video": "mpeg4", "image": "jpeg", "audio": "waveformaudio"}
_KNOWN: Final = frozenset(
    {*_WHOLE_PARTS, *_COPIED, *_ICONS, *_KIOSK, *_MEDIA}
    | {"apns_headers", "subtitle", "push", "sound", "action_data", "tag", "group"}
)


def for_ios(notification: Notification, *, exact: bool = False) -> Translated:
    draft = _draft(notification)
    is_companion = not exact or COMPANION_APP in notification.registration.app_id
    message = notification.message
    if is_companion and message in IOS_BACKGROUND:
        _command(draft, IOS_BACKGROUND[message], notification)
    elif is_companion and message == CLEAR_BADGE:
        _replace_alert(draft, {"badge": 0})
    elif is_companion:
        _alert(draft, notification, exact=exact)
    _settle_types(draft.aps)
    draft.headers[PUSH_TYPE] = "background" if is_truthy(draft.aps.get("contentAvailable")) else "alert"
    exempt = is_critical(draft.aps) or (is_companion and message in IOS_EXEMPT)
    return Translated(payload=draft.payload, counts=not exempt)


def is_critical(aps: Json) -> bool:
    """A sound that is heard through silence; not just any push of that interruption level."""
    sound = aps.get("sound")
    if not isinstance(sound, dict) or not is_truthy(sound.get("critical")):
        return False
    return (float_of(sound.get("volume")) or 0.0) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """The message in the making. The others are parts of `payload`."""

    payload: Json
    headers: Json
    custom: Json
    """The APNs payload as a whole."""
    aps: Json


def _draft(notification: Notification) -> _Draft:
    """The plain message, or what `data` brings in the place of its parts."""
    data, texts = notification.data, _texts(notification)
    payload: Json = {
        "notification": dict(texts),
        "android": {"ttl": 0, "priority": "HIGH"},
        "apns": {"headers": {}, "payload": {"aps": {"alert": dict(texts), "sound": "default"}}},
        "fcm_options": {"analytics_label": "legacyNotification"},
    }
    payload |= {part: data[part] for part in _WHOLE_PARTS if isinstance(data.get(part), dict)}
    apns = payload["apns"] = dict(payload["apns"])
    given = data.get("apns_headers")
    headers = apns["headers"] = dict(given if isinstance(given, dict) else _dict(apns.get("headers")))
    custom = apns["payload"] = dict(_dict(apns.get("payload")))
    aps = custom["aps"] = dict(_dict(custom.get("aps")))
    if isinstance(aps.get("alert"), dict):
        aps["alert"] = dict(aps["alert"])
    if notification.registration.webhook_id:
        custom["webhook_id"] = notification.registration.webhook_id
    return _Draft(payload=payload, headers=headers, custom=custom, aps=aps)


def _texts(notification: Notification) -> dict[str, str]:
    texts = {"body": notification.message}
    return {**texts, "title": notification.title} if notification.title else texts


def _replace_alert(draft: _Draft, aps: Json) -> None:
    """Nothing is shown."""
    draft.payload["notification"] = {}
    draft.aps.clear()
    draft.aps.update(aps)


def _command(draft: _Draft, command: str, notification: Notification) -> None:
    """Wake the app in the background, and tell it what to do."""
    _replace_alert(draft, {"contentAvailable": True})
    told: Json = {"command": command}
    badge = _dict(notification.data.get("push")).get("badge")
    if is_truthy(badge):
        draft.aps["badge"] = badge
    if command == CLEAR_NOTIFICATION:
        if is_truthy(tag := notification.data.get("tag")):
            told["tag"] = tag
        # As a header it would replace the notification that is to go by this one.
        if is_truthy(collapse_id := draft.headers.pop(COLLAPSE_ID, None)):
            told["collapseId"] = collapse_id
    draft.custom["homeassistant"] = told


def _alert(draft: _Draft, notification: Notification, *, exact: bool) -> None:
    data, aps, custom = notification.data, draft.aps, draft.custom
    aps |= _dict(data.get("push"))
    if is_truthy(data.get("subtitle")):
        _alert_of(aps)["subtitle"] = data["subtitle"]
    if is_truthy(data.get("sound")):
        aps["sound"] = data["sound"]
    _without_extension(aps, notification.registration.os_version)
    custom |= {name: data[name] for name in (*_COPIED, *_ICONS) if is_truthy(data.get(name))}
    custom |= {name: data[name] for name in _KIOSK if data.get(name) is not None}
    if is_truthy(data.get("action_data")):
        custom["homeassistant"] = data["action_data"]
    _attach(custom, data)
    if isinstance(tag := data.get("tag"), str):
        draft.headers[COLLAPSE_ID] = tag
    if isinstance(group := data.get("group"), str):
        aps["thread-id"] = group
    _categorise(aps, data)
    _special(draft, notification.message)
    if not exact:
        custom.update((name, value) for name, value in data.items() if name not in _KNOWN and name not in custom)


def _attach(custom: Json, data: "Json | object") -> None:
    for name, content_type in _MEDIA.items():
        if is_truthy(url := _dict(data).get(name)):
            attachment = custom["attachment"] = dict(_dict(custom.get("attachment")))
            attachment["content-type"] = attachment.get("content-type") or content_type
            attachment["url"] = attachment.get("url") or url


def _categorise(aps: Json, data: "Json | object") -> None:
    """Without a category the app shows neither actions nor pictures; without the other, its extension is not asked."""
    given = {name for name, value in _dict(data).items() if is_truthy(value)}
    if isinstance(aps.get("category"), str) and aps["category"]:
        aps["category"] = aps["category"].upper()
    elif not given.isdisjoint(_NEED_CATEGORY):
        aps["category"] = "DYNAMIC"
    if not given.isdisjoint(_NEED_EXTENSION):
        aps["mutableContent"] = True


def _special(draft: _Draft, message: str) -> None:
    """Messages that are shown, or not, in another way."""
    if message == DELETE_ALERT:
        _dict(draft.payload.get("notification")).pop("body", None)
        draft.aps["alert"] = {
            name: text for name, text in _alert_of(draft.aps).items() if name not in ("title", "subtitle", "body")
        }
        draft.aps.pop("sound", None)
    elif message == TEST_PUSH_SOURCE:
        _alert_of(draft.aps).update(title=message, body="apns-fcm")


def _alert_of(aps: Json) -> Json:
    """Apple takes a text for it too."""
    alert = aps.get("alert")
    if not isinstance(alert, dict):
        alert = aps["alert"] = {"body": alert} if isinstance(alert, str) else {}
    return alert


def _without_extension(aps: Json, os_version: str | None) -> None:
    """macOS 10.15 finds a sound by its name only."""
    if not (os_version or "").startswith("10.15"):
        return
    sound = aps.get("sound")
    if isinstance(sound, str):
        aps["sound"] = PurePosixPath(sound).stem
    elif isinstance(sound, dict) and isinstance(sound.get("name"), str):
        aps["sound"] = {**sound, "name": PurePosixPath(sound["name"]).stem}


def _settle_types(aps: Json) -> None:
    """Templates make texts of numbers; Apple wants numbers."""
    sound = aps.get("sound")
    if isinstance(sound, str) and sound.lower() == "none":
        del aps["sound"]
    elif isinstance(sound, dict):
        sound = aps["sound"] = dict(sound)
        if is_truthy(sound.get("volume")):
            sound["volume"] = float_of(sound["volume"])
        if is_truthy(sound.get("critical")):
            sound["critical"] = integer_of(1 if sound["critical"] is True else sound["critical"])
    if is_truthy(aps.get("badge")):
        aps["badge"] = number_of(aps["badge"])


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}
