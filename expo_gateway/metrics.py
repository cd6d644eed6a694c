"""What is counted: plain integers, no library, no lock, no clock.

Each room owns what it counts and hands it to nobody; `exposition.py` reads it all when somebody asks. So a count costs
a tenth of a microsecond, and what writes Prometheus' format is loaded with the first question and not at the start.
Names of labels' values are bounded: nothing here is counted by push token, ticket or project.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

# Our choice: an APNs or FCM answer takes some 10 to 300 ms, an emulator's one.
SEND_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Our choice: from a delivery at the first try to the end of the retries.
SETTLED_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0)
LAG_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0)
REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

# Our choice: APNs documents some 35 reasons and FCM some 15; what a provider makes up beyond that is one line.
MAX_REASONS = 64
OTHER = "other"
_REASON = re.compile(r"\w{1,64}", re.ASCII)


class Histogram:
    """How often a value was at most so large. Values are seconds."""

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        """Not cumulated: the values between two bounds; the last are those above all of them."""
        self.sum_s = 0.0

    def observe(self, value_s: float) -> None:
        """A negative value, of a clock that was set back, counts as 0."""
        if value_s < 0.0:
            value_s = 0.0
        self.counts[bisect_left(self.bounds_s, value_s)] += 1
        self.sum_s += value_s


class Reasons:
    """Words of somebody else, made fit for a label: the first `most` different ones that look like a code."""

    def __init__(self, *, most: int = MAX_REASONS) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, reason: str) -> str:
        """The reason itself, or "other"."""
        if reason in self._known:
            return reason
        if len(self._known) >= self._most or _REASON.fullmatch(reason) is None:
            return OTHER
        self._known.add(reason)
        return reason


@dataclass(slots=True, kw_only=True)
class RequestCounts:
    """Of everything that comes in over HTTP."""

    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(route as it is declared or "other", status)"""
    refused: Counter[str] = field(default_factory=Counter)
    """Code of the error that a whole request was answered with."""
    took_s: dict[str, Histogram] = field(default_factory=dict)
    """By route: from the first byte of the request's head to the last of the answer."""

    def add(self, route: str, *, status: int, code: str | None, took_s: float) -> None:
        self.answered[route, status] += 1
        if code is not None:
            self.refused[code] += 1
        histogram = self.took_s.get(route)
        if histogram is None:
            histogram = self.took_s[route] = Histogram(REQUEST_S)
        histogram.observe(took_s)


@dataclass(slots=True, kw_only=True)
class TicketCounts:
    """Of the gateway: one for each recipient of a request that was not refused as a whole."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By `details.error` of the ticket."""

    def add(self, errors: Sequence[str], *, places: int) -> None:
        """A batch of `places` recipients, `errors` of which were refused."""
        self.accepted += places - len(errors)
        self.refused.update(errors)


@dataclass(slots=True, kw_only=True)
class DeliveryCounts:
    """Of the dispatcher. Providers are "apns" and "fcm"."""

    attempts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(provider, outcome, reason); reason is "" unless the outcome is rejected."""
    retries: Counter[str] = field(default_factory=Counter)
    """By provider: outcomes that are followed by another attempt."""
    held: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(provider, "lapsed" | "paused" | "breaker"): deliveries that came to no attempt."""
    receipts: Counter[str] = field(default_factory=Counter)
    """By `details.error`; "" for those that are ok."""
    send_s: dict[str, Histogram] = field(default_factory=dict)
    """By provider: from the request to the outcome."""
    settled_s: Histogram = field(default_factory=lambda: Histogram(SETTLED_S))
    """From acceptance to the receipt."""
    claim_lag_s: Histogram = field(default_factory=lambda: Histogram(LAG_S))
    """From the time that a batch was due to its claim."""
    reasons: Reasons = field(default_factory=Reasons)

    def attempted(self, provider: str, outcome: str, *, reason: str = "", took_s: float) -> None:
        """`reason` is the provider's own word."""
        self.attempts[provider, outcome, self.reasons.label(reason) if reason else ""] += 1
        histogram = self.send_s.get(provider)
        if histogram is None:
            histogram = self.send_s[provider] = Histogram(SEND_S)
        histogram.observe(took_s)

    def settled(self, error: str, *, after_s: float) -> None:
        """A delivery has its receipt. `error` is "" when it is ok."""
        self.receipts[error] += 1
        self.settled_s.observe(after_s)
