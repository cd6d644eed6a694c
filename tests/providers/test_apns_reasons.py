"""What answers of APNs mean: the whole table, without a wire."""

from typing import Any

import orjson
import pytest

from expo_gateway.emulators.apns_answers import ApnsReason
from expo_gateway.protocol.receipt import ReceiptError, apns_dropped
from expo_gateway.providers.apns_reasons import (
    NO_REASON,
    ApnsAnswer,
    Bounced,
    go_away_reason,
    outcome_of,
    read_answer,
)
from expo_gateway.providers.base import Accepted, Backoff, Rejected, Scope, Uncertain, Unsent

INVALID_CREDENTIALS = {
    "InvalidProviderToken",
    "MissingProviderToken",
    "BadCertificate",
    "BadCertificateEnvironment",
    "BadEnvironmentKeyInToken",
    "Forbidden",
    "ExpiredProviderToken",
    "UnrelatedKeyIdInToken",
}
EXPECTED = {
    400: ReceiptError.DEVELOPER_ERROR,
    404: ReceiptError.DEVELOPER_ERROR,
    405: ReceiptError.DEVELOPER_ERROR,
    410: ReceiptError.DEVICE_NOT_REGISTERED,
    413: ReceiptError.MESSAGE_TOO_BIG,
    429: ReceiptError.MESSAGE_RATE_EXCEEDED,
    500: ReceiptError.PROVIDER_ERROR,
    503: ReceiptError.PROVIDER_ERROR,
}


def rejected(status: int, reason: str, **fields: Any) -> Rejected:
    outcome = outcome_of(ApnsAnswer(status=status, reason=reason, **fields))
    assert isinstance(outcome, Rejected)
    return outcome


def test_200_is_accepted_with_the_id_of_the_push_console() -> None:
    assert outcome_of(ApnsAnswer(status=200, unique_id="U")) == Accepted(provider_id="U")


@pytest.mark.parametrize("reason", ApnsReason, ids=lambda reason: reason.wire)
def test_every_reason_of_apple_has_its_receipt(reason: ApnsReason) -> None:
    outcome = outcome_of(ApnsAnswer(status=reason.status, reason=reason.wire))

    assert isinstance(outcome, Rejected | Unsent)
    if reason in (ApnsReason.TOO_MANY_PROVIDER_TOKEN_UPDATES, ApnsReason.IDLE_TIMEOUT):
        expected = ReceiptError.PROVIDER_ERROR
    elif reason.wire in INVALID_CREDENTIALS:
        expected = ReceiptError.INVALID_CREDENTIALS
    else:
        expected = EXPECTED[reason.status]
    assert outcome.receipt.error is expected
    assert outcome.receipt.apns == {"reason": reason.wire, "statusCode": reason.status}


@pytest.mark.parametrize("reason", sorted(INVALID_CREDENTIALS | {"BadEnvironmentKeyIdInToken"}))
def test_a_refused_credential_is_final_and_concerns_all_that_is_sent_with_it(reason: str) -> None:
    outcome = rejected(403, reason)

    assert outcome.scope is Scope.CREDENTIAL
    assert outcome.receipt.error is ReceiptError.INVALID_CREDENTIALS
    assert outcome.backoff is None


def test_too_many_token_updates_make_the_credential_wait() -> None:
    outcome = rejected(429, "TooManyProviderTokenUpdates")

    assert outcome.scope is Scope.CREDENTIAL
    assert outcome.backoff == Backoff(first_s=60, cap_s=1200)


def test_an_unregistered_device_is_gone_since_the_time_that_apns_says() -> None:
    outcome = rejected(410, "Unregistered", timestamp_ms=1_700_000_000_500)

    assert outcome.device_gone
    assert outcome.gone_at == 1_700_000_000.5
    assert outcome.backoff is None


@pytest.mark.parametrize("reason", ["ExpiredToken", "Unregistered", "Whatever"])
def test_any_410_means_that_the_device_is_gone(reason: str) -> None:
    assert rejected(410, reason).device_gone


@pytest.mark.parametrize("reason", ["BadDeviceToken", "DeviceTokenNotForTopic", "NewReasonOf2031"])
def test_a_400_is_final_and_does_not_kill_the_device(reason: str) -> None:
    outcome = rejected(400, reason)

    assert outcome.receipt.error is ReceiptError.DEVELOPER_ERROR
    assert outcome.backoff is None
    assert not outcome.device_gone
    assert outcome.scope is Scope.DELIVERY


def test_too_many_requests_to_a_device_are_tried_four_times_more() -> None:
    assert rejected(429, "TooManyRequests").backoff == Backoff(first_s=1, factor=4, cap_s=60, max_attempts=5)


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "InternalServerError"), (503, "ServiceUnavailable"), (504, NO_REASON), (599, "New")]
)
def test_an_error_of_the_server_is_tried_again(status: int, reason: str) -> None:
    outcome = rejected(status, reason)

    assert outcome.backoff == Backoff(first_s=2, cap_s=300)
    assert outcome.receipt.error is ReceiptError.PROVIDER_ERROR


@pytest.mark.parametrize(("status", "reason"), [(503, "Shutdown"), (400, "IdleTimeout")])
def test_what_was_refused_unprocessed_is_unsent(status: int, reason: str) -> None:
    outcome = outcome_of(ApnsAnswer(status=status, reason=reason))

    assert isinstance(outcome, Unsent)
    assert outcome.backoff == Backoff(first_s=1, cap_s=60)


def test_a_push_that_bounced_is_unsent_and_keeps_the_reason() -> None:
    outcome = outcome_of(Bounced(why="APNs went away"))

    assert isinstance(outcome, Unsent)
    assert outcome.why == "APNs went away"
    assert outcome.receipt == apns_dropped()


@pytest.mark.parametrize("status", [0, 204, 301])
def test_a_status_that_apns_does_not_have_is_uncertain(status: int) -> None:
    assert isinstance(outcome_of(ApnsAnswer(status=status)), Uncertain)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b'{"reason":7}', b'{"reason":""}', b'"reason"', b"\xff", b'{"reason":'],
    ids=str,
)
def test_a_body_that_names_no_reason_is_read_all_the_same(body: bytes) -> None:
    assert read_answer(status=b"400", body=body) == ApnsAnswer(status=400, reason=NO_REASON)


def test_an_answer_is_read_with_its_timestamp() -> None:
    body = orjson.dumps({"reason": "Unregistered", "timestamp": 1_700_000_000_000})

    assert read_answer(status=b"410", body=body) == ApnsAnswer(
        status=410, reason="Unregistered", timestamp_ms=1_700_000_000_000
    )


@pytest.mark.parametrize("timestamp", [True, "1700000000000", 1.5, None])
def test_a_timestamp_that_is_no_integer_does_not_count(timestamp: object) -> None:
    body = orjson.dumps({"reason": "Unregistered", "timestamp": timestamp})

    assert read_answer(status=b"410", body=body).timestamp_ms is None


@pytest.mark.parametrize("status", [b"", b"abc", b"-1", b"\xb2"])
def test_a_status_that_is_no_number_is_0(status: bytes) -> None:
    assert read_answer(status=status, body=b"").status == 0


def test_a_reason_is_cut() -> None:
    assert len(read_answer(status=b"400", body=orjson.dumps({"reason": "x" * 9999})).reason) == 64


def test_the_reason_of_a_goaway_is_read() -> None:
    assert go_away_reason(b'{"reason":"BadCertificate"}') == "BadCertificate"
    assert go_away_reason(None) == go_away_reason(b"bye") == NO_REASON
