"""Pauses and breakers."""

import pytest

from expo_gateway.dispatcher.holds import BREAKER_CAP_S, BREAKER_FIRST_S, Holds, Key, Pause
from expo_gateway.protocol.device import Platform
from expo_gateway.protocol.receipt import FailedReceipt, ReceiptError, apns_refused

KEY: Key = ("d3a7c0de-0000-4000-8000-000000000001", Platform.IOS)
OTHER: Key = (KEY[0], Platform.ANDROID)
REFUSED = apns_refused(ReceiptError.INVALID_CREDENTIALS, reason="InvalidProviderToken", status=403)


@pytest.fixture
def holds() -> Holds:
    return Holds()


def open_breaker(holds: Holds, *, now: float = 0) -> None:
    holds.credential_refused(KEY, REFUSED, now=now)


def probe(holds: Holds, *, now: float) -> FailedReceipt | None:
    return holds.refusal(KEY, now=now)


def pause_until(at: float) -> Pause:
    return Pause(until=at, receipt=REFUSED)


def test_a_pause_ends_by_itself(holds: Holds) -> None:
    holds.start_pause(KEY, pause_until(10))

    assert holds.pause(KEY, now=9.9) == pause_until(10)
    assert holds.pause(KEY, now=10) is None


def test_a_later_pause_never_shortens_an_earlier_one(holds: Holds) -> None:
    holds.start_pause(KEY, pause_until(60))
    holds.start_pause(KEY, pause_until(10))

    assert holds.pause(KEY, now=20) == pause_until(60)


def test_a_pause_is_of_one_platform_only(holds: Holds) -> None:
    holds.start_pause(KEY, pause_until(10))

    assert holds.pause(OTHER, now=0) is None


def test_an_open_breaker_answers_in_place_of_the_provider(holds: Holds) -> None:
    open_breaker(holds)

    assert holds.refusal(KEY, now=1) is REFUSED
    assert holds.refusal(OTHER, now=1) is None


def test_after_its_time_a_breaker_lets_one_through(holds: Holds) -> None:
    open_breaker(holds)

    assert probe(holds, now=BREAKER_FIRST_S) is None
    assert probe(holds, now=BREAKER_FIRST_S) is REFUSED


def test_a_probe_that_works_closes_the_breaker(holds: Holds) -> None:
    open_breaker(holds)
    probe(holds, now=BREAKER_FIRST_S)
    holds.credential_works(KEY)

    assert holds.refusal(KEY, now=BREAKER_FIRST_S) is None


def test_a_probe_that_fails_doubles_the_time(holds: Holds) -> None:
    open_breaker(holds)
    probe(holds, now=5)
    open_breaker(holds, now=5)

    assert probe(holds, now=14.9) is REFUSED
    assert probe(holds, now=15) is None


def test_refusals_of_what_was_in_flight_do_not_lengthen_it(holds: Holds) -> None:
    for _ in range(50):
        open_breaker(holds)

    assert probe(holds, now=BREAKER_FIRST_S) is None


def test_the_time_of_a_breaker_is_capped(holds: Holds) -> None:
    now = 0.0
    open_breaker(holds)
    for _ in range(20):
        now += BREAKER_CAP_S
        assert probe(holds, now=now) is None
        open_breaker(holds, now=now)

    assert probe(holds, now=now + BREAKER_CAP_S) is None
