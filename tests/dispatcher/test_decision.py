"""What follows from an outcome."""

import json

import msgspec
import pytest

from expo_gateway.dispatcher.decision import (
    DELIVERED,
    Again,
    Final,
    Window,
    decide,
    delivered,
    is_over,
    lapsed,
    retry_at,
    window,
)
from expo_gateway.protocol.message import PushMessage
from expo_gateway.protocol.receipt import ReceiptError, apns_dropped, apns_refused, held_receipt
from expo_gateway.providers.base import Accepted, Backoff, Rejected, Uncertain, Unsent

NOW = 1_000_000.0
OPEN = Window(lapses_at=None, retry_until=NOW + 600, once=False)
BACKOFF = Backoff(first_s=2, factor=2, cap_s=300)


def message(**fields: object) -> PushMessage:
    return msgspec.convert({"to": "ExponentPushToken[x]", **fields}, PushMessage)


def receipt(verdict: Final | Again) -> dict[str, object]:
    assert isinstance(verdict, Final)
    decoded: dict[str, object] = json.loads(verdict.receipt)
    return decoded


def test_an_accepted_push_has_an_ok_receipt() -> None:
    verdict = decide(Accepted(), window=OPEN, attempts=1, now=NOW, jitter=0)

    assert receipt(verdict) == {"status": "ok"}


def test_a_refusal_without_backoff_is_final() -> None:
    refused = Rejected(
        reason="BadDeviceToken",
        status=400,
        receipt=apns_refused(ReceiptError.DEVELOPER_ERROR, reason="BadDeviceToken", status=400),
    )

    verdict = decide(refused, window=OPEN, attempts=1, now=NOW, jitter=0)

    assert receipt(verdict)["details"] == {
        "apns": {"reason": "BadDeviceToken", "statusCode": 400},
        "error": "DeveloperError",
        "errorCodeEnum": 2,
        "sentAt": 1_000_000,
    }


def test_what_never_reached_the_provider_is_tried_again() -> None:
    verdict = decide(
        Unsent(why="refused", receipt=apns_dropped(), backoff=BACKOFF), window=OPEN, attempts=2, now=NOW, jitter=0
    )

    assert verdict == Again(due_at=NOW + 4)


def test_a_retry_that_would_come_too_late_is_not_made() -> None:
    tight = Window(lapses_at=None, retry_until=NOW + 1, once=False)

    verdict = decide(
        Uncertain(why="lost", receipt=apns_dropped(), backoff=BACKOFF), window=tight, attempts=1, now=NOW, jitter=0
    )

    assert receipt(verdict)["messageEnum"] == 1004


def test_attempts_are_bounded_where_the_provider_s_table_bounds_them() -> None:
    unsent = Unsent(why="", receipt=apns_dropped(), backoff=Backoff(first_s=1, max_attempts=3))

    assert isinstance(decide(unsent, window=OPEN, attempts=2, now=NOW, jitter=0), Again)
    assert isinstance(decide(unsent, window=OPEN, attempts=3, now=NOW, jitter=0), Final)


def test_now_or_never_is_sent_once_unless_it_never_left() -> None:
    once = window(message(ttl=0), accepted_at=NOW)

    uncertain = decide(
        Uncertain(why="", receipt=apns_dropped(), backoff=BACKOFF), window=once, attempts=1, now=NOW, jitter=0
    )
    unsent = decide(Unsent(why="", receipt=apns_dropped(), backoff=BACKOFF), window=once, attempts=1, now=NOW, jitter=0)

    assert isinstance(uncertain, Final)
    assert isinstance(unsent, Again)


@pytest.mark.parametrize(
    ("attempts", "expected_s"), [(1, 2), (2, 4), (3, 8), (10, 300), (10_000, 300)], ids="attempt {}".format
)
def test_back_off_doubles_up_to_its_cap(attempts: int, expected_s: float) -> None:
    assert retry_at(now=NOW, attempts=attempts, backoff=BACKOFF, jitter=0) == NOW + expected_s


def test_jitter_only_ever_makes_it_later() -> None:
    assert retry_at(now=NOW, attempts=1, backoff=BACKOFF, jitter=0.999) == pytest.approx(NOW + 2.5, abs=0.01)


def test_retry_after_is_a_lower_bound_without_a_cap() -> None:
    asked = Backoff(first_s=10, cap_s=60, retry_after_s=120)

    assert retry_at(now=NOW, attempts=1, backoff=asked, jitter=0) == NOW + 120


def test_ttl_takes_precedence_over_expiration() -> None:
    assert window(message(ttl=60, expiration=NOW + 5), accepted_at=NOW).lapses_at == NOW + 60


def test_expiration_is_an_instant() -> None:
    assert window(message(expiration=NOW + 5), accepted_at=NOW).lapses_at == NOW + 5


def test_an_expiration_of_zero_means_now_or_never_and_not_expired() -> None:
    span = window(message(expiration=0), accepted_at=NOW)

    assert (span.lapses_at, span.once) == (NOW + 30, True)


def test_a_message_without_ttl_is_retried_for_ten_minutes() -> None:
    assert window(message(), accepted_at=NOW) == Window(lapses_at=None, retry_until=NOW + 600, once=False)


def test_retries_end_with_the_message_s_own_time() -> None:
    assert window(message(ttl=30), accepted_at=NOW).retry_until == NOW + 30


def test_a_lapsed_message_is_our_error_and_not_the_provider_s() -> None:
    assert json.loads(lapsed().to_json(sent_at=NOW))["details"]["error"] == "ExpoError"


def test_a_retry_after_a_long_downtime_is_not_made() -> None:
    assert not is_over(OPEN, attempts=1, now=OPEN.retry_until + 1)
    assert is_over(OPEN, attempts=1, now=OPEN.retry_until + 61)


def test_a_first_attempt_is_made_however_late_unless_the_message_says_otherwise() -> None:
    assert not is_over(OPEN, attempts=0, now=OPEN.retry_until + 86_400)


def test_now_or_never_is_not_sent_hours_later() -> None:
    assert is_over(window(message(ttl=0), accepted_at=NOW), attempts=0, now=NOW + 31)


def test_a_receipt_of_a_magic_device_is_held_from_the_messages_acceptance_on() -> None:
    assert delivered(Accepted(receipt_after_s=30.0), accepted_at=NOW) == Final(receipt=held_receipt(NOW + 30.0))


def test_any_other_is_there_at_once() -> None:
    assert delivered(Accepted(), accepted_at=NOW) is DELIVERED
