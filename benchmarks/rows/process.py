"""The process itself: its start, its memory, what a backlog does to it, and what a second one brings."""

import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import peer_servers
from benchmarks.bench import Bench, Found, Sides, samples
from benchmarks.figures import Bar, Sample, Sense, Skipped, alone, compared, cpu_row
from benchmarks.gateway import Served, can_granian, free_port, gateway, serve_options, write_config
from benchmarks.load import check_tickets
from benchmarks.mock import Mock, is_there, provider_mock
from benchmarks.rows.delivery import backlog, delivering, fast_gateway, pushes_from_now
from benchmarks.rows.intake import DEVICES
from benchmarks.seeds import add_devices
from benchmarks.traffic import BATCH

MB = 1e6
# Our choice: libraries that a start loads in the background are loaded by then.
IDLE_AFTER_S = 3.0


def start(bench: Bench) -> Found:
    """From the start of the process to its first 200, and until the emulators are up too; then its memory."""
    servers = ["hypercorn", *(["granian"] if can_granian() else [])]
    for server in servers:
        first_ms, ready_ms, rss = [], [], []
        for number in range(bench.rounds + 1):
            with gateway(bench.path("data"), server=server, port=free_port()) as served:
                if number:  # the first one compiles what Python keeps compiled
                    first_ms.append(served.first_s * 1e3)
                    ready_ms.append(served.ready_s * 1e3)
                if number == 1:
                    time.sleep(IDLE_AFTER_S)
                    rss.append(served.process.rss_bytes() / MB)
        bar = Bar(limit=400.0, sense=Sense.AT_MOST, stretch=250.0, of_ratio=False)
        yield alone(f"start to first 200, {server}", first_ms, unit="ms", bar=bar)
        yield alone(f"start to ready, emulators and all, {server}", ready_ms, unit="ms")
        yield alone(
            f"memory when idle, {server}", rss, unit="MB", bar=Bar(limit=70.0, sense=Sense.AT_MOST, of_ratio=False)
        )
    fake = peer_servers.node_fake()
    if fake is not None:
        with ExitStack() as stack:
            ready = [stack.enter_context(fake(bench.directory)).ready_s * 1e3 for _ in range(bench.rounds)]
        yield alone("start to listening, node_fake.js", ready, unit="ms")


def many_pending(bench: Bench) -> Found:
    """A million messages that wait: what they cost those that come, in memory, and on their way out."""
    if not is_there():
        yield Skipped(path="backlog", why="nginx is not installed")
        return
    pending = bench.smaller(1_000_000, 100_000)
    path = f"{pending // 1000:,} k messages pending"
    full, _ = backlog(bench, pending)
    empty = bench.path("data")
    add_devices(empty, DEVICES)
    with provider_mock(bench.path("mock")) as mock:
        with ExitStack() as stack:
            sides = Sides(bench=bench, stack=stack)
            for name, data in (("empty", bench.copied(empty)), ("full", bench.copied(full))):
                config = write_config(bench.path("config"), mock, slow=True)
                sides.add(name, stack.enter_context(gateway(data, config=config, server=_best(), name=name)))
            time.sleep(IDLE_AFTER_S)
            grown = [(_rss_mb(sides.served["full"]) - _rss_mb(sides.served["empty"]))]
            found = sides.turns(bench.bodies(batch=BATCH, gzipped=True, devices=DEVICES))
            one, other = samples(found, "full"), samples(found, "empty")
            yield compared(f"{path}: send, gzip batches", "none pending", one, other, bar=Bar(limit=0.9))
            bar = Bar(limit=200.0, sense=Sense.AT_MOST, of_ratio=False)
            yield alone(f"{path}: memory grows", grown, unit="MB", bar=bar)
        little, _ = backlog(bench, bench.smaller(60_000, 10_000))
        seconds = bench.smaller(6, 2)
        out = [_drain(bench, mock, bench.copied(full), pending, seconds) for _ in range(min(3, bench.rounds))]
        base = [_drain(bench, mock, bench.copied(little), 10**6, seconds) for _ in range(min(3, bench.rounds))]
        yield compared(f"{path}: drain", "a short backlog", out, base, bar=Bar(limit=0.9))


def workers(bench: Bench) -> Found:
    """Two processes on one SQLite file, and one."""
    if "--workers" not in serve_options():
        yield Skipped(path="serve --workers 2", why="this build has no --workers")
        return
    with provider_mock(bench.path("mock")) as mock:
        data = bench.path("data")
        add_devices(data, DEVICES)
        bodies = bench.bodies(batch=BATCH, gzipped=True, devices=DEVICES)
        for server in ("hypercorn", *(("granian",) if can_granian() else ())):
            with ExitStack() as stack:
                sides = Sides(bench=bench, stack=stack)
                for number in (1, 2):
                    config = write_config(bench.path("config"), mock, slow=True)
                    one = gateway(
                        bench.copied(data), config=config, server=server, workers=number, name=f"{number} workers"
                    )
                    sides.add(str(number), stack.enter_context(one))
                    check_tickets(sides.served[str(number)].url, bodies)
                found = sides.turns(bodies)
                two, one_worker = samples(found, "2"), samples(found, "1")
                path, bar = (
                    f"send, gzip batches, 2 workers, {server}",
                    Bar(limit=1.4) if server == "hypercorn" else None,
                )
                yield compared(path, "1 worker", two, one_worker, bar=bar)
                yield cpu_row(f"{path}: cost", "1 worker", two, one_worker, bar=Bar(limit=1.2, sense=Sense.AT_MOST))
        messages = bench.smaller(60_000, 10_000)
        full, _ = backlog(bench, messages)
        pairs = [
            [_drain(bench, mock, bench.copied(full), messages, 60, number) for number in (2, 1)]
            for _ in range(bench.rounds)
        ]
        two, one_worker = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        yield compared("dispatch, 2 workers", "1 worker", two, one_worker, bar=Bar(limit=1.6))
        yield cpu_row("dispatch, 2 workers: cost", "1 worker", two, one_worker, bar=Bar(limit=1.2, sense=Sense.AT_MOST))


def _drain(bench: Bench, mock: Mock, data: Path, messages: int, seconds: float, workers: int = 1) -> Sample:
    pushes = pushes_from_now(mock)  # the first ones go before anybody is served
    with fast_gateway(bench, mock, data, workers=workers) as served:
        return delivering(bench, served, pushes, messages=messages, seconds=seconds)


def _best() -> str:
    return "granian" if can_granian() else "hypercorn"


def _rss_mb(served: Served) -> float:
    return served.process.rss_bytes() / MB
