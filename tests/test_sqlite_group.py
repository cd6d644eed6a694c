"""Group commit: what shares a commit, and that nobody pays for another's error."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from expo_gateway.errors import StoreUnavailable
from expo_gateway.sqlite_file import MAX_WAITING, SqliteFile
from tests.sqlite_notes import Gate, add_notes, all_notes, behind, create_notes, fail, note, trace


@pytest.fixture(params=["memory", "file"])
async def file(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteFile]:
    path = ":memory:" if request.param == "memory" else tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process") as file:
        await create_notes(file)
        yield file


async def test_writes_of_one_moment_share_a_commit(file: SqliteFile) -> None:
    statements = await trace(file)

    assert await asyncio.gather(*[file.write(note(f"{i}")) for i in range(50)]) == [1] * 50

    assert statements.count("COMMIT") == 1
    assert len(await file.read(all_notes)) == 50


async def test_writes_that_come_during_a_commit_share_the_next_one(file: SqliteFile) -> None:
    statements, gate = await trace(file), Gate()
    held = await behind(file, gate)
    writes = [asyncio.create_task(file.write(note(f"{i}"))) for i in range(50)]
    await asyncio.sleep(0)

    gate.open()
    await asyncio.gather(held, *writes)

    assert statements.count("COMMIT") == 2


async def test_a_write_that_fails_is_undone_and_the_others_of_its_group_are_not(file: SqliteFile) -> None:
    def half_done(connection: sqlite3.Connection) -> None:
        note("half")(connection)
        fail(connection)

    first, half, second = await asyncio.gather(
        file.write(note("a")), file.write(half_done), file.write(note("b")), return_exceptions=True
    )

    assert (first, second) == (1, 1)
    assert isinstance(half, KeyError)
    assert await file.read(all_notes) == ["a", "b"]


async def test_a_broken_constraint_is_the_op_s_own_error(file: SqliteFile) -> None:
    await file.write(note("a"))

    with pytest.raises(sqlite3.IntegrityError):
        await file.write(note("a"))


async def test_arguments_that_are_written_together_reach_their_op_in_one_call(file: SqliteFile) -> None:
    calls = []

    def op(_: sqlite3.Connection, arguments: Sequence[int]) -> None:
        calls.append(list(arguments))

    await asyncio.gather(*[file.write_together(op, i, size_bytes=1) for i in range(50)])

    assert calls == [list(range(50))]


async def test_those_who_write_together_fail_together_and_nobody_else_does(file: SqliteFile) -> None:
    outcomes = await asyncio.gather(
        file.write_together(add_notes, "same", size_bytes=1),
        file.write_together(add_notes, "same", size_bytes=1),
        file.write(note("other")),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [sqlite3.IntegrityError, sqlite3.IntegrityError, int]
    assert await file.read(all_notes) == ["other"]


async def test_a_caller_that_gave_up_before_its_turn_wrote_nothing(file: SqliteFile) -> None:
    gate = Gate()
    held = await behind(file, gate)
    gone = [
        asyncio.create_task(file.write(note("gone"))),
        asyncio.create_task(file.write_together(add_notes, "gone", size_bytes=1)),
    ]
    stays = asyncio.create_task(file.write(note("stays")))
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()

    gate.open()
    await asyncio.gather(held, stays)

    assert await file.read(all_notes) == ["stays"]


async def test_a_caller_that_gives_up_during_its_commit_disturbs_nobody(file: SqliteFile) -> None:
    gate = Gate()
    held = await behind(file, gate)
    held.cancel()

    gate.open()
    await file.write(note("a"))

    assert held.cancelled()
    assert await file.read(all_notes) == ["a"]


async def test_more_callers_than_may_wait_are_refused_until_there_is_room(
    file: SqliteFile, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    held = await behind(file, gate)
    waiting = [asyncio.create_task(file.write(note(f"{i}"))) for i in range(MAX_WAITING - 1)]
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable, match="overloaded"):
        await file.write(note("one too many"))
    with pytest.raises(StoreUnavailable, match="overloaded"):
        await file.read(all_notes)

    gate.open()
    await asyncio.gather(held, *waiting)
    await file.write(note("room"))
    assert "calls wait for it" in caplog.text


async def test_a_small_write_still_fits_where_a_large_one_of_its_group_does_not(file: SqliteFile) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    await file.write(limit)

    large, small = await asyncio.gather(
        file.write(note("x" * 100_000)), file.write(note("small")), return_exceptions=True
    )

    assert isinstance(large, StoreUnavailable)
    assert small == 1
