import json
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from expo_gateway.dispatcher.decision import window
from expo_gateway.protocol.apns import ApnsRequest, build_apns_request
from expo_gateway.protocol.device import Device, Platform, Project, project_id_of
from expo_gateway.protocol.fcm import FcmRequest, build_fcm_request
from expo_gateway.protocol.message import decode_send_request
from expo_gateway.protocol.native import NativeApns, NativeMessage
from expo_gateway.protocol.native_requests import native_apns_request, native_fcm_request, with_own_life

NOW = 1_790_000_000.0
PHONE = Device(
    push_token="ExponentPushToken[a]",
    project=Project(project_id=project_id_of("@acme/home"), full_name="@acme/home"),
    platform=Platform.IOS,
    device_token="a1" * 32,
    app_id="io.acme.home",
    registered_at=NOW,
    sandbox=True,
)
ALERT = {"aps": {"alert": {"title": "T", "body": "B"}}}


def raw(value: object) -> Raw:
    return Raw(json.dumps(value).encode())


def to_apns(message: NativeMessage) -> ApnsRequest:
    return native_apns_request(message, PHONE, apns_id="an id", accepted_at=NOW)


def to_fcm(message: NativeMessage, *, waited_s: float = 0.0) -> FcmRequest:
    android = replace(PHONE, platform=Platform.ANDROID, device_token="abc:ok201")
    return native_fcm_request(message, android, accepted_at=NOW, now=NOW + waited_s)


def through_fcm(**parts: object) -> NativeMessage:
    return NativeMessage(to=PHONE.push_token, fcm=raw(parts))


# -- APNs -------------------------------------------------------------------------------------------------------------


def test_an_apns_part_is_sent_in_its_own_words_to_the_device() -> None:
    headers = {
        "apns-push-type": "background",
        "apns-priority": "5",
        "apns-collapse-id": "door",
        "apns-expiration": "0",
        "apns-topic": "not.ours",
        "apns-id": "nor this",
    }

    request = to_apns(NativeMessage(to="x", apns=NativeApns(headers=headers, payload=raw({"aps": {}, "a": 1}))))

    assert request == ApnsRequest(
        apns_id="an id",
        device_token=PHONE.device_token,
        sandbox=True,
        topic="io.acme.home",
        push_type="background",
        priority=5,
        expiration=0,
        collapse_id="door",
        payload=b'{"aps":{},"a":1}',
    )


@pytest.mark.parametrize(
    ("aps", "push_type", "priority"),
    [
        ({"alert": "x"}, "alert", 10),
        ({"content-available": 1}, "background", 5),
        ({"content-available": 1, "sound": "default"}, "alert", 10),
        ({"badge": 0}, "alert", 10),
    ],
)
def test_a_push_type_that_goes_without_saying_is_told_by_the_payload(
    aps: object, push_type: str, priority: int
) -> None:
    request = to_apns(NativeMessage(to="x", apns=NativeApns(payload=raw({"aps": aps}))))

    assert (request.push_type, request.priority, request.expiration, request.collapse_id) == (
        push_type,
        priority,
        None,
        None,
    )


def test_a_live_activity_has_its_own_address_and_topic() -> None:
    part = NativeApns(
        headers={"apns-push-type": "liveactivity"}, payload=raw({"aps": {"event": "update"}}), device_token="b2" * 40
    )

    request = to_apns(NativeMessage(to="x", apns=part))

    assert (request.device_token, request.topic) == ("b2" * 40, "io.acme.home.push-type.liveactivity")


def test_an_fcm_message_reaches_an_apns_device_by_its_apns_part() -> None:
    message = through_fcm(
        notification={"title": "T", "body": "B"},
        data={"webhook_id": "w", "url": "/a"},
        apns={
            "headers": {"APNS-Push-Type": "alert", "apns-collapse-id": "tag"},
            "payload": {"aps": {"sound": "default"}, "url": "/b"},
            "fcm_options": {"image": "http://example.com/a.png"},
        },
    )

    request = to_apns(message)

    assert (request.push_type, request.collapse_id) == ("alert", "tag")
    assert json.loads(request.payload) == {
        "webhook_id": "w",
        "url": "/b",
        "aps": {"sound": "default", "alert": {"title": "T", "body": "B"}},
        "fcm_options": {"image": "http://example.com/a.png"},
    }


