"""Waiting for entries: woken by the change that matters, looking at nothing but what changed."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct, field

from expo_gateway.journal.entry import Entry
from expo_gateway.journal.query import Condition, NearMiss, matches


class Waited(Struct, frozen=True, kw_only=True):
    """What a wait came to."""

    is_done: bool
    """Whether there were as many as wanted."""
    found: Sequence[Entry]
    """Those that matched in the end, also when they were too few; those that matched first are first."""
    near_misses: Sequence[NearMiss] = ()
    """When they were too few: who came closest."""


class _Wait(Struct, kw_only=True, eq=False):
    condition: Condition
    count: int
    found: dict[str, Entry]
    over: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def look_at(self, entry: Entry) -> None:
        if self.over.done():
            return
        if matches(self.condition, entry):
            self.found[entry.id] = entry
        else:
            self.found.pop(entry.id, None)
        if len(self.found) >= self.count:
            self.end()

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Waits:
    """Whoever waits now."""

    def __init__(self) -> None:
        self._waits: set[_Wait] = set()
        self._for_idle: set[asyncio.Future[bool]] = set()

    async def wait(
        self, condition: Condition, found: Sequence[Entry], *, count: int, timeout_s: float
    ) -> Sequence[Entry]:
        """Those that match as soon as they are so many, or when the time is up. `found` match already."""
        wait = _Wait(condition=condition, count=count, found={entry.id: entry for entry in found})
        if len(wait.found) < count:
            await self._wait(wait, timeout_s=timeout_s)
        return tuple(wait.found.values())

    async def _wait(self, wait: _Wait, *, timeout_s: float) -> None:
        self._waits.add(wait)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await wait.over
        finally:
            wait.end()
            self._waits.discard(wait)

    async def idle(self, *, timeout_s: float) -> bool:
        """Whether `has_come_idle` was called in time."""
        came: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._for_idle.add(came)
        try:
            async with asyncio.timeout(timeout_s):
                return await came
        except TimeoutError:
            return False
        finally:
            self._for_idle.discard(came)

    def changed(self, entry: Entry) -> None:
        for wait in self._waits:
            wait.look_at(entry)

    def dropped(self, entry: Entry) -> None:
        for wait in self._waits:
            if not wait.over.done():
                wait.found.pop(entry.id, None)

    def has_come_idle(self) -> None:
        self._end_idle(came=True)

    def close(self) -> None:
        for wait in self._waits:
            wait.end()
        self._end_idle(came=False)

    def _end_idle(self, *, came: bool) -> None:
        for waiting in self._for_idle:
            if not waiting.done():
                waiting.set_result(came)
