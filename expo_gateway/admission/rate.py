"""The rate limit: so many notifications a second and project, as exp.host has it.

https://docs.expo.dev/push-notifications/sending-notifications/#request-errors. Arithmetic only; the instant comes with
the question.
"""

from contextlib import AbstractContextManager, nullcontext
from math import ceil
from typing import Protocol

from msgspec import Struct

from expo_gateway.errors import RequestRefused

# Our choice: draws of several processes come in another order than their instants by less than this; more is a clock
# that was set back.
SET_BACK_S = 1.0
# Our choice: projects that wait for nothing are forgotten beyond so many.
MAX_REMEMBERED = 1000


class Bucket(Struct, frozen=True, kw_only=True):
    """How much of its limit a project may use at the instant `at`."""

    left: float
    """Below zero after a request that was larger than the limit."""
    at: float


def draw(bucket: Bucket | None, *, count: int, limit: int, now: float) -> Bucket | None:
    """The bucket after `count` notifications, or None when they are too many now.

    It holds one second's worth and fills evenly. A request of more than `limit` is taken from a full bucket only, and
    paid back: else the largest requests could never be sent under a small limit.
    """
    left = left_at(bucket, limit=limit, now=now)
    # An instant of Unix time has some 1e-7 s of rounding.
    if left < min(count, limit) - 1e-3:
        return None
    return Bucket(left=left - count, at=now if bucket is None else max(now, bucket.at))


def by_the_clock(bucket: Bucket | None, *, now: float) -> Bucket | None:
    """After the clock was set back: as much as was left then, filling from now on. Else the bucket as it is.

    By its old instant it would not fill until the clock is there again, which may be years; a full one for each time
    that the clock is set would be no limit.
    """
    return Bucket(left=bucket.left, at=now) if bucket is not None and now < bucket.at - SET_BACK_S else bucket


def left_at(bucket: Bucket | None, *, limit: int, now: float) -> float:
    """What comes late fills nothing."""
    return float(limit) if bucket is None else min(limit, bucket.left + max(0.0, now - bucket.at) * limit)


def retry_after_s(bucket: Bucket | None, *, count: int, limit: int, now: float) -> int:
    """When `count` notifications that are too many now no longer are, if nobody else sends; whole seconds."""
    return max(1, ceil((min(count, limit) - left_at(bucket, limit=limit, now=now)) / limit))


class Buckets(Protocol):
    """By project id. They are read and written under `locked`."""

    def locked(self) -> AbstractContextManager[object]: ...
    def get(self, project_id: str) -> Bucket | None: ...
    def put(self, project_id: str, bucket: Bucket) -> None: ...


class OwnBuckets:
    """Of a process that is the only one."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def locked(self) -> AbstractContextManager[object]:
        return nullcontext()

    def get(self, project_id: str) -> Bucket | None:
        return self._buckets.get(project_id)

    def put(self, project_id: str, bucket: Bucket) -> None:
        self._buckets[project_id] = bucket
        if len(self._buckets) > MAX_REMEMBERED:
            self._forget(bucket.at)

    def _forget(self, now: float) -> None:
        """Whoever did not send for a second, or before the clock was set back, and has no debt is as good as new."""
        self._buckets = {
            project_id: bucket
            for project_id, bucket in self._buckets.items()
            if abs(now - bucket.at) < 1 or bucket.left < 0
        }


class RateLimits:
    """The limits of all projects that have one."""

    def __init__(self, buckets: Buckets | None = None) -> None:
        self._buckets = buckets if buckets is not None else OwnBuckets()

    def take(self, project_id: str, *, count: int, limit: int, now: float) -> None:
        """Raises RequestRefused when `count` notifications are too many now; then none is counted."""
        with self._buckets.locked():
            found = self._buckets.get(project_id)
            before = by_the_clock(found, now=now)
            bucket = draw(before, count=count, limit=limit, now=now)
            if bucket is not None:
                self._buckets.put(project_id, bucket)
                return
            if before is not None and before is not found:
                self._buckets.put(project_id, before)
        raise RequestRefused(
            "TOO_MANY_REQUESTS",
            f"Exceeded {limit} notifications per second, please try again.",
            status=429,
            is_transient=True,
            retry_after_s=retry_after_s(before, count=count, limit=limit, now=now),
        )
