import json
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from expo_gateway.protocol.receipt import FCM_TEXTS, ReceiptError
from expo_gateway.providers.base import Accepted, Outcome, Rejected, Scope, Uncertain, Unsent
from expo_gateway.providers.fcm_answers import MAX_TEXT_CHARS, outcome_of, read_answer, retry_after_s

NOW = 1_760_000_000.0
ERRORS = Path(__file__).parents[2] / "fixtures" / "fcm" / "errors.json"
BODIES: dict[str, dict[str, Any]] = {error["name"]: error for error in json.loads(ERRORS.read_text())["errors"]}

# facts/providers.md 3.2. Final, and about one delivery, unless it says otherwise.
MEANT = {
    "recipient_missing": ReceiptError.DEVELOPER_ERROR,
    "invalid_registration_token": ReceiptError.DEVICE_NOT_REGISTERED,
    "invalid_condition": ReceiptError.DEVELOPER_ERROR,
    "too_big": ReceiptError.MESSAGE_TOO_BIG,
    "too_big_older_text": ReceiptError.MESSAGE_TOO_BIG,
    "apns_device_token_disabled": ReceiptError.DEVICE_NOT_REGISTERED,
    "credentials_missing": ReceiptError.INVALID_CREDENTIALS,
    "access_token_invalid": ReceiptError.INVALID_CREDENTIALS,
    "access_token_expired": ReceiptError.INVALID_CREDENTIALS,
    "third_party_auth_error": ReceiptError.INVALID_CREDENTIALS,
    "sender_id_mismatch": ReceiptError.MISMATCH_SENDER_ID,
    "permission_denied": ReceiptError.INVALID_CREDENTIALS,
    "api_disabled": ReceiptError.INVALID_CREDENTIALS,
    "unregistered": ReceiptError.DEVICE_NOT_REGISTERED,
    "not_found": ReceiptError.PROVIDER_ERROR,
    "quota_exceeded": ReceiptError.MESSAGE_RATE_EXCEEDED,
    "quota_exceeded_as_documented": ReceiptError.MESSAGE_RATE_EXCEEDED,
    "internal": ReceiptError.PROVIDER_ERROR,
    "unavailable": ReceiptError.PROVIDER_ERROR,
    "unspecified_error": ReceiptError.PROVIDER_ERROR,
}
DROPS_THE_DEVICE = {"unregistered", "invalid_registration_token", "apns_device_token_disabled"}
REFUSES_THE_CREDENTIAL = {
    "credentials_missing",
    "access_token_invalid",
    "access_token_expired",
    "permission_denied",
    "api_disabled",
}
PAUSES_THE_PROJECT = {"quota_exceeded", "quota_exceeded_as_documented"}
TRIED_AGAIN = PAUSES_THE_PROJECT | {"internal", "unavailable", "unspecified_error"}


def outcome(status: int, body: object = b"", **headers: str) -> Outcome:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return outcome_of(read_answer(status=status, headers=named, body=content), now=NOW)


def rejected(name: str, **headers: str) -> Rejected:
    fixture = BODIES[name]
    result = outcome(fixture["status"], fixture["body"], **headers)
    assert isinstance(result, Rejected)
    return result


def error_with(message: str, *, status: int = 400, code: str = "INVALID_ARGUMENT") -> dict[str, object]:
    fcm_error = {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}
    return {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT", "details": [fcm_error]}}


def test_every_recorded_error_has_a_meaning() -> None:
    assert MEANT.keys() == BODIES.keys()


@pytest.mark.parametrize("name", BODIES)
def test_a_recorded_error_becomes_the_receipt_that_the_table_says(name: str) -> None:
    assert rejected(name).receipt.error is MEANT[name]


@pytest.mark.parametrize("name", BODIES)
def test_only_dead_devices_are_dropped(name: str) -> None:
    assert rejected(name).device_gone is (name in DROPS_THE_DEVICE)


@pytest.mark.parametrize("name", BODIES)
def test_the_scope_says_what_is_broken_or_has_to_wait(name: str) -> None:
    scope = Scope.DELIVERY
    if name in REFUSES_THE_CREDENTIAL:
        scope = Scope.CREDENTIAL
    if name in PAUSES_THE_PROJECT:
        scope = Scope.PROJECT

    assert rejected(name).scope is scope


@pytest.mark.parametrize("name", BODIES)
def test_only_quota_and_failures_of_the_server_are_tried_again(name: str) -> None:
    assert (rejected(name).backoff is not None) is (name in TRIED_AGAIN)


def test_an_accepted_push_carries_its_message_name() -> None:
    assert outcome(200, {"name": "projects/p/messages/0:1%2"}) == Accepted(provider_id="projects/p/messages/0:1%2")


def test_retry_after_on_a_200_is_ignored() -> None:
    assert isinstance(outcome(200, {"name": "n"}, retry_after="30"), Accepted)


def test_a_200_whose_body_broke_off_is_accepted() -> None:
    answer = read_answer(status=200, headers={}, body=None)

    assert outcome_of(answer, now=NOW) == Accepted()


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'"name"', b'{"name": "projects/p/mess', b"\xff\x00"])
def test_a_2xx_is_accepted_whatever_its_body_says(status: int, body: bytes) -> None:
    """Sent again, the push would be delivered twice."""
    assert outcome(status, body) == Accepted()


