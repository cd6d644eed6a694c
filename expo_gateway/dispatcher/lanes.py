"""So many deliveries of a credential at once: workers that take the next one when theirs has ended.

A task for each delivery, and a semaphore that most of them wait for, would cost more than all else that is done with
it.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from expo_gateway.dispatcher.holds import Key
from expo_gateway.protocol.device import Platform

T = TypeVar("T")

# Our choice: what one credential may have in flight. Apple and Google take 20 to 100 ms, so that a process can't build
# more meanwhile; with more, those wait longer who are being answered.
MAX_IN_FLIGHT = 128


class Lanes(Generic[T]):
    """A lane for each credential, so that one dead provider harms no other. First come, first served."""

    def __init__(self, work: Callable[[T], Awaitable[None]], *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        """`work` is done with everything that is put here. It raises nothing."""
        self._work = work
        self._max_in_flight = max_in_flight
        self._lanes: dict[Key, _Lane[T]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None

    def put(self, key: Key, item: T) -> None:
        """Have it worked on as soon as the credential has room, while `run` runs."""
        lane = self._lanes.get(key)
        if lane is None:
            # Nobody else's credential suffers from a local device, and its provider has bounds of its own: what waited
            # here would take the places of other devices.
            room = sys.maxsize if key[1] is Platform.LOCAL else self._max_in_flight
            lane = self._lanes[key] = _Lane(key, room)
        lane.waiting.append(item)
        if lane.workers < lane.room:
            self._hire(lane)

    async def run(self) -> None:
        """Work until cancelled; what is in flight then is cancelled too."""
        async with asyncio.TaskGroup() as self._group:
            try:
                for lane in self._lanes.values():
                    for _ in range(min(len(lane.waiting), lane.room)):
                        self._hire(lane)
                await asyncio.Event().wait()
            finally:
                self._group = None

    def abandon(self) -> None:
        """Cancel what is in flight, forget what waits."""
        for lane in self._lanes.values():
            lane.waiting.clear()
        for worker in self._workers:
            worker.cancel()

    def _hire(self, lane: "_Lane[T]") -> None:
        if self._group is None:  # not yet, or not any more
            return
        lane.workers += 1
        worker = self._group.create_task(self._work_off(lane))
        self._workers.add(worker)
        worker.add_done_callback(lambda _: self._dismiss(worker, lane))

    async def _work_off(self, lane: "_Lane[T]") -> None:
        while lane.waiting:
            await self._work(lane.waiting.popleft())

    def _dismiss(self, worker: asyncio.Task[None], lane: "_Lane[T]") -> None:
        lane.workers -= 1
        self._workers.discard(worker)
        if lane.waiting:  # it was cancelled
            self._hire(lane)
        elif not lane.workers and self._lanes.get(lane.key) is lane:
            # Else everyone who ever sent would be remembered.
            del self._lanes[lane.key]


class _Lane(Generic[T]):
    """Made for its first item, and forgotten after its last."""

    __slots__ = ("key", "room", "waiting", "workers")

    def __init__(self, key: Key, room: int) -> None:
        self.key = key
        self.room = room
        self.waiting: deque[T] = deque()
        self.workers = 0
