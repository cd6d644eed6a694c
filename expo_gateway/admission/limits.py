"""What a test may set of a world while it runs: how much it takes in, and when it shows receipts."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Limits:
    """As they are at the start: none."""

    notifications_per_second: int | None = None
    """Of each emulated project that has no limit of its own."""
    receipt_delay_s: float = 0.0
    """A receipt can be had so long after its message was accepted, and not before."""

    def reset(self) -> None:
        self.notifications_per_second, self.receipt_delay_s = None, 0.0
