"""A notification as the message that the gateway takes in: what FCM, Apple and a local channel are to get of it."""

from typing import Literal

import msgspec
import orjson

from expo_gateway.protocol.home_assistant.android import for_android
from expo_gateway.protocol.home_assistant.firebase import apns_headers, apns_payload, fcm_message
from expo_gateway.protocol.home_assistant.ios import for_ios
from expo_gateway.protocol.home_assistant.live_activity import for_live_activity
from expo_gateway.protocol.home_assistant.notification import Json, Notification, Translated, event_of
from expo_gateway.protocol.native import NativeApns, NativeMessage
from expo_gateway.protocol.push_token import passes_sdk_check

Endpoint = Literal["legacy", "android"]
"""The official relay's two: `/api/sendPushNotification`, of iOS, and `/api/sendPush/android/v1`."""


def translated(notification: Notification, endpoint: Endpoint, *, exact: bool, now: float) -> Translated:
    """As the official relay hands it to Firebase. `now`: Unix seconds."""
    if endpoint == "android":
        return for_android(notification, exact=exact)
    if notification.live_activity_token is not None:
        return for_live_activity(notification, now=now)
    return for_ios(notification, exact=exact)


def native_message(
    notification: Notification, payload: Json, *, endpoint: Endpoint, to: str, exact: bool
) -> NativeMessage:
    """The message to the push token `to`. `payload` is the translated one.

    In `exact` mode an iPhone gets what FCM would make of it. Else it gets what is meant for iPhones, whichever door it
    came by; and where Home Assistant knows the phone by its Expo push token, the app finds `data` where Expo's client
    looks for it.
    """
    fcm = fcm_message(payload)
    for_expo = None if exact or not passes_sdk_check(notification.push_token) else notification.data
    apns = (
        None if exact else _apns(fcm if endpoint == "legacy" else fcm_message(for_ios(notification).payload), for_expo)
    )
    if for_expo is not None:
        fcm["data"] = {**_expo_data(notification, is_shown="notification" in fcm), **fcm.get("data", {})}
    return NativeMessage(
        to=to,
        title=notification.title,
        body=notification.message,
        data=_raw(notification.data) if notification.data else msgspec.Raw(b""),
        apns=apns,
        fcm=_raw(fcm),
        local=_raw(event_of(notification)),
    )


def limited_notice(*, to: str, maximum: int, resets_at: str) -> NativeMessage:
    """Tells the phone why nothing comes any more. `resets_at`: ISO 8601.

    Title and data are those of the official relay, by which its apps know it; the text is ours.
    """
    title = "Notifications Rate Limited"
    body = f"{maximum} notifications have been sent today. No more will come until midnight UTC."
    data = {"rateLimited": "true", "maxNotificationsPerDay": str(maximum), "resetsAt": resets_at}
    texts = {"title": title, "body": body}
    fcm = {
        "notification": texts,
        "data": data,
        "android": {"priority": "HIGH"},
        "apns": {"headers": {"apns-push-type": "alert"}, "payload": {"aps": {"alert": texts}}},
        "fcm_options": {"analytics_label": "rateLimitNotification"},
    }
    event = {"title": title, "message": body, "data": data}
    return NativeMessage(to=to, title=title, body=body, data=_raw(data), fcm=_raw(fcm), local=_raw(event))


def _apns(fcm: Json, for_expo: object) -> NativeApns:
    payload = apns_payload(fcm)
    if for_expo:
        payload.setdefault("body", for_expo)
    token = fcm["apns"].get("live_activity_token")
    address = token if isinstance(token, str) and token else None
    return NativeApns(headers=apns_headers(fcm), payload=_raw(payload), device_token=address)


def _expo_data(notification: Notification, *, is_shown: bool) -> dict[str, str]:
    """What Expo's client reads on Android. Of a notification that is shown it has the texts only from here."""
    data = {"body": orjson.dumps(notification.data).decode()} if notification.data else {}
    if is_shown:
        data["message"] = notification.message
        if notification.title:
            data["title"] = notification.title
    return data


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(orjson.dumps(value))
