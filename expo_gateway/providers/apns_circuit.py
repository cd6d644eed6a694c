"""When to try to connect again. No IO, no clock, no dice."""

from dataclasses import dataclass


def pause_s(failures: int, *, first_s: float, max_s: float, jitter: float) -> float:
    """The pause after so many failures in a row: doubled each time, bounded, half of it drawn by lot.

    `jitter` is a random number in [0, 1): many gateways that lost the same peer must not come back as one.
    """
    longest_s = min(first_s * 2.0 ** min(failures - 1, 64), max_s)
    return longest_s * (0.5 + 0.5 * jitter)


@dataclass(slots=True, kw_only=True)
class Circuit:
    """Open after a failure, until its pause is over; then one connection at a time is tried until one has worked."""

    first_pause_s: float
    max_pause_s: float
    failures: int = 0
    """In a row."""
    cause: str = ""
    """Of the last failure."""
    _opens_again_at: float = 0.0

    def failed(self, cause: str, *, now: float, jitter: float) -> None:
        self.failures += 1
        self.cause = cause
        self._opens_again_at = now + pause_s(
            self.failures, first_s=self.first_pause_s, max_s=self.max_pause_s, jitter=jitter
        )

    def worked(self) -> None:
        self.failures = 0
        self.cause = ""

    def is_open(self, *, now: float) -> bool:
        """Whether connecting has to wait."""
        return self.failures > 0 and now < self._opens_again_at

    def allows(self, coming: int, *, now: float) -> bool:
        """Whether one more connection may be opened beside those that are `coming` but did not prove themselves."""
        return not self.is_open(now=now) and (self.failures == 0 or coming == 0)
