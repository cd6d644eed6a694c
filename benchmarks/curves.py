"""Cost grows with the work and not with the history: time a message against four things that may grow.

`python -m benchmarks curves` draws docs/assets/performance.svg and writes build/curves.json. CPU time of the gateway's
process, because it is the steadier figure; for receipts the time that a client waits.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench, Sides
from benchmarks.gateway import can_granian, gateway, write_config
from benchmarks.load import RECEIPTS, load
from benchmarks.mock import Mock, provider_mock
from benchmarks.seeds import add_backlog, add_devices, add_receipts, write_questions
from benchmarks.traffic import BATCH, Bodies

DEVICES = 10_000
IDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    title: str
    x: str
    y: str
    points: Mapping[int, float]


def curves(bench: Bench, path: Path) -> None:
    """Draws them. ImportError without matplotlib, before anything is measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    drawn: list[Curve] = []
    for measure in (by_batch_size, by_queue_depth, by_receipts, by_devices):
        drawn.append(measure(bench))
        bench.say(f"{drawn[-1].title}: {dict(drawn[-1].points)}")
    _draw(drawn, path)
    found = {curve.title: {"x": curve.x, "y": curve.y, "points": curve.points} for curve in drawn}
    (bench.directory.parent / "curves.json").write_text(json.dumps(found, indent=1) + "\n")


def by_batch_size(bench: Bench) -> Curve:
    points: dict[int, float] = {}
    with provider_mock(bench.path("mock")) as mock:
        data = bench.path("data")
        add_devices(data, DEVICES)
        for batch in (1, 10, 100):
            bodies = bench.bodies(batch=batch, gzipped=batch > 1, devices=DEVICES)
            points |= _costs(bench, mock, {batch: bench.copied(data)}, bodies)
    return Curve(title="size of a request", x="messages a request", y="CPU µs a message", points=points)


def by_queue_depth(bench: Bench) -> Curve:
    depths = (0, 100_000, bench.smaller(1_000_000, 200_000))
    with provider_mock(bench.path("mock")) as mock:
        data = {depth: _with_backlog(bench, depth) for depth in depths}
        bodies = bench.bodies(batch=BATCH, gzipped=True, devices=DEVICES)
        points = _costs(bench, mock, data, bodies)
    return Curve(title="backlog", x="messages pending", y="CPU µs a message", points=points)


def by_receipts(bench: Bench) -> Curve:
    points = {}
    for count in (10_000, 1_000_000, bench.smaller(10_000_000, 2_000_000)):
        data = bench.path("data")
        ids = add_receipts(data, count)
        questions = write_questions(bench.path("questions"), ids, count=50, ids=IDS, scattered=False)
        with gateway(data, server=_best()) as served:
            waits = [
                load(
                    served.url, questions, served.process, duration_s=bench.turn_s, connections=1, path=RECEIPTS
                ).p50_ms
                for _ in range(bench.rounds)
            ]
        points[count] = median(waits)
    return Curve(title="history", x="receipts stored", y=f"ms for {IDS:,} receipts", points=points)


def by_devices(bench: Bench) -> Curve:
    """Push tokens are taken from all devices, so that caches help as little as they do in life."""
    points: dict[int, float] = {}
    with provider_mock(bench.path("mock")) as mock:
        for devices in (1_000, 1_000_000, bench.smaller(10_000_000, 2_000_000)):
            data = bench.path("data")
            add_devices(data, devices)
            bodies = bench.bodies(batch=BATCH, gzipped=True, devices=devices, count=bench.smaller(3_000, 500))
            points |= _costs(bench, mock, {devices: data}, bodies)
    return Curve(title="devices", x="devices registered", y="CPU µs a message", points=points)


def _costs(bench: Bench, mock: Mock, data: Mapping[int, Path], bodies: Bodies) -> dict[int, float]:
    """CPU microseconds a message of a gateway on each of these, in turns."""
    with ExitStack() as stack:
        sides = Sides(bench=bench, stack=stack)
        for size, path in data.items():
            config = write_config(bench.path("config"), mock, slow=True)
            sides.add(str(size), stack.enter_context(gateway(path, config=config, server=_best(), name=f"{size:,}")))
        found = sides.turns(bodies)
        return {int(name): median(one.sample.cpu_us for one in loads) for name, loads in found.items() if loads}


def _with_backlog(bench: Bench, messages: int) -> Path:
    data = bench.path("data")
    add_devices(data, DEVICES)
    if messages:
        add_backlog(data, messages, devices=DEVICES)
    return data


def _best() -> str:
    return "granian" if can_granian() else "hypercorn"


def _draw(drawn: Sequence[Curve], path: Path) -> None:
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "expo-gateway"
    figure, grid = pyplot.subplots(1, len(drawn), figsize=(3.2 * len(drawn), 3.2), layout="constrained")
    for axes, curve in zip(grid, drawn, strict=True):
        places = range(len(curve.points))
        axes.plot(places, list(curve.points.values()), marker="o", color="#2c7a4b")
        axes.set_xticks(places, [_short(size) for size in curve.points])
        axes.set_ylim(0, max(curve.points.values()) * 1.3)
        for place, value in zip(places, curve.points.values(), strict=True):
            axes.annotate(f"{value:.3g}", (place, value), textcoords="offset points", xytext=(0, 7), ha="center")
        axes.set(title=curve.title, xlabel=curve.x, ylabel=curve.y)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _short(size: int) -> str:
    return f"{size // 1_000_000} M" if size >= 1_000_000 else f"{size // 1000} k" if size >= 1000 else str(size)
