"""The rate limit: so many notifications a second and project, as exp.host has it.

https://docs.expo.dev/push-notifications/sending-notifications/#request-errors. Arithmetic only; the instant comes with
the question.
"""

from dataclasses import dataclass

from expo_gateway.errors import RequestRefused

# Our choice: projects that wait for nothing are forgotten beyond so many.
MAX_REMEMBERED = 1000
# Our choice: a bucket is full again after a second at the most, unless a large request put it into debt.
RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """How much of its limit a project may use at the instant `at`."""

    left: float
    """Below zero after a request that was larger than the limit."""
    at: float


def draw(bucket: Bucket | None, *, count: int, limit: int, now: float) -> Bucket | None:
    """The bucket after `count` notifications, or None when they are too many now.

    It holds one second's worth and fills evenly. A request of more than `limit` is taken from a full bucket only, and
    paid back: else the largest requests could never be sent under a small limit.
    """
    left = float(limit)
    if bucket is not None:
        # A clock that was set back fills nothing.
        left = min(limit, bucket.left + max(0.0, now - bucket.at) * limit)
    # An instant of Unix time has some 1e-7 s of rounding.
    return Bucket(left=left - count, at=now) if left >= min(count, limit) - 1e-3 else None


class RateLimits:
    """The buckets of all projects that have a limit."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def take(self, project_id: str, *, count: int, limit: int, now: float) -> None:
        """Raises RequestRefused when `count` notifications are too many now; then none is counted."""
        bucket = draw(self._buckets.get(project_id), count=count, limit=limit, now=now)
        if bucket is None:
            raise RequestRefused(
                "TOO_MANY_REQUESTS",
                f"Exceeded {limit} notifications per second, please try again.",
                status=429,
                is_transient=True,
                retry_after_s=RETRY_AFTER_S,
            )
        self._buckets[project_id] = bucket
        if len(self._buckets) > MAX_REMEMBERED:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Whoever did not send for a second and has no debt is as good as new."""
        self._buckets = {
            project_id: bucket for project_id, bucket in self._buckets.items() if bucket.at > now - 1 or bucket.left < 0
        }
