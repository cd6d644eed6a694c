"""A rate limit that several processes draw from."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from expo_gateway.admission.rate import Bucket, RateLimits
from expo_gateway.admission.shared_rate import NEAR, SharedBuckets
from expo_gateway.errors import RequestRefused
from expo_gateway.process_lock import ProcessLock

NOW = 1_700_000_000.0
SHOP = "51092087-87a4-4b12-8008-145625477434"


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[ProcessLock]:
    with closing(ProcessLock(tmp_path / "lock")) as made:
        yield made


@pytest.fixture
def buckets(lock: ProcessLock) -> SharedBuckets:
    return SharedBuckets(lock)


def taken(limits: RateLimits, count: int = 1, *, limit: int = 600, project: str = SHOP, now: float = NOW) -> bool:
    try:
        limits.take(project, count=count, limit=limit, now=now)
    except RequestRefused:
        return False
    return True


def test_processes_that_draw_at_once_get_no_more_than_the_limit_together(
    tmp_path: Path, buckets: SharedBuckets
) -> None:
    limits = RateLimits(buckets)
    children = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            admitted = sum(taken(limits) for _ in range(400))
            (tmp_path / f"{number}.admitted").write_text(str(admitted))
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)

    assert sum(int(path.read_text()) for path in tmp_path.glob("*.admitted")) == 600


def test_a_process_that_dies_with_the_lock_keeps_nobody_waiting(buckets: SharedBuckets) -> None:
    pid = os.fork()
    if pid == 0:
        with buckets.locked():
            os._exit(0)
    os.waitpid(pid, 0)
    began_at = time.monotonic()

    assert taken(RateLimits(buckets))
    assert time.monotonic() - began_at < 1.0


def test_the_bucket_fills_with_time_and_a_debt_is_remembered(buckets: SharedBuckets) -> None:
    limits = RateLimits(buckets)

    assert taken(limits, 900)
    assert not taken(limits, now=NOW + 0.4)
    assert taken(limits, now=NOW + 0.6)


def test_projects_have_buckets_of_their_own(buckets: SharedBuckets) -> None:
    limits = RateLimits(buckets)
    assert taken(limits, 600)

    assert taken(limits, 600, project="another")
    assert not taken(limits)


def test_in_a_full_table_the_one_that_waited_longest_is_forgotten_before_any_debt(lock: ProcessLock) -> None:
    buckets = SharedBuckets(lock, lines=NEAR)
    buckets.put("debtor", Bucket(left=-5.0, at=NOW - 100))
    for number in range(NEAR - 1):
        buckets.put(str(number), Bucket(left=1.0, at=NOW + number))

    buckets.put("new", Bucket(left=3.0, at=NOW + NEAR))

    assert buckets.get("new") == Bucket(left=3.0, at=NOW + NEAR)
    assert buckets.get("debtor") == Bucket(left=-5.0, at=NOW - 100)
    assert buckets.get("0") is None


def test_in_a_full_table_lines_from_before_the_clock_was_set_back_are_forgotten_first(lock: ProcessLock) -> None:
    buckets = SharedBuckets(lock, lines=NEAR)
    for number in range(NEAR):
        buckets.put(f"before {number}", Bucket(left=1.0, at=NOW + 3600))

    for number in range(NEAR):
        buckets.put(str(number), Bucket(left=0.0, at=NOW))

    assert [buckets.get(str(number)) for number in range(NEAR)] == [Bucket(left=0.0, at=NOW)] * NEAR


@pytest.mark.parametrize("project", ["", "x" * 1000, "é"])
def test_any_text_is_a_project(project: str, buckets: SharedBuckets) -> None:
    assert taken(RateLimits(buckets), project=project)
