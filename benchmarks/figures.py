"""The arithmetic of a benchmark: samples, medians of interleaved rounds, bars. Pure.

Two things are compared only inside one run, round by round: the machine's clock and its other users change slower than
a round, so a ratio holds where a rate does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was seen of one side in one round."""

    messages: int
    elapsed_s: float
    cpu_s: float
    """Of the side's processes and all their children, user and system."""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a message; 0.0 when nothing came through."""
        return self.cpu_s * 1e6 / self.messages if self.messages else 0.0


class Sense(StrEnum):
    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a figure has to reach."""

    limit: float
    sense: Sense = Sense.AT_LEAST
    stretch: float | None = None
    of_ratio: bool = True
    """Whether the ratio is meant; if not, our own figure."""

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.sense is Sense.AT_LEAST else value <= self.limit

    def __str__(self) -> str:
        stretch = f" ({self.stretch:g})" if self.stretch is not None else ""
        return f"{self.sense} {self.limit:g}{stretch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    path: str
    peer: str
    """What ours is compared with; "" for a row that stands alone."""
    unit: str
    ours: float
    theirs: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    """The lowest and highest ratio of a round."""
    bar: Bar | None = None
    cpu_us: float | None = None
    """CPU microseconds a message, ours and theirs."""
    peer_cpu_us: float | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """None: there is no bar, or nothing to hold against it."""
        value = self.ratio if self.bar is not None and self.bar.of_ratio else self.ours
        return None if self.bar is None or value is None else self.bar.is_met(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A row that could not be measured here, and why."""

    path: str
    why: str


def compared(
    path: str, peer: str, ours: Sequence[Sample], theirs: Sequence[Sample], *, bar: Bar | None = None, note: str = ""
) -> Row:
    """The row of two sides that took turns: round i of one belongs to round i of the other."""
    ratios = [one.rate / other.rate if other.rate else 0.0 for one, other in zip(ours, theirs, strict=True)]
    return Row(
        path=path,
        peer=peer,
        unit="messages/s",
        ours=median(one.rate for one in ours),
        theirs=median(one.rate for one in theirs),
        ratio=median(ratios),
        low=min(ratios),
        high=max(ratios),
        bar=bar,
        cpu_us=median(one.cpu_us for one in ours),
        peer_cpu_us=median(one.cpu_us for one in theirs),
        note=note,
    )


def compared_values(
    path: str,
    peer: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    unit: str,
    bar: Bar | None = None,
    note: str = "",
) -> Row:
    """The same for figures that are no rates: times, sizes."""
    ratios = [one / other if other else 0.0 for one, other in zip(ours, theirs, strict=True)]
    return Row(
        path=path,
        peer=peer,
        unit=unit,
        ours=median(ours),
        theirs=median(theirs),
        ratio=median(ratios),
        low=min(ratios),
        high=max(ratios),
        bar=bar,
        note=note,
    )


def alone(path: str, values: Sequence[float], *, unit: str, bar: Bar | None = None, note: str = "") -> Row:
    """A row without a peer."""
    return Row(path=path, peer="", unit=unit, ours=median(values), bar=bar, note=note)


def cpu_row(path: str, peer: str, ours: Sequence[Sample], theirs: Sequence[Sample], *, bar: Bar) -> Row:
    """The same two sides by what they cost: CPU microseconds a message."""
    return compared_values(
        path, peer, [one.cpu_us for one in ours], [one.cpu_us for one in theirs], unit="CPU µs/message", bar=bar
    )
