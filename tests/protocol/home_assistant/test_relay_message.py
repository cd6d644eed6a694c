"""Notifications as messages, against fixtures/home_assistant."""

import json
from typing import Any

import msgspec
import orjson
import pytest

from expo_gateway.protocol.home_assistant.android import is_reserved
from expo_gateway.protocol.home_assistant.commands import ANDROID_EXEMPT, IOS_EXEMPT
from expo_gateway.protocol.home_assistant.notification import Notification, read_notification
from expo_gateway.protocol.home_assistant.relay_message import limited_notice, native_message, translated
from expo_gateway.protocol.message import PushMessage
from expo_gateway.protocol.native import NativeMessage, encode_native
from expo_gateway.protocol.stored import decode_stored
from tests import evidence

NOW = 1_795_348_800.0
PHONE = "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"
RELAYED = [name for name in evidence.names("home_assistant") if name.startswith("relay_")]


def fixtures(*parts: str) -> list[str]:
    """Those that say all of this."""
    return [name for name in RELAYED if all(part in evidence.load("home_assistant", name) for part in parts)]


def relayed(fixture: dict[str, Any], *, exact: bool = False) -> NativeMessage:
    notification, endpoint = read_notification(fixture["request"]), fixture["endpoint"]
    message = translated(notification, endpoint, exact=exact, now=NOW)
    return native_message(notification, message.payload, endpoint=endpoint, to=PHONE, exact=exact)


def read(raw: msgspec.Raw) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(bytes(raw))
    return found


def posted(**fields: object) -> Notification:
    return read_notification({"message": "Hello", "push_token": "abc:def", **fields})


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "default"])
@pytest.mark.parametrize("name", RELAYED)
def test_a_notification_becomes_the_payload_of_its_fixture(name: str, exact: bool) -> None:
    fixture = evidence.load("home_assistant", name)
    expected = fixture["exact"] if exact else fixture.get("default", fixture["exact"])

    message = translated(read_notification(fixture["request"]), fixture["endpoint"], exact=exact, now=NOW)

    assert {"payload": message.payload, "counts": message.counts} == expected


@pytest.mark.parametrize("name", fixtures("apns"))
def test_an_iphone_is_sent_what_its_fixture_says(name: str) -> None:
    fixture = evidence.load("home_assistant", name)

    apns = relayed(fixture).apns

    assert apns is not None
    sent = {"headers": apns.headers, "payload": read(apns.payload)}
    assert sent | ({"device_token": apns.device_token} if apns.device_token else {}) == fixture["apns"]


@pytest.mark.parametrize("name", fixtures("fcm"))
def test_fcm_is_sent_what_its_fixture_says(name: str) -> None:
    fixture = evidence.load("home_assistant", name)

    assert read(relayed(fixture).fcm) == fixture["fcm"]


@pytest.mark.parametrize("name", RELAYED)
def test_the_request_is_left_as_it_was(name: str) -> None:
    """The local channel, the journal and the answer show it."""
    fixture = evidence.load("home_assistant", name)
    before = json.dumps(fixture["request"])

    relayed(fixture)

    assert json.dumps(fixture["request"]) == before


@pytest.mark.parametrize("name", RELAYED)
def test_a_message_survives_being_stored(name: str) -> None:
    message = relayed(evidence.load("home_assistant", name))

    (stored,) = decode_stored(encode_native([message])).messages

    assert stored == message


def test_an_iphone_gets_what_is_meant_for_iphones_by_the_android_door_too() -> None:
    notification = posted(data={"push": {"sound": "ding.wav"}, "ttl": 0})
    payload = translated(notification, "android", exact=False, now=NOW).payload

    apns = native_message(notification, payload, endpoint="android", to=PHONE, exact=False).apns

    assert apns is not None
    assert read(apns.payload)["aps"] == {"alert": {"body": "Hello"}, "sound": "ding.wav"}


def test_an_exact_iphone_gets_what_fcm_would_make_of_it() -> None:
    notification = posted()
    payload = translated(notification, "android", exact=True, now=NOW).payload

    assert native_message(notification, payload, endpoint="android", to=PHONE, exact=True).apns is None


def test_an_app_that_knows_its_expo_push_token_finds_data_where_expos_client_looks() -> None:
    notification = posted(push_token=PHONE, data={"key": "value"})
    android = translated(notification, "android", exact=False, now=NOW).payload

    message = native_message(notification, android, endpoint="android", to=PHONE, exact=False)

    assert message.apns is not None
    assert read(message.apns.payload)["body"] == {"key": "value"}
    assert read(message.fcm)["data"]["body"] == '{"key":"value"}'


