"""What a test may set of a world while it runs: how much it takes in, and when it shows receipts."""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Limits:
    """At the start those of a seed, or none."""

    notifications_per_second: int | None = None
    """Of each emulated project that has no limit of its own."""
    receipt_delay_s: float = 0.0
    """A receipt can be had so long after its message was accepted, and not before."""
    _start: tuple[int | None, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.start_here()

    def start_here(self) -> None:
        """From now on this is how they are at the start."""
        self._start = self.notifications_per_second, self.receipt_delay_s

    def reset(self) -> None:
        """As at the start."""
        self.notifications_per_second, self.receipt_delay_s = self._start
