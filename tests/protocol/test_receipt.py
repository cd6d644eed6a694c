"""Receipts in Expo's words. What was recorded as a whole is replayed by tests/test_fixtures.py."""

import json
import math

import pytest

from expo_gateway.protocol.receipt import (
    FCM_TEXTS,
    RECEIPT_OK_JSON,
    FailedReceipt,
    ReceiptError,
    apns_dropped,
    apns_refused,
    expo_error,
    fcm_not_registered,
    fcm_refused,
    held_receipt,
    is_ok,
    shown,
    too_big,
)

SENT_AT = 1_782_424_694.9


def test_what_is_unknown_is_left_out() -> None:
    receipt = FailedReceipt(error=ReceiptError.MESSAGE_TOO_BIG, message="m")

    assert receipt.to_json(sent_at=SENT_AT) == (
        b'{"status":"error","message":"m","details":{"error":"MessageTooBig","sentAt":1782424694}}'
    )


def test_sent_at_is_in_whole_seconds() -> None:
    """hlspablo's Java reads an int; expo.md, section 4.5."""
    assert json.loads(expo_error("m").to_json(sent_at=SENT_AT))["details"]["sentAt"] == 1_782_424_694


def test_the_status_code_is_a_number_in_apns_and_a_string_in_the_parameters() -> None:
    receipt = json.loads(
        apns_refused(ReceiptError.DEVELOPER_ERROR, reason="TopicDisallowed", status=400).to_json(sent_at=0)
    )

    assert (receipt["details"]["apns"]["statusCode"], receipt["messageParamValues"]) == (
        400,
        ["TopicDisallowed", "400"],
    )


@pytest.mark.parametrize(
    ("error", "number"),
    [(ReceiptError.DEVELOPER_ERROR, 2), (ReceiptError.DEVICE_NOT_REGISTERED, 3)],
)
def test_an_error_code_has_its_recorded_number(error: ReceiptError, number: int) -> None:
    receipt = json.loads(FailedReceipt(error=error, message="m").to_json(sent_at=0))

    assert receipt["details"]["errorCodeEnum"] == number


@pytest.mark.parametrize(
    "error",
    [ReceiptError.MESSAGE_TOO_BIG, ReceiptError.MESSAGE_RATE_EXCEEDED, ReceiptError.INVALID_CREDENTIALS],
)
def test_an_error_code_whose_number_was_never_seen_has_none(error: ReceiptError) -> None:
    assert "errorCodeEnum" not in json.loads(FailedReceipt(error=error, message="m").to_json(sent_at=0))["details"]


@pytest.mark.parametrize("error", list(FCM_TEXTS))
def test_what_fcm_said_is_kept_in_the_details(error: ReceiptError) -> None:
    receipt = json.loads(fcm_refused(error, {"error": "X", "httpStatus": 400}).to_json(sent_at=0))

    assert (receipt["details"]["error"], receipt["details"]["fcm"]) == (error, {"error": "X", "httpStatus": 400})


@pytest.mark.parametrize(
    "receipt",
    [
        apns_refused(ReceiptError.DEVELOPER_ERROR, reason="BadDeviceToken", status=400),
        apns_dropped(),
        fcm_not_registered(),
        fcm_refused(ReceiptError.PROVIDER_ERROR, None),
        too_big(4097, 4096),
        expo_error("m"),
    ],
)
def test_every_failed_receipt_has_a_message_and_an_error_code(receipt: FailedReceipt) -> None:
    """clients.md, point 15."""
    written = json.loads(receipt.to_json(sent_at=0))

    assert written["status"] == "error"
    assert written["message"]
    assert written["details"]["error"] in set(ReceiptError)


def test_the_codes_are_those_of_the_documentation_and_of_the_sdk() -> None:
    documented = "DeviceNotRegistered MessageTooBig MessageRateExceeded MismatchSenderId InvalidCredentials"
    sdk = "DeveloperError ExpoError ProviderError"

    assert {code.value for code in ReceiptError} == set(f"{documented} {sdk}".split())


# -- held -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "seen"), [(9.9, {}), (10.0, {"a": RECEIPT_OK_JSON}), (99.0, {"a": RECEIPT_OK_JSON})])
def test_a_held_receipt_is_shown_from_its_instant_on(now: float, seen: dict[str, bytes]) -> None:
    assert shown({"a": held_receipt(10.0)}, now=now) == seen


def test_a_receipt_that_is_held_for_ever_is_never_shown() -> None:
    assert shown({"a": held_receipt(math.inf)}, now=1e12) == {}


def test_the_others_are_shown_beside_held_ones_in_their_order() -> None:
    failed = expo_error('{"heldUntil":').to_json(sent_at=SENT_AT)
    receipts = {"a": failed, "b": held_receipt(10.0), "c": RECEIPT_OK_JSON}

    assert shown(receipts, now=0.0) == {"a": failed, "c": RECEIPT_OK_JSON}
    assert list(shown(receipts, now=10.0).items()) == [("a", failed), ("b", RECEIPT_OK_JSON), ("c", RECEIPT_OK_JSON)]


def test_receipts_of_which_none_is_held_are_shown_as_they_are() -> None:
    receipts = {"a": RECEIPT_OK_JSON, "b": expo_error('{"heldUntil":').to_json(sent_at=SENT_AT)}

    assert shown(receipts, now=0.0) is receipts


def test_a_held_receipt_is_ok_and_json() -> None:
    assert [is_ok(receipt) for receipt in (held_receipt(1.0), RECEIPT_OK_JSON, b'{"status":"error"}')] == [1, 1, 0]
    assert json.loads(held_receipt(math.inf)) == {"heldUntil": None, "status": "ok"}
