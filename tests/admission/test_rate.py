"""So many notifications a second and project."""

import pytest

from expo_gateway.admission.rate import MAX_REMEMBERED, Bucket, OwnBuckets, RateLimits, draw
from expo_gateway.errors import RequestRefused

NOW = 1_790_000_000.0
LIMIT = 600


def admitted(limits: RateLimits, *, count: int = 100, now: float = NOW, limit: int = LIMIT, project: str = "p") -> bool:
    try:
        limits.take(project, count=count, limit=limit, now=now)
    except RequestRefused:
        return False
    return True


def test_a_second_has_room_for_the_limit_and_no_more() -> None:
    limits = RateLimits()

    assert [admitted(limits) for _ in range(7)] == [True] * 6 + [False]


def test_a_second_later_the_limit_is_there_again() -> None:
    limits = RateLimits()
    assert [admitted(limits, now=second) for second in (NOW, NOW + 1) for _ in range(7)] == ([True] * 6 + [False]) * 2


def test_it_fills_evenly() -> None:
    assert draw(Bucket(left=0, at=NOW), count=300, limit=LIMIT, now=NOW + 0.5) == Bucket(left=0, at=NOW + 0.5)
    assert draw(Bucket(left=0, at=NOW), count=301, limit=LIMIT, now=NOW + 0.5) is None


def test_what_is_refused_uses_nothing_up() -> None:
    limits = RateLimits()
    assert admitted(limits, count=550)

    assert [admitted(limits, count=100), admitted(limits, count=50)] == [False, True]


def test_a_request_over_the_limit_is_taken_when_nothing_was_sent_and_paid_back() -> None:
    limits = RateLimits()

    assert [admitted(limits, now=NOW + after_s, limit=50) for after_s in (0, 1, 1.9, 2)] == [True, False, False, True]


def test_projects_do_not_share_a_limit() -> None:
    limits = RateLimits()
    assert admitted(limits, count=600)

    assert admitted(limits, count=600, project="other")


def test_a_clock_that_is_set_back_refuses_nobody_for_long() -> None:
    limits = RateLimits()
    assert admitted(limits, count=500)

    back_at = NOW - 3600
    assert admitted(limits, now=back_at)
    assert [admitted(limits, now=back_at), admitted(limits, now=back_at + 1)] == [False, True]


@pytest.mark.parametrize("drawn", [600, 1200], ids=["empty", "in debt"])
def test_a_bucket_that_was_empty_when_the_clock_was_set_back_fills_by_the_new_time(drawn: int) -> None:
    limits = RateLimits()
    assert admitted(limits, count=drawn)

    back_at = NOW - 3600
    refused_s = [at_s for at_s in range(5) if not admitted(limits, now=back_at + at_s)]

    assert refused_s == list(range(drawn // LIMIT))


def test_a_clock_that_is_set_back_again_and_again_gives_nothing_for_nothing() -> None:
    limits = RateLimits()

    taken = sum(admitted(limits, now=NOW - 10 * set_back) for set_back in range(100) for _ in range(10))

    assert taken == LIMIT // 100


def test_what_comes_a_little_late_fills_the_bucket_no_faster() -> None:
    """Two processes draw in another order than they looked at the clock."""
    limits = RateLimits()
    instants = [NOW + 0.2 * (step ^ 1) for step in range(100)]

    taken = sum(30 * admitted(limits, count=30, limit=100, now=now) for now in instants)

    assert taken <= 100 + 100 * 20


def test_memory_is_bounded_after_the_clock_was_set_back() -> None:
    buckets = OwnBuckets()
    limits = RateLimits(buckets)
    for number in range(MAX_REMEMBERED * 3):
        admitted(limits, project=str(number), now=NOW - number)

    assert len(buckets._buckets) <= MAX_REMEMBERED + 1


def test_the_refusal_is_transient_and_says_when_to_come_back() -> None:
    limits = RateLimits()
    limits.take("p", count=600, limit=LIMIT, now=NOW)

    with pytest.raises(RequestRefused) as refused:
        limits.take("p", count=1, limit=LIMIT, now=NOW)

    error = refused.value
    assert (error.code, error.status, error.is_transient, error.retry_after_s) == ("TOO_MANY_REQUESTS", 429, True, 1)
    assert error.message == "Exceeded 600 notifications per second, please try again."


def test_memory_is_bounded_and_who_just_sent_is_remembered() -> None:
    buckets = OwnBuckets()
    limits = RateLimits(buckets)
    for number in range(MAX_REMEMBERED * 2):
        admitted(limits, project=str(number), now=NOW + number)
    assert admitted(limits, count=600, now=NOW + 9999)

    assert not admitted(limits, now=NOW + 9999)
    assert len(buckets._buckets) <= MAX_REMEMBERED + 1


def test_whoever_is_refused_hears_when_it_would_be_taken() -> None:
    """After 100 under a limit of 10 the debt of 90 is paid in nine seconds, and the bucket is full after ten."""
    limits = RateLimits()
    assert admitted(limits, count=100, limit=10)
    waits = []
    for now in (NOW, NOW + 8.5, NOW + 9.99):
        with pytest.raises(RequestRefused) as refused:
            limits.take("p", count=100, limit=10, now=now)
        waits.append(refused.value.retry_after_s)

    assert waits == [10, 2, 1]
    assert admitted(limits, count=100, limit=10, now=NOW + 10)
