"""A notification for Home Assistant's Android app, as `POST /api/sendPush/android/v1` of the official relay makes it.

All of it is data, in strings: the app makes the notification. What comes out is in the words of Firebase's SDK;
`firebase.py` makes it what is sent. Source: facts of the official relay, observed 2026-11, and
https://companion.home-assistant.io/docs/notifications/.

`exact` is what the official relay does: keys that it does not know are left out, and so is `ttl: 0`, by which the app's
documentation has critical notifications sent.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from expo_gateway.protocol.home_assistant.commands import ANDROID_EXEMPT
from expo_gateway.protocol.home_assistant.javascript import is_truthy, string_of, text_of
from expo_gateway.protocol.home_assistant.notification import Json, Notification, Translated

# What the official relay passes on. It is said to have 67 names; those that are not known are not here.
KNOWN: Final = frozenset(
    {
        *("alert_once", "app_lock_enabled", "app_lock_timeout", "ble_advertise", "ble_major", "ble_measured_power"),
        *("ble_minor", "ble_transmit", "ble_uuid", "bodyLocArgs", "bodyLocKey", "car_ui", "channel", "chronometer"),
        *("clickAction", "color", "command", "confirmation", "defaultLightSettings", "defaultSound"),
        *("defaultVibrateTimings", "eventTime", "group", "high_accuracy_update_interval", "home_bypass_enabled"),
        *("icon", "icon_url", "image", "importance", "intent_action", "intent_class_name", "intent_extras"),
        *("intent_package_name", "intent_type", "intent_uri", "ledColor", "lightSettings", "localOnly"),
        *("media_command", "media_package_name", "media_stream", "notificationCount", "notificationPriority"),
        *("notification_icon", "package_name", "persistent", "progress", "progress_indeterminate", "progress_max"),
        *("sound", "sticky", "subject", "tag", "ticker", "timeout", "titleLocArgs", "titleLocKey", "tts_text"),
        *("vibrateTimings", "vibrationPattern", "video", "visibility", "when", "when_relative"),
        # Of live updates, which the app has documented since; assumed.
        *("critical_text", "live_update"),
    }
)
# Put into other places than `data`, or meant for other providers.
_ELSEWHERE: Final = frozenset({"actions", "ttl", "priority", "apns", "apns_headers", "push", "webpush"})
# What an action is called in the data, where it is not the same.
_ACTION_KEYS: Final = {"action": "key", "title": "title", "uri": "uri", "behavior": "behavior"} | {
    "authenticationRequired": "authenticationRequired"
}


def for_android(notification: Notification, *, exact: bool = False) -> Translated:
    given = notification.data
    data = dict(_actions(given.get("actions"), exact=exact)) | dict(_texts(given, exact=exact))
    if notification.message or not exact:
        data["message"] = notification.message
    if notification.title:
        data["title"] = notification.title
    if notification.registration.webhook_id:
        data["webhook_id"] = notification.registration.webhook_id
    payload: Json = {
        "android": _android(given, exact=exact),
        "data": data,
        "fcm_options": {"analytics_label": "androidV1Notification"},
    }
    return Translated(payload=payload, counts=notification.message not in ANDROID_EXEMPT)


def _android(given: Mapping[str, object], *, exact: bool) -> Json:
    """What FCM itself goes by. `ttl` is in milliseconds, as the SDK has it."""
    if exact:
        return {name: given[name] for name in ("ttl", "priority") if is_truthy(given.get(name))}
    return {name: given[name] for name in ("ttl", "priority") if given.get(name) is not None}


def _texts(given: Mapping[str, object], *, exact: bool) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if exact and name in KNOWN:
            yield name, string_of(value)
        elif not exact and value is not None and not _has_its_place(name, value) and not is_reserved(name):
            yield name, text_of(value)


def _has_its_place(name: str, value: object) -> bool:
    return name in _ELSEWHERE and not (name == "actions" and not isinstance(value, list))


def _actions(actions: object, *, exact: bool) -> Iterator[tuple[str, str]]:
    """`action_1_key`, `action_1_title` and so on."""
    for number, action in enumerate(actions if isinstance(actions, list) else (), 1):
        for name, value in action.items() if isinstance(action, dict) else ():
            if is_truthy(value) and (name in _ACTION_KEYS or not exact):
                yield f"action_{number}_{_ACTION_KEYS.get(name, name)}", text_of(value)


def is_reserved(name: str) -> bool:
    """FCM refuses a message that has such data.

    https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type
    """
    return name in ("", "from", "message_type") or name.startswith(("google.", "gcm."))
