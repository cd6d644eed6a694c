"""One run: its directory, its lengths, and the turns that sides take in it."""

import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Row, Sample, Skipped
from benchmarks.gateway import Served
from benchmarks.load import BadAnswers, Loaded, load
from benchmarks.peer_servers import Peer
from benchmarks.processes import DidNotStart
from benchmarks.traffic import Bodies, write_bodies

Found = Iterator[Row | Skipped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    directory: Path
    """For everything that the run writes; on a disk, because commits are synced."""
    rounds: int
    quick: bool
    say: Callable[[str], None]
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    @property
    def turn_s(self) -> float:
        """How long a side is loaded in one round."""
        return 1.0 if self.quick else 3.0

    def smaller(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def path(self, name: str) -> Path:
        """A new one."""
        return self.directory / f"{next(self.numbers)}-{name}"

    def bodies(self, *, batch: int, gzipped: bool, devices: int, count: int = 200) -> Bodies:
        return write_bodies(self.path("bodies"), count=count, batch=batch, devices=devices, gzipped=gzipped)

    def copied(self, data: Path) -> Path:
        """A data directory like this one."""
        return Path(shutil.copytree(data, self.path(data.name)))


@dataclass(slots=True)
class Sides:
    """The servers that take turns; those that don't answer as they should are left out and said."""

    bench: Bench
    stack: ExitStack
    served: dict[str, Served] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, served: Served) -> None:
        self.served[name] = served

    def add_peer(self, name: str, peer: Peer | None, why: str) -> None:
        if peer is None:
            self.missing[name] = why
            return
        try:
            self.served[name] = self.stack.enter_context(peer(self.bench.directory))
        except DidNotStart as error:
            self.missing[name] = str(error)

    def turns(self, bodies: Bodies) -> dict[str, list[Loaded]]:
        """Round by round, each side in its turn while the others stand still. The first round is thrown away."""
        found: dict[str, list[Loaded]] = {name: [] for name in self.served}
        for served in self.served.values():
            served.process.freeze()
        for number in range(self.bench.rounds + 1):
            for name in shuffled(found, seed=number):
                try:
                    loaded = self._turn(self.served[name], bodies, self.bench.turn_s if number else 1.0)
                except BadAnswers as error:
                    self.missing[name] = str(error)
                    del found[name]
                    continue
                if number:
                    found[name].append(loaded)
        return found

    def _turn(self, served: Served, bodies: Bodies, duration_s: float) -> Loaded:
        served.process.thaw()
        try:
            loaded = load(served.url, bodies, served.process, duration_s=duration_s)
        finally:
            served.process.freeze()
        self.bench.say(f"{served.name}: {loaded.sample.rate:,.0f}/s, {loaded.sample.cpu_us:.1f} µs")
        return loaded


def shuffled(names: Iterable[str], *, seed: int) -> list[str]:
    """Another order in each round, the same ones in each run: nobody is always the one after the heaviest."""
    order = list(names)
    random.Random(seed).shuffle(order)
    return order


def samples(found: Mapping[str, Sequence[Loaded]], name: str) -> list[Sample]:
    return [loaded.sample for loaded in found[name]]


def wait_until(is_so: Callable[[], bool], *, timeout_s: float, poll_s: float = 0.02) -> bool:
    """False: it was not so in time."""
    give_up_at = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(poll_s)
    return True
