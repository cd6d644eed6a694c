"""One SQLite file under both stores: one writer, group commit, readers beside it.

The event loop gathers the writes; one commit at a time is in flight, and a thread makes it: BEGIN IMMEDIATE, every
waiting op, COMMIT, one fsync. What many callers write together, a few rows each, the loop commits by itself when it
can, and a thread only syncs it (`sqlite_quick.py`). Readers have connections and threads of their own and do not wait
for the writer (WAL). Several processes may share a file; SQLite's own lock orders their writers.

https://www.sqlite.org/wal.html
"""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from expo_gateway.errors import StoreUnavailable
from expo_gateway.metrics import COMMIT_S, Histogram
from expo_gateway.process_lock import ProcessLock
from expo_gateway.sqlite_connection import MEMORY, Durability, advice, connect, is_store_fault, migrate, touch
from expo_gateway.sqlite_group import Failed, Op, commit_group
from expo_gateway.sqlite_quick import QuickWriter
from expo_gateway.sqlite_threads import Threads

T = TypeVar("T")
P = TypeVar("P")
OpOfMany = Callable[[sqlite3.Connection, Sequence[P]], None]
"""An op for the arguments of several callers."""

# Our choice: longer than any commit of another process takes, shorter than a caller's patience.
BUSY_S = 5.0
# Our choice: the caller of a public endpoint hears "overloaded" rather than wait for minutes of backlog.
MAX_WAITING = 10_000
# Our choice: far above the 1-32 ops of a busy moment; bounds one commit's time and what a failed one redoes.
MAX_GROUP = 256
READERS = 2
# Our choice: a full disk at 1,000 requests a second is one log line in this time, not 5,000.
COMPLAIN_EVERY_S = 5.0

_log = logging.getLogger(__name__)


