"""Messages as APNs requests, against fixtures/payloads."""

import json
import re
from typing import Any

import pytest

from expo_gateway.protocol.apns import MAX_EXPIRATION, ApnsRequest, build_apns_request
from expo_gateway.protocol.device import Device
from expo_gateway.protocol.message import PushMessage, decode_send_request
from tests import evidence

ACCEPTED_AT = 1_767_657_694.556
TICKET_ID = "019b9339-aa4e-7e7e-84ac-840ee072e57e"


def decoded(message: dict[str, Any], **changes: object) -> PushMessage:
    body = json.dumps({"to": "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]", **message, **changes})
    return decode_send_request(body.encode()).messages[0]


def build(message: PushMessage, device: Device) -> ApnsRequest:
    return build_apns_request(message, device, apns_id=TICKET_ID, accepted_at=ACCEPTED_AT)


def headers(request: ApnsRequest) -> dict[str, str]:
    """The headers that depend on the message."""
    given = {
        "apns-push-type": request.push_type,
        "apns-priority": str(request.priority),
        "apns-expiration": None if request.expiration is None else str(request.expiration),
        "apns-collapse-id": request.collapse_id,
    }
    return {name: value for name, value in given.items() if value is not None}


def expected_header(text: str) -> str:
    return re.sub(r"<accepted_at \+ (\d+)>", lambda hole: str(int(ACCEPTED_AT) + int(hole[1])), text)


@pytest.mark.parametrize("name", evidence.names("payloads"))
def test_a_message_becomes_the_apns_payload_of_its_fixture(name: str, iphone: Device) -> None:
    fixture = evidence.load("payloads", name)

    request = build(decoded(fixture["message"]), iphone)

    project = {"<full name>": iphone.project.full_name, "<project id>": iphone.project.project_id}
    assert json.loads(request.payload) == evidence.filled(fixture["apns"]["payload"], project)


@pytest.mark.parametrize("name", evidence.names("payloads"))
def test_a_message_becomes_the_apns_headers_of_its_fixture(name: str, iphone: Device) -> None:
    fixture = evidence.load("payloads", name)

    request = build(decoded(fixture["message"]), iphone)

    expected = fixture["apns"]["headers"]
    assert headers(request) == {header: expected_header(value) for header, value in expected.items()}


def test_the_request_goes_to_the_devices_token_app_and_environment(iphone: Device) -> None:
    request = build(decoded({"body": "x"}), iphone)

    assert (request.device_token, request.topic, request.sandbox) == ("a1" * 32, "dev.expo.notificationsapp", False)


def test_the_apns_id_is_the_ticket_id(iphone: Device) -> None:
    assert build(decoded({"body": "x"}), iphone).apns_id == TICKET_ID


def test_the_payload_is_compact_utf_8(iphone: Device) -> None:
    payload = build(decoded({"title": "Grüße", "data": {"a": [1, 2]}}), iphone).payload

    assert payload == json.dumps(json.loads(payload), ensure_ascii=False, separators=(",", ":")).encode()


def test_the_order_of_the_keys_in_data_is_kept(iphone: Device) -> None:
    payload = json.loads(build(decoded({"data": {"z": 1, "a": {"y": 2, "b": 3}}}), iphone).payload)

    assert json.dumps(payload["body"]) == '{"z": 1, "a": {"y": 2, "b": 3}}'


def test_the_rich_content_replaces_a_member_of_that_name_in_data(iphone: Device) -> None:
    message = decoded({"data": {"_richContent": "mine"}, "body": "x", "richContent": {"image": "https://e.org/i.png"}})

    payload = json.loads(build(message, iphone).payload)

    assert payload["body"] == {"_richContent": {"image": "https://e.org/i.png"}}


@pytest.mark.parametrize("ttl", [-1, 0, -1e308])
def test_a_ttl_of_nothing_asks_for_one_attempt(ttl: float, iphone: Device) -> None:
    assert build(decoded({"body": "x", "ttl": ttl}), iphone).expiration == 0


@pytest.mark.parametrize("field", ["ttl", "expiration"])
@pytest.mark.parametrize("value", [10**30, 1e308])
def test_an_expiration_beyond_any_clock_is_cut(field: str, value: float, iphone: Device) -> None:
    assert build(decoded({"body": "x", field: value}), iphone).expiration == MAX_EXPIRATION


def test_a_badge_beyond_64_bits_is_written_as_javascript_would(iphone: Device) -> None:
    payload = build(decoded({"badge": 10**30}), iphone).payload

    assert b'"badge":1e+30' in payload or b'"badge":1e30' in payload


def test_a_whole_number_is_written_without_a_fraction(iphone: Device) -> None:
    """JavaScript knows no 1.0, and iOS reads a badge as an integer."""
    body = b'{"to":"ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]","badge":1.0,"relevanceScore":1.0}'

    payload = build(decode_send_request(body).messages[0], iphone).payload

    assert b'"badge":1,"relevance-score":1}' in payload


@pytest.mark.parametrize("sound", [{}, {"critical": False}, {"name": None}])
def test_a_sound_object_that_says_nothing_is_no_sound(sound: dict[str, object], iphone: Device) -> None:
    request = build(decoded({"data": {"a": 1}, "sound": sound}), iphone)

    assert (request.push_type, json.loads(request.payload)["aps"]) == ("background", {"content-available": 1})