@pytest.mark.parametrize("body", [b"<html>Log in to the Wi-Fi</html>", b"\r\n <!DOCTYPE html>"])
def test_a_200_with_a_web_page_is_uncertain(body: bytes) -> None:
    assert isinstance(outcome(200, body), Uncertain)


def test_unregistered_has_the_recorded_receipt_without_details_of_fcm() -> None:
    receipt = rejected("unregistered").receipt

    assert json.loads(receipt.to_json(sent_at=1786065266)) == {
        "status": "error",
        "message": "The recipient device is not registered with FCM.",
        "messageEnum": 7,
        "messageParamValues": [],
        "details": {"error": "DeviceNotRegistered", "errorCodeEnum": 3, "sentAt": 1786065266},
    }


def test_a_wrong_sender_keeps_its_legacy_name_in_the_details() -> None:
    receipt = rejected("sender_id_mismatch").receipt

    assert receipt.fcm == {"error": "MismatchSenderId", "httpStatus": 403, "message": "SenderId mismatch"}


def test_the_details_hold_the_code_the_status_and_the_text() -> None:
    assert rejected("unavailable").receipt.fcm == {
        "error": "UNAVAILABLE",
        "httpStatus": 503,
        "message": "The service is currently unavailable.",
    }


def test_without_a_code_of_fcm_the_details_hold_googles_status() -> None:
    receipt = rejected("permission_denied").receipt

    assert receipt.fcm is not None
    assert receipt.fcm["error"] == "PERMISSION_DENIED"
    assert receipt.message == FCM_TEXTS[ReceiptError.INVALID_CREDENTIALS]


def test_a_long_text_is_cut() -> None:
    result = outcome(400, error_with("x" * 10_000))

    assert isinstance(result, Rejected)
    assert result.receipt.fcm is not None
    assert result.receipt.fcm["message"] == "x" * MAX_TEXT_CHARS


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    "body",
    [b"", b"<!DOCTYPE html><title>Error</title>", b"[]", b'{"error":"text"}', b"\xff", b'{"error":{"details":7}}'],
)
def test_a_body_that_is_not_googles_json_is_judged_by_its_status(status: int, body: bytes) -> None:
    result = outcome(status, body)

    assert isinstance(result, Rejected)
    assert result.receipt.fcm == {"httpStatus": status}
    assert result.reason == f"HTTP_{status}"
    assert not result.device_gone


def test_a_page_in_place_of_fcm_says_nothing_about_the_device() -> None:
    assert not rejected("not_found").device_gone
    assert isinstance(outcome(404, b"<html>404</html>"), Rejected)


def test_a_text_that_only_quotes_the_sender_is_no_verdict_on_the_device() -> None:
    quoted = (
        "Invalid value at 'message.data[0].value', \"The registration token is not a valid FCM registration token\""
    )
    result = outcome(400, error_with(quoted))

    assert isinstance(result, Rejected)
    assert result.receipt.error is ReceiptError.DEVELOPER_ERROR


def test_an_entity_too_large_is_a_message_too_big() -> None:
    result = outcome(413, {"error": {"code": 413, "message": "Request payload size exceeds the limit."}})

    assert isinstance(result, Rejected)
    assert result.receipt.error is ReceiptError.MESSAGE_TOO_BIG


def test_a_refusal_whose_body_broke_off_is_not_final() -> None:
    answer = read_answer(status=404, headers={}, body=None)

    assert isinstance(outcome_of(answer, now=NOW), Unsent)


@pytest.mark.parametrize("status", [302, 408, 500, 502, 503, 504, 599])
def test_failures_of_a_server_wait_ten_seconds_doubling_to_ten_minutes(status: int) -> None:
    result = outcome(status)

    assert isinstance(result, Rejected)
    assert result.backoff is not None
    assert (result.backoff.first_s, result.backoff.factor, result.backoff.cap_s) == (10.0, 2.0, 600.0)
    assert result.scope is Scope.DELIVERY


def test_a_failing_servers_retry_after_is_kept() -> None:
    backoff = rejected("unavailable", retry_after="120").backoff

    assert backoff is not None
    assert backoff.retry_after_s == 120.0


def test_over_quota_without_retry_after_waits_a_minute() -> None:
    backoff = rejected("quota_exceeded").backoff

    assert backoff is not None
    assert (backoff.first_s, backoff.factor, backoff.retry_after_s) == (60.0, 2.0, None)


def test_over_quota_with_retry_after_waits_as_long_as_that() -> None:
    backoff = rejected("quota_exceeded", retry_after="7").backoff

    assert backoff is not None
    assert (backoff.first_s, backoff.retry_after_s) == (7.0, 7.0)


def test_over_quota_with_a_retry_after_of_zero_waits_a_minute() -> None:
    backoff = rejected("quota_exceeded", retry_after="0").backoff

    assert backoff is not None
    assert backoff.first_s == 60.0


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("30", 30.0),
        (" 30 ", 30.0),
        (formatdate(NOW + 45, usegmt=True), 45.0),
        (formatdate(NOW - 45, usegmt=True), 0.0),
        ("Thu, 09 Oct 2025 08:54:05 -0000", 45.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 5000, None),
        ("Thu, 99 Oct 2025 99:54:05 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected_s: float | None) -> None:
    assert retry_after_s(value, now=NOW) == expected_s
