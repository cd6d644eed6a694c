"""Messages as FCM messages, against fixtures/payloads."""

import json
from typing import Any

import pytest

from expo_gateway.protocol.device import Device
from expo_gateway.protocol.fcm import MAX_TTL_S, FcmRequest, build_fcm_request, payload_size_bytes
from expo_gateway.protocol.message import PushMessage, decode_send_request
from tests import evidence

ACCEPTED_AT = 1_767_657_694.556


def decoded(message: dict[str, Any]) -> PushMessage:
    body = json.dumps({"to": "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]", **message})
    return decode_send_request(body.encode()).messages[0]


def build(message: PushMessage, device: Device, *, after_s: float = 0.0) -> FcmRequest:
    return build_fcm_request(message, device, accepted_at=ACCEPTED_AT, now=ACCEPTED_AT + after_s)


def ttl(message: dict[str, Any], device: Device, *, after_s: float = 0.0) -> object:
    return build(decoded(message), device, after_s=after_s).android.get("ttl")


@pytest.mark.parametrize("name", evidence.names("payloads"))
def test_a_message_becomes_the_fcm_message_of_its_fixture(name: str, android_phone: Device) -> None:
    fixture = evidence.load("payloads", name)

    request = build(decoded(fixture["message"]), android_phone)

    project = {"<full name>": android_phone.project.full_name, "<project id>": android_phone.project.project_id}
    expected = evidence.filled(fixture["fcm"], project)
    assert (request.notification, request.data, request.android) == (
        expected.get("notification"),
        expected["data"],
        expected["android"],
    )


def test_the_request_goes_to_the_devices_token(android_phone: Device) -> None:
    assert build(decoded({"body": "x"}), android_phone).device_token == android_phone.device_token


def test_data_is_always_there_as_the_text_of_an_object(android_phone: Device) -> None:
    """Without it the app would see Expo's own keys as its data."""
    assert build(decoded({"title": "x"}), android_phone).data["body"] == "{}"


def test_every_data_value_is_a_string(android_phone: Device) -> None:
    message = evidence.load("payloads", "everything")["message"]

    assert {type(value) for value in build(decoded(message), android_phone).data.values()} == {str}


@pytest.mark.parametrize(("badge", "written"), [(0, "0"), (3, "3"), (1.0, "1"), (1.5, "1.5"), (-1, "-1")])
def test_a_badge_is_written_as_javascript_would(badge: float, written: str, android_phone: Device) -> None:
    assert build(decoded({"badge": badge}), android_phone).data["badge"] == written


def test_what_is_left_of_the_ttl_is_sent_on_a_later_attempt(android_phone: Device) -> None:
    assert ttl({"body": "x", "ttl": 3600}, android_phone, after_s=600.0) == "3000s"


def test_a_part_of_a_second_counts_as_a_whole_one(android_phone: Device) -> None:
    assert ttl({"body": "x", "ttl": 3600}, android_phone, after_s=0.004) == "3600s"


def test_a_ttl_that_has_run_out_is_zero(android_phone: Device) -> None:
    assert ttl({"body": "x", "ttl": 60}, android_phone, after_s=61.0) == "0s"


def test_a_longer_ttl_than_fcm_takes_is_cut(android_phone: Device) -> None:
    assert ttl({"body": "x", "ttl": 1e308}, android_phone) == f"{MAX_TTL_S}s"


def test_an_expiration_is_counted_from_now(android_phone: Device) -> None:
    assert ttl({"body": "x", "expiration": ACCEPTED_AT + 100}, android_phone, after_s=40.0) == "60s"


def test_without_ttl_or_expiration_fcm_has_its_own_policy(android_phone: Device) -> None:
    assert ttl({"body": "x"}, android_phone) is None


def test_the_size_counts_keys_and_values_of_notification_and_data_in_utf_8() -> None:
    request = FcmRequest(device_token="t", notification={"title": "ü"}, data={"body": "{}", "tag": "ab"}, android={})

    assert payload_size_bytes(request) == len("title") + 2 + len("body") + 2 + len("tag") + 2
