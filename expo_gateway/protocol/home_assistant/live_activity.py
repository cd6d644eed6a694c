"""A notification for a Live Activity of Home Assistant's iOS app: it starts, updates or ends one.

What comes out is in the words of Firebase's SDK; `firebase.py` makes it what is sent. Source: facts of the official
relay and of Home Assistant 2026.11, observed 2026-11; Apple, "Starting and updating Live Activities with ActivityKit
push notifications". Pure: the caller brings the instant.
"""

from typing import Final

from expo_gateway.protocol.home_assistant.commands import CLEAR_NOTIFICATION
from expo_gateway.protocol.home_assistant.ios import COLLAPSE_ID
from expo_gateway.protocol.home_assistant.javascript import is_truthy, number_of
from expo_gateway.protocol.home_assistant.notification import Json, Notification, Translated

# The app's type in Swift; the phone looks it up by this name.
ATTRIBUTES_TYPE: Final = "HALiveActivityAttributes"
START: Final = "start"
UPDATE: Final = "update"
END: Final = "end"

# What of `data` the app's content state has, and what it is called there. The app's decoder knows no other.
_SAME_NAME: Final = (
    *("critical_text", "progress", "progress_max", "chronometer", "background_color", "text_color"),
    *("progress_bar_color", "progress_bar_direction", "url"),
)
_STATE_OF_DATA: Final = {
    **dict(zip(_SAME_NAME, _SAME_NAME, strict=True)),
    "notification_icon": "icon",
    "notification_icon_color": "color",
}
_STATE: Final = ("title", "message", *_STATE_OF_DATA.values(), "countdown_end")


def for_live_activity(notification: Notification, *, now: float) -> Translated:
    """`notification.live_activity_token` is set. `now`: Unix seconds. It counts, whatever it does."""
    data, now_s = notification.data, int(now)
    event = data.get("event", UPDATE) or UPDATE
    is_silent = event == UPDATE and data.get("silent") is True
    headers = {"apns-priority": "5" if is_silent else "10"}
    # Of several starts that wait for a phone only the last is to come; of updates and ends every one.
    if event == START and is_truthy(data.get("tag")):
        headers[COLLAPSE_ID] = str(data["tag"])
    apns = {
        "liveActivityToken": notification.live_activity_token,
        "headers": headers,
        "payload": {"aps": _aps(notification, str(event), is_silent=is_silent, now_s=now_s)},
    }
    payload: Json = {"apns": apns, "fcm_options": {"analytics_label": "iOSLiveActivityV1"}}
    return Translated(payload=payload, counts=True)


def _aps(notification: Notification, event: str, *, is_silent: bool, now_s: int) -> Json:
    data = notification.data
    aps: Json = {"timestamp": now_s, "event": event, "content-state": _content_state(notification, now_s=now_s)}
    if event == START:
        aps |= {"attributes-type": ATTRIBUTES_TYPE, "attributes": _attributes(notification, now_s=now_s)}
    elif event == END:
        aps["dismissal-date"] = now_s if data.get("dismissal_date") is None else data["dismissal_date"]
    if "stale_date" in data:
        aps["stale-date"] = data["stale_date"]
    if (relevance := number_of(data.get("relevance_score"))) is not None:
        aps["relevance-score"] = min(max(relevance, 0), 1)
    if is_truthy(data.get("alert")):
        aps["alert"] = data["alert"]
        if is_truthy(data.get("alert_sound")):
            aps["sound"] = data["alert_sound"]
    else:
        # With a title it comes fast, and without text in it nothing sounds.
        aps["alert"] = {"title": ""} if is_silent else {"title": notification.title or "", "body": _shown(notification)}
    return aps


def _attributes(notification: Notification, *, now_s: int) -> Json:
    tag = notification.data.get("tag")
    attributes: Json = {
        "tag": "" if tag is None else tag,
        "title": notification.title or "",
        "started_at": now_s,
    }
    if notification.registration.webhook_id:
        attributes["webhook_id"] = notification.registration.webhook_id
    return attributes


def _content_state(notification: Notification, *, now_s: int) -> Json:
    data = notification.data
    state: Json = {"message": _shown(notification)}
    if notification.title is not None:
        state["title"] = notification.title
    state |= {name: data[key] for key, name in _STATE_OF_DATA.items() if key in data}
    if "when" in data:
        state["countdown_end"] = _countdown_end(
            data["when"], is_relative=is_truthy(data.get("when_relative")), now_s=now_s
        )
    given = data.get("content_state")
    if isinstance(given, dict):
        state |= {name: given[name] for name in _STATE if name in given}
    return state


def _countdown_end(when: object, *, is_relative: bool, now_s: int) -> object:
    seconds = number_of(when)
    return now_s + seconds if is_relative and seconds is not None else when


def _shown(notification: Notification) -> str:
    """Commands are not for people."""
    return "" if notification.message == CLEAR_NOTIFICATION else notification.message