def test_expos_client_on_android_finds_texts_and_data_by_the_other_door_too() -> None:
    notification = posted(push_token=PHONE, title="T", data={"key": "value"})
    legacy = translated(notification, "legacy", exact=False, now=NOW).payload

    fcm = read(native_message(notification, legacy, endpoint="legacy", to=PHONE, exact=False).fcm)

    assert fcm["notification"] == {"body": "Hello", "title": "T"}
    assert fcm["data"] == {"message": "Hello", "title": "T", "body": '{"key":"value"}'}


def test_a_command_has_no_text_that_expos_client_would_show() -> None:
    notification = posted(push_token=PHONE, message="clear_notification", data={"tag": "x"})
    legacy = translated(notification, "legacy", exact=False, now=NOW).payload

    fcm = read(native_message(notification, legacy, endpoint="legacy", to=PHONE, exact=False).fcm)

    assert "notification" not in fcm
    assert fcm["data"] == {"body": '{"tag":"x"}'}


def test_a_local_channel_gets_the_notification_without_addresses() -> None:
    fixture = evidence.load("home_assistant", "relay_ios_tag_and_group")

    event = read(relayed(fixture).local)

    assert event == {key: fixture["request"][key] for key in ("message", "title", "data")}


def test_a_message_shows_its_title_text_and_data_as_any_other() -> None:
    message: PushMessage = relayed(evidence.load("home_assistant", "relay_android_command"))

    assert (message.title, message.body, message.data_object()) == (
        None,
        "command_volume_level",
        {"media_stream": "music_stream", "command": 20},
    )


@pytest.mark.parametrize(
    ("ttl", "written"),
    [
        (0, "0s"),
        (60_000, "60s"),
        (1500, "1.500s"),
        ("0", "0s"),
        ("30s", "30s"),
        (-1, None),
        ("soon", None),
        (True, None),
    ],
)
def test_a_life_is_in_milliseconds_or_in_fcms_own_form(ttl: object, written: str | None) -> None:
    """What FCM would refuse is left out: the user gets his notification."""
    notification = posted(data={"ttl": ttl})
    payload = translated(notification, "android", exact=False, now=NOW).payload
    message = native_message(notification, payload, endpoint="android", to=PHONE, exact=False)

    assert read(message.fcm)["android"].get("ttl") == written


@pytest.mark.parametrize(
    "data",
    [
        {"apns": {"liveActivityToken": 5, "headers": [], "payload": 3}},
        {"apns": {"payload": {"aps": None}}, "apns_headers": "x", "push": "loud"},
        {"apns_headers": {"apns-priority": 5, "apns-expiration": None}, "attachment": "x", "image": "/x.jpg"},
        {"push": {"sound": {"volume": "loud", "critical": "very"}, "badge": "many", "category": 5, "alert": "Text"}},
        {"subtitle": {"a": 1}, "push": {"alert": 7}, "data": {"a": {"b": [1]}}, "android": {"data": {"c": 1}}},
        {"actions": "none", "priority": ["high"], "ttl": {}, "": "x"},
        {"actions": [None, 5, {"action": None, "title": {"a": 1}}]},
        {"aps": {"alert": "mine"}, "webhook_id": "not mine", "message": "other", "title": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("endpoint", ["legacy", "android"])
@pytest.mark.parametrize("exact", [True, False])
def test_whatever_the_user_wrote_becomes_a_message_that_can_be_stored(
    data: dict[str, object], endpoint: Any, exact: bool
) -> None:
    notification = posted(data=data)
    payload = translated(notification, endpoint, exact=exact, now=NOW).payload
    message = native_message(notification, payload, endpoint=endpoint, to=PHONE, exact=exact)

    (stored,) = decode_stored(encode_native([message])).messages

    assert stored == message
    fcm = read(message.fcm)
    assert all(isinstance(value, str) for value in fcm.get("data", {}).values())


def test_a_user_cannot_write_another_message_into_androids_data() -> None:
    data = translated(posted(data={"message": "other"}), "android", exact=False, now=NOW).payload["data"]

    assert data == {"message": "Hello"}


def test_the_commands_that_never_count_are_those_of_the_official_relay() -> None:
    assert (len(IOS_EXEMPT), len(ANDROID_EXEMPT)) == (7, 23)


@pytest.mark.parametrize("name", ["from", "message_type", "google.c.a", "gcm.notification.x", ""])
def test_what_fcm_keeps_for_itself_is_known(name: str) -> None:
    assert is_reserved(name)


def test_the_notice_of_the_limit_is_one_for_every_phone() -> None:
    notice = limited_notice(to=PHONE, maximum=500, resets_at="2026-11-23T00:00:00.000Z")

    fcm = read(notice.fcm)

    assert notice.title == fcm["notification"]["title"] == "Notifications Rate Limited"
    assert fcm["data"] == {
        "rateLimited": "true",
        "maxNotificationsPerDay": "500",
        "resetsAt": "2026-11-23T00:00:00.000Z",
    }
    assert read(notice.local)["message"] == notice.body