def test_an_alert_of_the_apns_part_is_not_replaced_by_the_notification() -> None:
    request = to_apns(through_fcm(notification={"body": "other"}, apns={"payload": ALERT}))

    assert json.loads(request.payload) == ALERT


@pytest.mark.parametrize("name", ["live_activity_token", "liveActivityToken"])
def test_a_live_activity_token_of_an_fcm_message_is_its_address(name: str) -> None:
    request = to_apns(through_fcm(apns={name: "c3" * 40, "payload": {"aps": {"event": "end"}}}))

    assert (request.device_token, request.push_type) == ("c3" * 40, "liveactivity")
    assert request.topic.endswith(".push-type.liveactivity")


# -- FCM --------------------------------------------------------------------------------------------------------------


def test_an_fcm_part_is_sent_in_its_own_words_to_the_device() -> None:
    parts: dict[str, Any] = {
        "notification": {"title": "T", "body": "B"},
        "data": {"a": "1"},
        "android": {"priority": "HIGH"},
        "apns": {"payload": ALERT},
        "webpush": {"data": {}},
        "fcm_options": {"analytics_label": "x"},
    }

    request = to_fcm(through_fcm(**parts))

    assert request == FcmRequest(
        device_token="abc:ok201",
        notification=parts["notification"],
        data=parts["data"],
        android=parts["android"],
        others={name: parts[name] for name in ("apns", "webpush", "fcm_options")},
    )


@pytest.mark.parametrize(("ttl", "left"), [("3600s", "3590s"), ("5s", "0s"), ("0s", "0s"), ("2.5s", "0s")])
def test_of_a_ttl_what_is_left_is_sent(ttl: str, left: str) -> None:
    assert to_fcm(through_fcm(android={"ttl": ttl}), waited_s=10).android == {"ttl": left}


def test_a_message_without_a_part_for_a_provider_is_sent_as_expos() -> None:
    message = NativeMessage(to="x", title="T", body="B", local=raw({"message": "B"}))
    (expos,) = decode_send_request(b'{"to":"x","title":"T","body":"B"}').messages
    android = replace(PHONE, platform=Platform.ANDROID)

    assert to_apns(message) == build_apns_request(expos, PHONE, apns_id="an id", accepted_at=NOW)
    assert native_fcm_request(message, android, accepted_at=NOW, now=NOW) == build_fcm_request(
        expos, android, accepted_at=NOW, now=NOW
    )


# -- how long it is worth something -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "platform", "once", "lapses_after_s"),
    [
        (through_fcm(android={"ttl": "0s"}), Platform.ANDROID, True, 30.0),
        (through_fcm(android={"ttl": "60s"}), Platform.ANDROID, False, 60.0),
        (through_fcm(android={"ttl": "0s"}, apns={"payload": ALERT}), Platform.IOS, False, None),
        (through_fcm(apns={"payload": ALERT, "headers": {"apns-expiration": "0"}}), Platform.IOS, True, 30.0),
        (through_fcm(apns={"payload": ALERT, "headers": {"apns-expiration": "0"}}), Platform.ANDROID, False, None),
        (NativeMessage(to="x", ttl=5, local=raw({})), Platform.LOCAL, False, 5.0),
    ],
)
def test_a_message_lapses_when_its_part_for_the_platform_says_so(
    message: NativeMessage, platform: Platform, once: bool, lapses_after_s: float | None
) -> None:
    span = window(with_own_life(message, platform), accepted_at=NOW)

    assert span.once is once
    assert span.lapses_at == (None if lapses_after_s is None else NOW + lapses_after_s)


def test_expos_own_message_keeps_its_life() -> None:
    (expos,) = decode_send_request(b'{"to":"x","ttl":7}').messages

    assert with_own_life(expos, Platform.IOS) is expos
