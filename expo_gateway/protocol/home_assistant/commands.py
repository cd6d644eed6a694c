"""Messages that are no text for people but commands to the app; they do not count against the limit of a day.

Source: facts of the official relay, observed 2026-11, and https://companion.home-assistant.io/docs/notifications/.
"""

from typing import Final

CLEAR_NOTIFICATION: Final = "clear_notification"
CLEAR_BADGE: Final = "clear_badge"
DELETE_ALERT: Final = "delete_alert"
TEST_PUSH_SOURCE: Final = "test_push_source"

# message -> the command that the iOS app is given, in a background push.
IOS_BACKGROUND: Final = {
    "request_location_update": "request_location_update",
    "request_location_updates": "request_location_update",
    CLEAR_NOTIFICATION: CLEAR_NOTIFICATION,
    "update_complications": "update_complications",
    "update_widgets": "update_widgets",
}
IOS_EXEMPT: Final = frozenset({*IOS_BACKGROUND, CLEAR_BADGE, DELETE_ALERT})

ANDROID_EXEMPT: Final = frozenset(
    {
        "request_location_update",
        CLEAR_NOTIFICATION,
        "remove_channel",
        *(
            f"command_{name}"
            for name in (
                *("activity", "app_lock", "auto_screen_brightness", "ble_transmitter", "bluetooth"),
                *("broadcast_intent", "dnd", "flashlight", "high_accuracy_mode", "media", "persistent_connection"),
                *("ringer_mode", "screen_brightness_level", "screen_off_timeout", "screen_on", "stop_tts"),
                *("update_sensors", "volume_level", "wake_word_detection", "webview"),
            )
        ),
    }
)
