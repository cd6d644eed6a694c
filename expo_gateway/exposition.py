"""Everything that is counted, in Prometheus' format.

prometheus_client takes a tenth of a second to import, so the first question loads it, in a thread. It writes the
format, and adds what it knows of process and interpreter; the counting is ours (`metrics.py`).

https://prometheus.io/docs/practices/naming/
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct

from expo_gateway import __version__
from expo_gateway.counts import Counts
from expo_gateway.dispatcher.holds import Holds
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.dispatcher.sender import PROVIDERS
from expo_gateway.errors import StoreUnavailable
from expo_gateway.metrics import DeliveryCounts, Histogram, RequestCounts, TicketCounts
from expo_gateway.outbox.base import MAX_COUNTED, Outbox
from expo_gateway.protocol.device import Platform

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = logging.getLogger(__name__)

PREFIX = "expo_gateway"
# A store that hangs must not take the other metrics with it.
STORE_S = 2.0

Labels = tuple[str, ...]
L = TypeVar("L", bound=Labels)


class Sources(Struct, frozen=True, kw_only=True):
    """Who counts, and who is asked."""

    requests: RequestCounts
    tickets: TicketCounts
    dispatcher: Dispatcher
    holds: Holds
    outbox: Outbox
    commit_s: Histogram
    captures: Callable[[], int]
    apns_connections: Callable[[], int]
    channels: Callable[[], Awaitable[Mapping[str, int]]]
    """Home Assistant's registrations by the status of their channel. StoreUnavailable."""
    channel_messages: Callable[[], int]
    """To the channels that are open, since each was opened."""
    clock: Callable[[], float]

    def counts(self) -> Counts:
        """What they say now. It goes on changing: write it down at once."""
        return Counts(
            requests=self.requests,
            tickets=self.tickets,
            deliveries=self.dispatcher.counts,
            commit_s=self.commit_s,
            captures=self.captures(),
            active_batches=self.dispatcher.active_batches,
            pauses=_by_provider(self.holds.paused(now=self.clock())),
            breakers=_by_provider(self.holds.refused()),
            apns_connections=self.apns_connections(),
        )


class Backlog(Struct, frozen=True, kw_only=True):
    """What the outbox says of itself."""

    pending_batches: int
    oldest_due_s: float
    """How long the batch that is due for longest has been due; 0 when none is."""


class Workers(Protocol):
    """The processes of a gateway that has several."""

    def all_counts(self, own: Counts) -> Counts:
        """The sum over all of them, of which this one has counted `own`."""
        ...

    def pids(self) -> Mapping[str, int]:
        """By name."""
        ...


class Exposition:
    def __init__(self, sources: Sources, *, workers: Workers | None = None) -> None:
        self._sources = sources
        self._workers = workers

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Body and content type for a client that accepts `accept`: Prometheus' text, or OpenMetrics."""
        await asyncio.to_thread(_load)
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        registry, counts = CollectorRegistry(), self._sources.counts()
        PlatformCollector(registry=registry)
        if self._workers is None:
            ProcessCollector(registry=registry)
            GCCollector(registry=registry)
        else:
            registry.register(_Processes(self._workers.pids()))
            counts = self._workers.all_counts(counts)
        messages = self._sources.channel_messages()
        registry.register(_Collector(counts, await self._backlog(), await self._channels(), messages))
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

    async def _channels(self) -> Mapping[str, int]:
        """Empty: there are none, or the store does not say."""
        try:
            async with asyncio.timeout(STORE_S):
                return await self._sources.channels()
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("metrics without local push: %s", error or "the store did not answer in time")
            return {}


def _load() -> None:
    import prometheus_client.exposition  # noqa: F401


class _Collector:
    """Implements prometheus_client's Collector."""

    def __init__(self, counts: Counts, backlog: Backlog | None, channels: Mapping[str, int], messages: int) -> None:
        self._counts = counts
        self._backlog = backlog
        self._channels = channels
        self._messages = messages

    def collect(self) -> "Iterator[Metric]":
        yield _gauge("build_info", "1; the version is in the label.", ("version",), {(__version__,): 1})
        yield from _of_requests(self._counts.requests, self._counts.tickets)
        yield from _of_deliveries(self._counts.deliveries)
        yield from self._of_now()

    def _of_now(self) -> "Iterator[Metric]":
        counts = self._counts
        yield _histogram("store_commit_seconds", "Time of a commit of the store.", (), {(): counts.commit_s})
        if self._backlog is not None:
            text = f"Batches with deliveries that have no receipt; no more than {MAX_COUNTED} are counted."
            yield _one("outbox_pending_batches", text, self._backlog.pending_batches)
            yield _one("outbox_oldest_due_seconds", "How long the oldest due batch waits.", self._backlog.oldest_due_s)
        yield _one("active_batches", "Batches that the dispatcher works on.", counts.active_batches)
        yield _gauge(
            "pauses", "Credentials that wait because a provider said so.", ("provider",), _labelled(counts.pauses)
        )
        yield _gauge("breakers_open", "Credentials that a provider refuses.", ("provider",), _labelled(counts.breakers))
        yield _one("apns_connections", "Connections to APNs that take pushes.", counts.apns_connections)
        text = "Apps that registered at Home Assistant's doors, by the status of their channel."
        channels = {(status,): count for status, count in self._channels.items()}
        yield _gauge("home_assistant_channels", text, ("status",), channels)
        text = "Notifications sent to the channels that are open, since each was opened."
        yield _one("home_assistant_messages", text, self._messages)
        yield _counter("emulator_captures", "Requests that the emulators answered.", (), {(): counts.captures})


class _Processes:
    """What prometheus_client knows of a process, of several. Implements its Collector."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client import ProcessCollector
        from prometheus_client.metrics_core import Metric

        families: dict[str, Metric] = {}
        for worker, pid in self._pids.items():
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                labelled = [one._replace(labels={**one.labels, "worker": worker}) for one in family.samples]
                known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                known.samples += labelled
        yield from families.values()


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


def _of_deliveries(counts: DeliveryCounts) -> "Iterator[Metric]":
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


def _by_provider(counts: Mapping[Platform, int]) -> Counter[str]:
    return Counter({provider: counts.get(platform, 0) for platform, provider in PROVIDERS.items()})


def _histogram(name: str, text: str, labels: Labels, values: Mapping[L, Histogram]) -> "Metric":
    from prometheus_client.metrics_core import HistogramMetricFamily

    family = HistogramMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, histogram in values.items():
        bounds = [*(str(bound) for bound in histogram.bounds_s), "+Inf"]
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric(key, buckets, sum_value=histogram.sum_s)
    return family
