"""The SQLite file under the stores: reads, opening and closing, failures and recovery."""

import asyncio
import logging
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from expo_gateway.errors import SettingsError, StoreUnavailable
from expo_gateway.sqlite_connection import Durability
from expo_gateway.sqlite_file import COMPLAIN_EVERY_S, SqliteFile
from tests.sqlite_notes import LONG_S, Gate, all_notes, behind, create_notes, fail, note


@pytest.fixture(params=["memory", "file"])
async def file(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteFile]:
    path = ":memory:" if request.param == "memory" else tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process") as file:
        await create_notes(file)
        yield file


def modes_in(directory: Path) -> dict[str, int]:
    """Permission bits of each file by name."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


# -- reads ----------------------------------------------------------------------------------------------------


async def test_a_read_sees_what_was_written_before_it(file: SqliteFile) -> None:
    for i in range(20):
        await file.write(note(f"{i:02}"))
        assert len(await file.read(all_notes)) == i + 1


async def test_reads_do_not_wait_for_a_write(tmp_path: Path) -> None:
    async with SqliteFile(tmp_path / "gateway.db", durability="process") as file:
        await create_notes(file)
        gate = Gate()
        held = await behind(file, gate)

        assert await asyncio.wait_for(file.read(all_notes), LONG_S) == []

        gate.open()
        await held


async def test_many_reads_at_once_all_get_their_answer(file: SqliteFile) -> None:
    await file.write(note("a"))

    assert await asyncio.gather(*[file.read(all_notes) for _ in range(100)]) == [["a"]] * 100


async def test_the_error_of_a_read_is_its_caller_s(file: SqliteFile) -> None:
    with pytest.raises(KeyError):
        await file.read(fail)
    with pytest.raises(sqlite3.ProgrammingError):
        await file.read(lambda connection: connection.execute("SELECT ?", ()).fetchall())

    assert await file.read(all_notes) == []


# -- opening and closing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("power", 2)])
async def test_durability_decides_when_the_disk_is_waited_for(
    tmp_path: Path, durability: Durability, synchronous: int
) -> None:
    async with SqliteFile(tmp_path / "gateway.db", durability=durability) as file:
        found = await file.write(lambda connection: connection.execute("PRAGMA synchronous").fetchone()[0])

    assert found == synchronous


async def test_a_new_file_and_its_log_are_for_the_owner_only(tmp_path: Path) -> None:
    async with SqliteFile(tmp_path / "gateway.db", durability="process") as file:
        await create_notes(file)
        modes = modes_in(tmp_path)

    assert modes == {"gateway.db": 0o600, "gateway.db-wal": 0o600, "gateway.db-shm": 0o600}


async def test_closing_waits_for_all_writes_and_leaves_one_file(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "gateway.db", durability="process")
    await file.open()
    await create_notes(file)
    writes = [asyncio.create_task(file.write(note(f"{i:04}"))) for i in range(600)]
    await asyncio.sleep(0)

    await file.close()
    await file.close()

    assert [task.done() and task.result() for task in writes] == [1] * 600
    assert list(modes_in(tmp_path)) == ["gateway.db"]
    with pytest.raises(StoreUnavailable, match="closed"):
        await file.write(note("late"))
    with pytest.raises(StoreUnavailable, match="closed"):
        await file.read(all_notes)


async def test_a_closed_file_can_be_opened_again(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "gateway.db", durability="process")
    for text in ("a", "b"):
        async with file:
            await create_notes(file)
            await file.write(note(text))

    async with file:
        assert await file.read(all_notes) == ["a", "b"]


async def test_a_file_that_is_no_database_is_the_operator_s_mistake(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_text("something else " * 100)

    with pytest.raises(SettingsError, match=r"gateway\.db: file is not a database\. Move it away"):
        await SqliteFile(path, durability="process").open()

    assert path.read_text() == "something else " * 100


@pytest.mark.parametrize("path", ["missing/gateway.db", "."])
async def test_a_path_that_can_not_be_opened_is_the_operator_s_mistake(tmp_path: Path, path: str) -> None:
    with pytest.raises(SettingsError, match="Check that its directory exists"):
        await SqliteFile(tmp_path / path, durability="process").open()


# -- failures -------------------------------------------------------------------------------------------------


async def test_a_lock_that_another_holds_is_waited_for_once_and_refused_clearly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteFile(tmp_path / "gateway.db", durability="process", busy_s=0.05) as file:
        await create_notes(file)
        other = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            async with asyncio.timeout(1.0):  # 100 waits one after the other would take 5 s
                outcomes = await asyncio.gather(*[file.write(note(f"{i}")) for i in range(100)], return_exceptions=True)
            other.execute("ROLLBACK")
        finally:
            other.close()

        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        assert caplog.text.count("gateway.db: database is locked (SQLITE_BUSY). Another process holds") == 1
        assert await file.write(note("free again")) == 1


async def test_a_file_that_can_not_be_written_says_what_to_check(
    file: SqliteFile, caplog: pytest.LogCaptureFixture
) -> None:
    await file.write(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())

    with pytest.raises(StoreUnavailable, match="readonly"):
        await file.write(note("a"))
    assert "check owner and mode" in caplog.text


async def test_a_damaged_file_says_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process") as file:
        await create_notes(file)
        await asyncio.gather(*[file.write(note(f"{i} " * 300)) for i in range(50)])
    with path.open("r+b") as raw:
        raw.seek(4096 * 2)
        raw.write(b"\xff" * 4096 * 10)

    async with SqliteFile(path, durability="process") as file:
        with pytest.raises(StoreUnavailable, match="malformed"):
            await file.read(all_notes)
    assert "keep a copy, then restore a backup" in caplog.text


async def test_the_same_complaint_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    instants = iter([100.0, 101.0, 100.0 + COMPLAIN_EVERY_S, 100.0 + COMPLAIN_EVERY_S])
    file = SqliteFile(":memory:", durability="process", clock=lambda: next(instants))

    with caplog.at_level(logging.ERROR):
        for kind, text in [("disk", "the disk is full")] * 3 + [("lock", "somebody holds it")]:
            file.complain(kind, text)

    assert [record.getMessage() for record in caplog.records] == [
        ":memory:: the disk is full",
        ":memory:: the disk is full",
        ":memory:: somebody holds it",
    ]