class SqliteFile:
    """A database file, or ":memory:". Open it, give it to the stores, close it."""

    def __init__(
        self,
        path: Path | str,
        *,
        durability: Durability,
        busy_s: float = BUSY_S,
        clock: Callable[[], float] = time.monotonic,
        turn: ProcessLock | None = None,
    ) -> None:
        """`turn`: of processes that all write much. Who waits for SQLite's own lock sleeps, ever longer, and then asks
        again; who waits for this one is woken when it is free.
        """
        self._path = str(path)
        self._durability = durability
        self._busy_s = busy_s
        self._clock = clock
        self._turn = turn
        self._quiet_until: dict[str, float] = {}
        self.commit_s = Histogram(COMMIT_S)
        self._alone: deque[tuple[Op[object], asyncio.Future[object]]] = deque()
        self._together: dict[OpOfMany[object], list[tuple[object, asyncio.Future[object]]]] = {}
        self._together_bytes = 0
        self._refused: Sequence[_Call] = ()
        """What the loop could not commit: the thread does it, before what waits."""
        self._syncing: asyncio.Future[None] | None = None
        self._in_thread = False
        """A commit is in flight."""
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._closing = False
        self._committer: asyncio.Task[None] | None = None
        self._writer: sqlite3.Connection
        self._quick: QuickWriter | None = None
        self._writer_thread: Threads
        self._reader_threads: Threads
        self._idle_readers: list[sqlite3.Connection] = []

    async def open(self) -> None:
        """Make the file where there is none, mode 0600: it holds tokens.

        SettingsError: the path can't be a database of ours. StoreUnavailable: locked, damaged, or a failing disk.
        """
        self._closing = False
        self._writer_thread = Threads(1, name="sqlite-writer")
        try:
            await self._writer_thread.run(self._connect)
        except BaseException:
            self._writer_thread.close()
            raise
        self._committer = asyncio.create_task(self._commit_groups(), name="sqlite-committer")

    async def close(self) -> None:
        """Finish what waits and is in flight, write the log back into the file, close. Again is harmless."""
        if self._committer is None:
            return
        self._closing = True
        self._arrived.set()
        await self._committer
        self._committer = None
        if self._syncing is not None:
            await asyncio.wait({self._syncing})
        await self._writer_thread.run(self._disconnect)
        self._writer_thread.close()

    async def __aenter__(self) -> "SqliteFile":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def write(self, op: Op[T]) -> T:
        """Run `op` inside a transaction; when this returns, its effect is durable. Raises what `op` raises.

        StoreUnavailable: nothing of it was written. A caller that is cancelled before its group starts wrote nothing;
        later it is unknown. Nobody else notices.
        """
        self._admit()
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._alone.append((op, future))
        return cast(T, await self._written(future))

    async def write_together(self, op: OpOfMany[P], argument: P, *, size_bytes: int) -> None:
        """Like `write`, but `op` is called once with the arguments of all who wait to write with it now.

        For the hot path: `op` takes microseconds, and its rows are some `size_bytes`. Those who are written together
        fail together, so the arguments must have been checked.
        """
        self._admit()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        if not self._together:
            loop.call_soon(self._commit_here)  # when all who are ready in this turn of the loop have come
        self._together.setdefault(cast("OpOfMany[object]", op), []).append((argument, future))
        self._together_bytes += size_bytes
        self._waiting += 1
        try:
            await future
        finally:
            self._waiting -= 1

    async def read(self, op: Op[T]) -> T:
        """Run `op` on a connection that sees all that was committed. Raises what `op` raises, or StoreUnavailable."""
        self._admit()
        self._waiting += 1
        try:
            return await self._reader_threads.run(partial(self._read, op))
        except sqlite3.Error as error:
            if not is_store_fault(error):
                raise
            raise self._unavailable(error) from error
        finally:
            self._waiting -= 1

    async def migrate(self, component: str, scripts: Sequence[str]) -> None:
        """Bring a component's tables up to date; `scripts` are all its migrations, from number 1 on.

        SettingsError: the tables were made by a newer program.
        """
        await self.write(partial(migrate, component=component, scripts=scripts))

    async def touch(self) -> None:
        """Write something that changes nothing. StoreUnavailable: nothing can be written now."""
        await self.write(touch)

    def complain(self, kind: str, text: str) -> None:
        """Log an error, at most one of a kind in COMPLAIN_EVERY_S seconds. Any thread may call this."""
        now = self._clock()
        if now >= self._quiet_until.get(kind, float("-inf")):
            self._quiet_until[kind] = now + COMPLAIN_EVERY_S
            _log.error("%s: %s", self._path, text)

    def _admit(self) -> None:
        if self._committer is None or self._closing or self._committer.done():
            raise StoreUnavailable("the store is closed")
        if self._waiting >= MAX_WAITING:
            self.complain("overloaded", f"{MAX_WAITING} calls wait for it; more are refused. Is the disk too slow?")
            raise StoreUnavailable("overloaded")

    async def _written(self, future: asyncio.Future[object]) -> object:
        self._waiting += 1
        self._arrived.set()
        try:
            return await future
        finally:
            self._waiting -= 1

    async def _commit_groups(self) -> None:
        """The committer: one group after the other, until closed. It owns every write that waits."""
        while not self._closing or self._has_waiting():
            await self._arrived.wait()
            self._arrived.clear()
            while self._has_waiting():
                group, self._refused = self._refused or self._next_group(), ()
                if group:
                    await self._commit(group)

    def _has_waiting(self) -> bool:
        return bool(self._refused or self._alone or self._together)

    def _commit_here(self) -> None:
        """Commit what is to be written together, unless a thread commits now or something else waits for one."""
        if self._quick is None or self._in_thread or self._refused or self._alone:
            self._arrived.set()
            return
        if self._syncing:  # it comes back here: more get together meanwhile
            return
        size_bytes, self._together_bytes = self._together_bytes, 0
        calls, began_at = self._next_group(), self._clock()
        values = self._quick.commit([call.op for call in calls], size_bytes=size_bytes) if calls else None
        if values is None:
            self._refused = calls
        else:
            group = _Group(calls=calls, outcomes=values, began_at=began_at)
            self._make_durable(group)
        if self._has_waiting():
            self._arrived.set()

    def _make_durable(self, group: "_Group") -> None:
        """While a thread syncs, the loop commits nothing more, so that more get together."""
        assert self._quick is not None
        if self._durability == "process":
            self._settle_all(group)
        elif self._quick.syncs_fast:
            try:
                self._quick.sync()
            except OSError as error:
                group = group.failed(error)
            self._settle_all(group)
        else:
            self._syncing = self._writer_thread.run(self._quick.sync)
            self._syncing.add_done_callback(partial(self._synced, group))

    def _synced(self, group: "_Group", synced: asyncio.Future[None]) -> None:
        self._syncing = None
        error = synced.exception()
        self._settle_all(group.failed(error) if isinstance(error, Exception) else group)
        if self._together:
            self._commit_here()

    def _next_group(self) -> list["_Call"]:
        """Takes what waits, without those whose callers have gone."""
        alone = [self._alone.popleft() for _ in range(min(MAX_GROUP, len(self._alone)))]
        group = [_Call(op=op, futures=[future]) for op, future in alone if not future.done()]
        for op, calls in list(self._together.items()):
            live = [(argument, future) for argument, future in calls[:MAX_GROUP] if not future.done()]
            del calls[:MAX_GROUP]
            if not calls:
                del self._together[op]
            if live:
                arguments, futures = zip(*live, strict=True)
                group.append(_Call(op=_bound(op, arguments), futures=futures))
        return group

    async def _commit(self, calls: Sequence["_Call"]) -> None:
        ops = [call.op for call in calls]
        began_at = self._clock()
        self._in_thread = True
        try:
            outcomes = await self._writer_thread.run(partial(self._commit_in_turn, ops))
        except Exception as error:  # a bug of ours, or no memory: the callers must hear of it, and the next group runs
            outcomes = [Failed(error=error) for _ in calls]
        finally:
            self._in_thread = False
        self._settle_all(_Group(calls=calls, outcomes=outcomes, began_at=began_at))

    def _settle_all(self, group: "_Group") -> None:
        self.commit_s.observe(self._clock() - group.began_at)
        for call, outcome in zip(group.calls, group.outcomes, strict=True):
            for future in call.futures:
                self._settle(future, outcome)

    def _commit_in_turn(self, ops: Sequence[Op[object]]) -> list[object]:
        with self._turn.held() if self._turn is not None else nullcontext():
            return commit_group(self._writer, ops)

    def _settle(self, future: asyncio.Future[object], outcome: object) -> None:
        if future.done():  # its caller has gone
            return
        if not isinstance(outcome, Failed):
            future.set_result(outcome)
        elif is_store_fault(outcome.error):
            future.set_exception(self._unavailable(outcome.error))
        else:
            future.set_exception(outcome.error)

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        """What the caller gets for a fault of the store; the operator gets a log line that says what to do."""
        kind = getattr(error, "sqlite_errorname", "other")
        self.complain(kind, f"{error} ({kind}). {advice(error)}")
        unavailable = StoreUnavailable(f"the store can't be used now: {error}")
        unavailable.__cause__ = error
        return unavailable

    def _connect(self) -> None:
        self._writer = connect(self._path, durability=self._durability, busy_s=self._busy_s)
        self._idle_readers, self._reader_threads = [self._writer], self._writer_thread
        if self._path == MEMORY:
            return
        self._idle_readers, self._reader_threads = [], Threads(READERS, name="sqlite-reader")
        try:
            self._quick = QuickWriter(self._path, turn=self._turn.another() if self._turn is not None else None)
            for _ in range(READERS):
                self._idle_readers.append(connect(self._path, durability=self._durability, busy_s=self._busy_s))
                self._idle_readers[-1].execute("PRAGMA query_only = ON")
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        """The last connection to close writes the log back into the file and removes it."""
        if self._reader_threads is not self._writer_thread:
            self._reader_threads.close()
        if self._quick is not None:
            self._quick.close()
            self._quick = None
        for connection in {*self._idle_readers, self._writer}:
            try:
                connection.close()
            except sqlite3.Error as error:
                self.complain("close", f"{error}. What was written is in its -wal file and is read at the next start.")

    def _read(self, op: Op[T]) -> T:
        connection = self._idle_readers.pop()  # there are as many connections as threads
        try:
            return op(connection)
        finally:
            self._idle_readers.append(connection)


def _bound(op: OpOfMany[object], arguments: Sequence[object]) -> Op[None]:
    return lambda connection: op(connection, arguments)


class _Call(Struct, frozen=True, kw_only=True):
    """An op of a group, and who waits for it."""

    op: Op[object]
    futures: Sequence[asyncio.Future[object]]


class _Group(Struct, frozen=True, kw_only=True):
    """What was committed together."""

    calls: Sequence[_Call]
    outcomes: Sequence[object]
    """The value of each call, or Failed."""
    began_at: float

    def failed(self, error: Exception) -> "_Group":
        """None of it may be on the disk."""
        fault = error
        if isinstance(error, OSError):
            fault = sqlite3.OperationalError(str(error))
            fault.sqlite_errorcode, fault.sqlite_errorname = sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC"
        return replace(self, outcomes=[Failed(error=fault) for _ in self.calls])
