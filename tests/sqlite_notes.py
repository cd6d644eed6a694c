"""A small table to write to, and a gate to hold the writer with."""

import asyncio
import sqlite3
import threading
from collections.abc import Sequence

from expo_gateway.sqlite_file import SqliteFile
from expo_gateway.sqlite_group import Op

LONG_S = 5.0


async def create_notes(file: SqliteFile) -> None:
    await file.migrate("notes", ["CREATE TABLE notes (text TEXT UNIQUE);"])


def note(text: str) -> Op[int]:
    return lambda connection: connection.execute("INSERT INTO notes VALUES (?)", (text,)).rowcount


def add_notes(connection: sqlite3.Connection, texts: Sequence[str]) -> None:
    connection.executemany("INSERT INTO notes VALUES (?)", [(text,) for text in texts])


def fail(_: sqlite3.Connection) -> None:
    raise KeyError("the op's own mistake")


def all_notes(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY text").fetchall()]


async def trace(file: SqliteFile) -> list[str]:
    """The statements of the writer from now on, grown as they run."""
    statements: list[str] = []
    await file.write(lambda connection: connection.set_trace_callback(statements.append))
    statements.clear()
    return statements


class Gate:
    """An op that holds the writer until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, _: sqlite3.Connection) -> None:
        self.wait()

    def wait(self) -> None:
        """In a thread."""
        self.reached.set()
        assert self._open.wait(LONG_S)

    def open(self) -> None:
        self._open.set()


async def behind(file: SqliteFile, gate: Gate) -> asyncio.Task[None]:
    """Writes that come now wait until the gate is opened."""
    task = asyncio.create_task(file.write(gate))
    assert await asyncio.to_thread(gate.reached.wait, LONG_S)
    return task
