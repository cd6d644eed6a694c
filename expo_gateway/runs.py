"""The runs: worlds by name, made on first use, and gone by call, after idling, or when there are too many."""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from expo_gateway.errors import TooManyRuns
from expo_gateway.world import World

log = logging.getLogger(__name__)

RUN_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Our choices. A run that was used once takes some tens of kB.
MAX_RUNS = 2000
MAX_IDLE_S = 3600.0
LOOK_EVERY_S = 1.0


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """A named world, and when it was used."""

    name: str
    world: World
    made_at: float
    """Unix seconds of real time, as is `used_at`."""
    used_at: float
    """When its last request came or ended."""
    requests: int = 0
    """Under way now. While there are any the run is not idle."""


class Runs:
    """All worlds of a gateway. For one event loop; `open_runs` makes it and closes it."""

    def __init__(
        self,
        *,
        default: World,
        make: Callable[[str], World],
        clock: Callable[[], float],
        max_runs: int = MAX_RUNS,
        max_idle_s: float = MAX_IDLE_S,
    ) -> None:
        """`clock` is real time, whatever the worlds' clocks show."""
        self.default = default
        self.max_runs = max_runs
        self._make = make
        self._clock = clock
        self._max_idle_s = max_idle_s
        self._runs: OrderedDict[str, Run] = OrderedDict()
        """The one that was used longest ago first."""
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def __len__(self) -> int:
        """Without the default one."""
        return len(self._runs)

    def list(self) -> tuple[Run, ...]:
        """Without the default one; the one that was used longest ago first."""
        return tuple(self._runs.values())

    def get(self, name: str) -> Run | None:
        return self._runs.get(name)

    def get_or_make(self, name: str) -> Run:
        """The run of this name, which must match RUN_NAME; a new one may take the place of the longest idle.

        TooManyRuns: there are as many as there may be, and requests are under way in each; or the gateway stops.
        """
        run = self._runs.get(name)
        if run is None:
            self._make_room()
            now = self._clock()
            run = self._runs[name] = Run(name=name, world=self._make(name), made_at=now, used_at=now)
        return run

    @contextmanager
    def using(self, run: Run) -> Iterator[World]:
        """Inside, a request of the run is under way."""
        run.requests += 1
        self._touch(run)
        try:
            yield run.world
        finally:
            run.requests -= 1
            self._touch(run)

    async def remove(self, name: str) -> bool:
        """Close it; the next use of the name makes another. False: there is none."""
        run = self._runs.get(name)
        if run is None:
            return False
        await asyncio.wait({self._dispose(run)})
        return True

    async def remove_all(self) -> int:
        """Returns how many there were. The default world stays."""
        closing = [self._dispose(run) for run in self.list()]
        if closing:
            await asyncio.wait(closing)
        return len(closing)

    async def close(self) -> None:
        """From now on none is made."""
        self._is_closed = True
        await self.remove_all()
        if self._closing:
            await asyncio.wait(tuple(self._closing))

    async def watch(self) -> None:
        """Dispose of runs that nobody uses, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.dispose_of_idle()

    def dispose_of_idle(self) -> int:
        """Returns how many that were."""
        idle_since = self._clock() - self._max_idle_s
        old = takewhile(lambda run: run.used_at < idle_since, self._runs.values())
        idle = [run for run in old if not run.requests]
        for run in idle:
            self._dispose(run)
        return len(idle)

    def _touch(self, run: Run) -> None:
        run.used_at = self._clock()
        if self._runs.get(run.name) is run:
            self._runs.move_to_end(run.name)

    def _make_room(self) -> None:
        if self._is_closed:
            raise TooManyRuns("the gateway is stopping")
        if len(self._runs) < self.max_runs:
            return
        idle = next((run for run in self._runs.values() if not run.requests), None)
        if idle is None:
            raise TooManyRuns(f"there are {self.max_runs} runs (runs.max_runs), and all of them are at work")
        log.info("the run %s, idle for longest, makes room for another", idle.name)
        self._dispose(idle)

    def _dispose(self, run: Run) -> asyncio.Task[None]:
        """Its name is free at once; what it has ends in a task."""
        del self._runs[run.name]
        closing = asyncio.create_task(_close(run), name=f"closing {run.name}")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return closing


async def _close(run: Run) -> None:
    try:
        await run.world.close()
    except Exception:
        log.exception("the run %s could not be closed", run.name)


@asynccontextmanager
async def open_runs(
    *,
    default: World,
    make: Callable[[str], World],
    clock: Callable[[], float],
    max_runs: int = MAX_RUNS,
    max_idle_s: float = MAX_IDLE_S,
) -> AsyncIterator[Runs]:
    """At the end all named worlds are closed; the default one is its maker's."""
    runs = Runs(default=default, make=make, clock=clock, max_runs=max_runs, max_idle_s=max_idle_s)
    watching = asyncio.create_task(runs.watch(), name="runs")
    try:
        yield runs
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await runs.close()
