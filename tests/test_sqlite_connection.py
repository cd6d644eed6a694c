"""Migrations, and several processes on one file."""

import subprocess
import sys
from pathlib import Path

import pytest

from expo_gateway.errors import SettingsError
from expo_gateway.sqlite_connection import migration_scripts
from expo_gateway.sqlite_file import SqliteFile

CREATE = "-- a comment;\nCREATE TABLE notes (text TEXT);\nCREATE INDEX notes_text\n  ON notes (text);\n"
ADD = "INSERT INTO notes VALUES ('once');"

COUNTER = """
import asyncio, sys
from expo_gateway.sqlite_file import SqliteFile

async def main():
    async with SqliteFile(sys.argv[1], durability="process") as file:
        await file.migrate("counter", ["CREATE TABLE counter (value INTEGER); INSERT INTO counter VALUES (0);"])
        for _ in range(50):
            await file.write(lambda connection: connection.execute("UPDATE counter SET value = value + 1").rowcount)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


async def notes(file: SqliteFile) -> list[str]:
    rows = await file.read(lambda connection: connection.execute("SELECT text FROM notes").fetchall())
    return [text for (text,) in rows]


async def test_each_migration_runs_once(path: Path) -> None:
    async with SqliteFile(path, durability="process") as file:
        await file.migrate("notes", [CREATE])
        await file.migrate("notes", [CREATE, ADD])
        await file.migrate("notes", [CREATE, ADD])
    async with SqliteFile(path, durability="process") as file:
        await file.migrate("notes", [CREATE, ADD])

        assert await notes(file) == ["once"]


async def test_components_are_numbered_apart(path: Path) -> None:
    async with SqliteFile(path, durability="process") as file:
        await file.migrate("notes", [CREATE])
        await file.migrate("others", ["CREATE TABLE others (text TEXT);", ADD])

        assert await notes(file) == ["once"]


async def test_a_migration_that_fails_leaves_nothing_behind(path: Path) -> None:
    async with SqliteFile(path, durability="process") as file:
        with pytest.raises(ValueError, match="in the middle of a statement"):
            await file.migrate("notes", [CREATE + "INSERT INTO notes VALUES ("])
        await file.migrate("notes", [CREATE])

        assert await notes(file) == []


async def test_a_trigger_is_one_statement(path: Path) -> None:
    trigger = "CREATE TRIGGER twice AFTER DELETE ON notes BEGIN\n  SELECT 1;\n  SELECT 2;\nEND;\n"
    async with SqliteFile(path, durability="process") as file:
        await file.migrate("notes", [CREATE + trigger + ADD])

        assert await notes(file) == ["once"]


async def test_tables_of_a_newer_program_are_refused(path: Path) -> None:
    async with SqliteFile(path, durability="process") as file:
        await file.migrate("notes", [CREATE, ADD])

        with pytest.raises(SettingsError, match="notes tables have version 2, this program knows versions up to 1"):
            await file.migrate("notes", [CREATE])


def test_migrations_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("0002_second.sql", "0001_first.sql", "README.md"):
        (tmp_path / name).write_text(name)

    assert migration_scripts(tmp_path) == ["0001_first.sql", "0002_second.sql"]


def test_a_gap_in_the_numbers_of_migrations_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "0002_second.sql").write_text("")

    with pytest.raises(ValueError, match="not numbered"):
        migration_scripts(tmp_path)


def run_counters(path: Path) -> list[int]:
    """Three at once, started together; their exit codes."""
    counters = [subprocess.Popen([sys.executable, "-c", COUNTER, str(path)]) for _ in range(3)]
    return [counter.wait(timeout=20.0) for counter in counters]


async def test_processes_that_open_a_new_file_at_once_all_write_to_it(path: Path) -> None:
    assert run_counters(path) == [0, 0, 0]

    async with SqliteFile(path, durability="process") as file:
        count = await file.read(lambda connection: connection.execute("SELECT value FROM counter").fetchone()[0])

    assert count == 150
