"""Everything that is counted, in Prometheus' format.

prometheus_client takes a tenth of a second to import, so the first question loads it, in a thread. It writes the
format, and adds what it knows of process and interpreter; the counting is ours (`metrics.py`).

https://prometheus.io/docs/practices/naming/
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

from expo_gateway import __version__
from expo_gateway.dispatcher.holds import Holds
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.dispatcher.sender import PROVIDERS
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.errors import StoreUnavailable
from expo_gateway.metrics import Histogram, RequestCounts, TicketCounts
from expo_gateway.outbox.base import Outbox
from expo_gateway.protocol.device import Platform

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = logging.getLogger(__name__)

PREFIX = "expo_gateway"
# A store that hangs must not take the other metrics with it.
STORE_S = 2.0

Labels = tuple[str, ...]
L = TypeVar("L", bound=Labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Who counts, and who is asked."""

    requests: RequestCounts
    tickets: TicketCounts
    dispatcher: Dispatcher
    holds: Holds
    outbox: Outbox
    commit_s: Histogram
    inbox: Inbox
    apns_connections: Callable[[], int]
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What the outbox says of itself."""

    pending_batches: int
    oldest_due_s: float
    """How long the batch that is due for longest has been due; 0 when none is."""


class Exposition:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Body and content type for a client that accepts `accept`: Prometheus' text, or OpenMetrics."""
        await asyncio.to_thread(_load)
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        registry.register(_Collector(self._sources, await self._backlog()))
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    async def _backlog(self) -> Backlog | None:
        """None: the store does not say."""
        outbox = self._sources.outbox
        try:
            async with asyncio.timeout(STORE_S):
                due_at, pending = await outbox.next_due_at(), await outbox.pending_batches()
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("metrics without the outbox: %s", error or "it did not answer in time")
            return None
        now = self._sources.clock()
        return Backlog(pending_batches=pending, oldest_due_s=max(0.0, now - due_at) if due_at is not None else 0.0)


def _load() -> None:
    import prometheus_client.exposition  # noqa: F401


class _Collector:
    """Implements prometheus_client's Collector."""

    def __init__(self, sources: Sources, backlog: Backlog | None) -> None:
        self._sources = sources
        self._backlog = backlog

    def collect(self) -> "Iterator[Metric]":
        yield _gauge("build_info", "1; the version is in the label.", ("version",), {(__version__,): 1})
        yield from _of_requests(self._sources.requests, self._sources.tickets)
        yield from _of_deliveries(self._sources.dispatcher)
        yield from self._of_now()

    def _of_now(self) -> "Iterator[Metric]":
        sources, now = self._sources, self._sources.clock()
        yield _histogram("store_commit_seconds", "Time of a commit of the store.", (), {(): sources.commit_s})
        if self._backlog is not None:
            yield _one(
                "outbox_pending_batches", "Batches with deliveries that have no receipt.", self._backlog.pending_batches
            )
            yield _one("outbox_oldest_due_seconds", "How long the oldest due batch waits.", self._backlog.oldest_due_s)
        yield _one("active_batches", "Batches that the dispatcher works on.", sources.dispatcher.active_batches)
        yield _by_provider("pauses", "Credentials that wait because a provider said so.", sources.holds.paused(now=now))
        yield _by_provider("breakers_open", "Credentials that a provider refuses.", sources.holds.refused())
        yield _one("apns_connections", "Connections to APNs that take pushes.", sources.apns_connections())
        yield _counter("emulator_captures", "Requests that the emulators answered.", (), {(): sources.inbox.received})


def _of_requests(requests: RequestCounts, tickets: TicketCounts) -> "Iterator[Metric]":
    answered = {(route, str(status)): count for (route, status), count in requests.answered.items()}
    yield _counter("requests", "Requests that were answered.", ("endpoint", "status"), answered)
    took = {(route,): histogram for route, histogram in requests.took_s.items()}
    yield _histogram("request_seconds", "From a request to its answer.", ("endpoint",), took)
    refused = _labelled(requests.refused)
    yield _counter("requests_refused", "Requests that were refused as a whole, by error code.", ("code",), refused)
    yield _counter("notifications_accepted", "Recipients whose ticket is ok.", (), {(): tickets.accepted})
    errors = _labelled(tickets.refused)
    yield _counter("notifications_refused", "Recipients whose ticket is an error.", ("error",), errors)


def _of_deliveries(dispatcher: Dispatcher) -> "Iterator[Metric]":
    counts = dispatcher.counts
    labels = ("provider", "outcome", "reason")
    yield _counter("attempts", "Requests to providers by what came of them.", labels, counts.attempts)
    yield _counter("retries", "Attempts that are followed by another.", ("provider",), _labelled(counts.retries))
    yield _counter("deliveries_held", "Deliveries that were not tried.", ("provider", "by"), counts.held)
    yield _counter("receipts", 'Receipts; error is "" when they are ok.', ("error",), _labelled(counts.receipts))
    sends = {(provider,): histogram for provider, histogram in counts.send_s.items()}
    yield _histogram("send_seconds", "From a request to a provider to its outcome.", ("provider",), sends)
    yield _histogram("settled_seconds", "From acceptance to the receipt.", (), {(): counts.settled_s})
    yield _histogram("claim_lag_seconds", "From a batch's due time to its claim.", (), {(): counts.claim_lag_s})


def _labelled(counts: Counter[str]) -> dict[Labels, int]:
    return {(label,): count for label, count in counts.items()}


def _counter(name: str, text: str, labels: Labels, values: Mapping[L, int]) -> "Metric":
    from prometheus_client.metrics_core import CounterMetricFamily

    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, labels: Labels, values: Mapping[L, float]) -> "Metric":
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _one(name: str, text: str, value: float) -> "Metric":
    return _gauge(name, text, (), {(): value})


def _by_provider(name: str, text: str, counts: Mapping[Platform, int]) -> "Metric":
    values = {(provider,): float(counts.get(platform, 0)) for platform, provider in PROVIDERS.items()}
    return _gauge(name, text, ("provider",), values)


def _histogram(name: str, text: str, labels: Labels, values: Mapping[L, Histogram]) -> "Metric":
    from prometheus_client.metrics_core import HistogramMetricFamily

    family = HistogramMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, histogram in values.items():
        bounds = [*(str(bound) for bound in histogram.bounds_s), "+Inf"]
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric(key, buckets, sum_value=histogram.sum_s)
    return family
