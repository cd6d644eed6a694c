"""Accepting messages: send, in batches and one by one.

Every gateway here has a data directory, commits that survive a loss of power, and a real project of 10,000 iPhones
whose Apple is the mock. "held": the mock is slow, so that the dispatcher keeps the few batches that it has claimed and
the rest waits; what is measured is intake alone. "while delivering": the mock is fast, and the same process delivers
what it can in between.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import peer_servers
from benchmarks.bench import Bench, Found, Sides, samples
from benchmarks.figures import Bar, Skipped, compared
from benchmarks.gateway import can_granian, gateway, write_config
from benchmarks.load import Loaded, check_tickets
from benchmarks.mock import Mock, provider_mock
from benchmarks.seeds import add_devices
from benchmarks.traffic import BATCH, Bodies

DEVICES = 10_000
GRANIAN, HYPERCORN, DELIVERING = "granian", "hypercorn", "delivering"
NODE, FAKE, GO, MOCKOON, WIREMOCK = "node_server.js", "node_fake.js", "Go net/http", "Mockoon", "WireMock"
NOOP_HYPERCORN, NOOP_GRANIAN = "no-op Starlette on Hypercorn", "no-op Starlette on Granian"
NO_NODE, NO_GO, NO_JAVA = "node is not installed", "go is not installed", "java is missing, or Maven's repository"
NO_MOCKOON = "not installed: npm ci in benchmarks/peers/node"
NO_GRANIAN = "Granian is not installed, or this build has no --server"

_Compared = Sequence[tuple[str, str, Bar | None]]
"""Ours, the peer, the bar."""


def gzip_batches(bench: Bench) -> Found:
    """100 messages, compressed, as expo-server-sdk sends them."""
    with ExitStack() as stack:
        sides, bodies = _gateways(bench, stack, batch=BATCH, gzipped=True, delivering=True)
        sides.add_peer(NODE, peer_servers.node_server(), NO_NODE)
        sides.add_peer(GO, peer_servers.go_server(), NO_GO)
        sides.add_peer(NOOP_HYPERCORN, peer_servers.noop_hypercorn(), "")
        rows: _Compared = (
            (GRANIAN, NODE, Bar(limit=1.0, stretch=1.6)),
            (GRANIAN, GO, Bar(limit=3.0)),
            (HYPERCORN, NOOP_HYPERCORN, Bar(limit=0.5, stretch=0.6)),
            (DELIVERING, NODE, None),
            (HYPERCORN, NODE, None),
        )
        yield from _rows("send, 100 messages, gzip", sides, bodies, rows)


def plain_batches(bench: Bench) -> Found:
    """100 messages, not compressed."""
    with ExitStack() as stack:
        sides, bodies = _gateways(bench, stack, batch=BATCH, gzipped=False)
        sides.add_peer(FAKE, peer_servers.node_fake(), NO_NODE)
        sides.add_peer(MOCKOON, peer_servers.mockoon(), NO_MOCKOON)
        sides.add_peer(WIREMOCK, peer_servers.wiremock(), NO_JAVA)
        sides.add_peer(NOOP_HYPERCORN, peer_servers.noop_hypercorn(), "")
        rows: _Compared = (
            (GRANIAN, FAKE, Bar(limit=0.6, stretch=1.0)),
            (GRANIAN, MOCKOON, Bar(limit=3.0)),
            (GRANIAN, WIREMOCK, Bar(limit=1.5)),
            (HYPERCORN, NOOP_HYPERCORN, Bar(limit=0.5, stretch=0.6)),
        )
        yield from _rows("send, 100 messages", sides, bodies, rows)


def singles(bench: Bench) -> Found:
    """One message a request."""
    with ExitStack() as stack:
        sides, bodies = _gateways(bench, stack, batch=1, gzipped=False)
        sides.add_peer(NOOP_GRANIAN, peer_servers.noop_granian(), "Granian is not installed")
        sides.add_peer(NODE, peer_servers.node_server(), NO_NODE)
        rows: _Compared = (
            (GRANIAN, HYPERCORN, Bar(limit=3.0)),
            (GRANIAN, NOOP_GRANIAN, Bar(limit=0.6, stretch=0.8)),
            (GRANIAN, NODE, None),
        )
        yield from _rows("send, single messages", sides, bodies, rows)


def _gateways(
    bench: Bench, stack: ExitStack, *, batch: int, gzipped: bool, delivering: bool = False
) -> tuple[Sides, Bodies]:
    mock = stack.enter_context(provider_mock(bench.path("mock")))
    data = bench.path("data")
    add_devices(data, DEVICES)
    bodies = bench.bodies(batch=batch, gzipped=gzipped, devices=DEVICES)
    sides = Sides(bench=bench, stack=stack)
    best = GRANIAN if can_granian() else HYPERCORN
    for name in (GRANIAN, HYPERCORN):
        if name == GRANIAN and best != GRANIAN:
            sides.missing[GRANIAN] = NO_GRANIAN
            continue
        _add_gateway(sides, name, bench.copied(data), mock, server=name, slow=True)
    if delivering:
        _add_gateway(sides, DELIVERING, bench.copied(data), mock, server=best, slow=False)
    for served in sides.served.values():
        check_tickets(served.url, bodies)
    return sides, bodies


def _add_gateway(sides: Sides, name: str, data: Path, mock: Mock, *, server: str, slow: bool) -> None:
    shown = f"gateway on {server}, {'held' if slow else 'while delivering'}"
    config = write_config(sides.bench.path("config"), mock, slow=slow)
    sides.add(name, sides.stack.enter_context(gateway(data, config=config, server=server, name=shown)))


def _rows(path: str, sides: Sides, bodies: Bodies, rows: _Compared) -> Found:
    found = sides.turns(bodies)
    for ours, peer, bar in rows:
        missing = next((name for name in (ours, peer) if name not in found), None)
        if missing is not None:
            yield Skipped(path=f"{path}: {ours} / {peer}", why=sides.missing.get(missing, "it did not start"))
            continue
        name = sides.served[ours].name
        yield compared(
            f"{path}: {name}", peer, samples(found, ours), samples(found, peer), bar=bar, note=_lag(found, ours)
        )


def _lag(found: dict[str, list[Loaded]], name: str) -> str:
    """How long a client waits."""
    loads = sorted(found[name], key=lambda loaded: loaded.p99_ms)
    middle = loads[len(loads) // 2]
    return f"p50 {middle.p50_ms:.1f} ms, p99 {middle.p99_ms:.1f} ms"
