"""Commits by the event loop itself: when it does, when it leaves them to the thread, and what makes them durable."""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from expo_gateway import sqlite_quick
from expo_gateway.errors import StoreUnavailable
from expo_gateway.process_lock import ProcessLock
from expo_gateway.sqlite_file import SqliteFile
from tests.sqlite_notes import LONG_S, Gate, add_notes, all_notes, behind, create_notes, trace

KIB = 1024
# A busy machine takes no part of it away.
FAST_S = 0.5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
async def file(path: Path) -> AsyncIterator[SqliteFile]:
    async with SqliteFile(path, durability="power") as file:
        await create_notes(file)
        yield file


class Where:
    """An op that notes who ran it."""

    def __init__(self) -> None:
        self.loop = threading.get_ident()
        self.seen: list[str] = []

    def __call__(self, connection: sqlite3.Connection, notes: Sequence[str]) -> None:
        add_notes(connection, notes)
        self.seen.append("loop" if threading.get_ident() == self.loop else "thread")


async def test_the_loop_commits_what_is_written_together(file: SqliteFile) -> None:
    op = Where()

    await asyncio.gather(*[file.write_together(op, f"{i}", size_bytes=1) for i in range(5)])

    assert op.seen == ["loop"]
    assert len(await file.read(all_notes)) == 5


async def test_in_memory_there_is_only_the_thread() -> None:
    async with SqliteFile(":memory:", durability="process") as file:
        await create_notes(file)
        op = Where()

        await file.write_together(op, "a", size_bytes=1)

    assert op.seen == ["thread"]


async def test_while_the_thread_commits_it_waits_for_the_next_group(file: SqliteFile) -> None:
    op, gate = Where(), Gate()
    held = await behind(file, gate)
    writing = asyncio.create_task(file.write_together(op, "a", size_bytes=1))
    await asyncio.sleep(0)

    gate.open()
    await asyncio.gather(held, writing)

    assert op.seen == ["thread"]


async def test_another_process_that_writes_is_waited_for_by_the_thread(file: SqliteFile, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        op = Where()
        writing = asyncio.create_task(file.write_together(op, "a", size_bytes=1))
        await asyncio.sleep(0.01)
        assert not writing.done()

        other.execute("COMMIT")
        await asyncio.wait_for(writing, LONG_S)

    assert op.seen == ["thread"]
    assert await file.read(all_notes) == ["a"]


async def test_whose_turn_it_is_not_leaves_it_to_the_thread(path: Path, tmp_path: Path) -> None:
    turn = ProcessLock(tmp_path / "turn")
    async with SqliteFile(path, durability="power", turn=turn) as file:
        await create_notes(file)
        op, other = Where(), turn.another()
        assert other.take()
        writing = asyncio.create_task(file.write_together(op, "a", size_bytes=1))
        await asyncio.sleep(0.01)
        assert not writing.done()

        other.give_back()
        await asyncio.wait_for(writing, LONG_S)
        await file.write_together(op, "b", size_bytes=1)

    other.close()
    assert op.seen == ["thread", "loop"]


async def test_a_mistake_is_its_own_and_not_that_of_the_loop(file: SqliteFile) -> None:
    await file.write_together(add_notes, "a", size_bytes=1)

    with pytest.raises(sqlite3.IntegrityError):
        await file.write_together(add_notes, "a", size_bytes=1)

    await file.write_together(add_notes, "b", size_bytes=1)
    assert await file.read(all_notes) == ["a", "b"]


async def test_it_returns_when_the_log_is_synced_and_others_get_together_meanwhile(
    file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, op = Gate(), Where()
    monkeypatch.setattr(sqlite_quick, "_sync", lambda _: gate.wait())
    first = asyncio.create_task(file.write_together(op, "a", size_bytes=1))
    await asyncio.to_thread(gate.reached.wait, LONG_S)
    others = [asyncio.create_task(file.write_together(op, f"{i}", size_bytes=1)) for i in range(5)]
    await asyncio.sleep(0)
    assert not first.done()

    gate.open()
    await asyncio.gather(first, *others)

    assert op.seen == ["loop", "loop"]


async def test_a_fast_disk_is_waited_for_by_the_loop_and_a_slow_one_by_the_thread(
    file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, seen = threading.get_ident(), []
    monkeypatch.setattr(sqlite_quick, "SYNC_HERE_S", FAST_S)
    takes_s = [0.0, 0.0, FAST_S, 0.0, 0.0]

    def sync(_: int) -> None:
        seen.append("loop" if threading.get_ident() == loop else "thread")
        time.sleep(takes_s[len(seen) - 1])

    monkeypatch.setattr(sqlite_quick, "_sync", sync)
    for number in range(5):
        await file.write_together(add_notes, f"{number}", size_bytes=1)

    assert seen == ["thread", "loop", "loop", "thread", "loop"]


@pytest.mark.parametrize("before", [0, 1])
async def test_who_could_not_be_synced_hears_of_it(
    file: SqliteFile, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """In the thread, and on the loop after a sync that was fast."""
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_quick, "_sync", lambda _: None)
        for number in range(before):
            await file.write_together(add_notes, f"{number}", size_bytes=1)

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_quick, "_sync", fails)
        with pytest.raises(StoreUnavailable, match="Input/output error"):
            await file.write_together(add_notes, "a", size_bytes=1)

    await file.write_together(add_notes, "b", size_bytes=1)


async def test_closing_waits_for_a_sync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    file = SqliteFile(path, durability="power")
    await file.open()
    await create_notes(file)
    monkeypatch.setattr(sqlite_quick, "_sync", lambda _: gate.wait())
    writing = asyncio.create_task(file.write_together(add_notes, "a", size_bytes=1))
    await asyncio.to_thread(gate.reached.wait, LONG_S)
    closing_ = asyncio.create_task(file.close())

    gate.open()
    await asyncio.gather(writing, closing_)

    async with SqliteFile(path, durability="power") as again:
        assert await again.read(all_notes) == ["a"]


async def test_without_a_disk_to_wait_for_no_thread_is_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(sqlite_quick, "_sync", synced.append)
    async with SqliteFile(path, durability="process") as file:
        await create_notes(file)
        await file.write_together(add_notes, "a", size_bytes=1)

    assert synced == []


async def test_the_log_is_written_back_though_only_the_loop_commits(file: SqliteFile, path: Path) -> None:
    statements = await trace(file)  # of the thread
    for number in range(100):
        note = f"{number}" + "x" * 200 * KIB
        await file.write_together(add_notes, note, size_bytes=len(note))

    assert statements.count("COMMIT") < 10
    assert os.stat(f"{path}-wal").st_size < 3 * sqlite_quick.CHECKPOINT_AFTER_BYTES


async def test_whose_callers_have_all_gone_is_neither_written_nor_synced(
    file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(sqlite_quick, "_sync", synced.append)
    gone = asyncio.create_task(file.write_together(add_notes, "a", size_bytes=1))
    await asyncio.sleep(0)
    gone.cancel()

    assert await file.read(all_notes) == []
    assert synced == []
