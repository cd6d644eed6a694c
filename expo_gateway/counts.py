"""All that a process has counted, as one value that can be sent to another process and added up there."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TypeVar, cast

from expo_gateway.metrics import COMMIT_S, DeliveryCounts, Histogram, Reasons, RequestCounts, TicketCounts

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Counts:
    """What only grows, and after it what is so now."""

    requests: RequestCounts = field(default_factory=RequestCounts)
    tickets: TicketCounts = field(default_factory=TicketCounts)
    deliveries: DeliveryCounts = field(default_factory=DeliveryCounts)
    commit_s: Histogram = field(default_factory=lambda: Histogram(COMMIT_S))
    captures: int = 0

    active_batches: int = 0
    pauses: Counter[str] = field(default_factory=Counter)
    """By provider, like the next."""
    breakers: Counter[str] = field(default_factory=Counter)
    apns_connections: int = 0


def lasting(counts: Counts) -> Counts:
    """Without what was so only while its process lived: what its successor counts on from."""
    return Counts(
        requests=counts.requests,
        tickets=counts.tickets,
        deliveries=counts.deliveries,
        commit_s=counts.commit_s,
        captures=counts.captures,
    )


def added(parts: Sequence[T]) -> T:
    """The sum of one or more of one kind: numbers, counters, histograms, and whatever is made of these."""
    first = parts[0]
    if isinstance(first, Histogram):
        return cast(T, _added_histograms(cast(Sequence[Histogram], parts)))
    if isinstance(first, int):
        return cast(T, sum(cast(Sequence[int], parts)))
    if isinstance(first, dict):
        return cast(T, _added_by_key(cast(Sequence[dict[object, object]], parts)))
    if isinstance(first, Reasons):
        return first
    assert is_dataclass(first), f"{type(first).__name__} can't be added"
    kind = cast(Callable[..., T], type(first))
    return kind(**{one.name: added([getattr(part, one.name) for part in parts]) for one in fields(first)})


def _added_histograms(parts: Sequence[Histogram]) -> Histogram:
    total = Histogram(parts[0].bounds_s)
    total.counts = [sum(counts) for counts in zip(*(part.counts for part in parts), strict=True)]
    total.sum_s = sum(part.sum_s for part in parts)
    return total


def _added_by_key(parts: Sequence[dict[object, object]]) -> dict[object, object]:
    total = type(parts[0])()
    for key in {key: None for part in parts for key in part}:
        total[key] = added([part[key] for part in parts if key in part])
    return total
