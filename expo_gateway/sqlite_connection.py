"""Connections to a SQLite file: how one is opened, how its tables are brought up to date, what its errors mean.

https://www.sqlite.org/pragma.html, https://www.sqlite.org/rescode.html
"""

import os
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from expo_gateway.errors import SettingsError, StoreUnavailable

Durability = Literal["process", "power"]

MEMORY = ":memory:"
# "power": a commit is on the disk before it is answered. "process": in the kernel, which survives us but not the power.
SYNCHRONOUS: dict[Durability, str] = {"process": "NORMAL", "power": "FULL"}
# After a burst the log file shrinks to this size again; SQLite writes it back every 4 MB anyway.
JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024

ADVICE = {
    sqlite3.SQLITE_FULL: "The disk is full: free some space; writing goes on by itself once there is room.",
    sqlite3.SQLITE_BUSY: "Another process holds its write lock: end what has it open (a backup, a sqlite3 shell).",
    sqlite3.SQLITE_LOCKED: "Another connection holds a lock on it: end what has it open (a backup, a sqlite3 shell).",
    sqlite3.SQLITE_READONLY: "It can't be written: check owner and mode of the file and its directory, and the mount.",
    sqlite3.SQLITE_PERM: "It may not be opened: check owner and mode of the file and its directory.",
    sqlite3.SQLITE_CANTOPEN: "Check that its directory exists and may be written, and the limit of open files.",
    sqlite3.SQLITE_IOERR: "The disk failed: check free space, quota and the kernel's log (dmesg).",
    sqlite3.SQLITE_CORRUPT: "It is damaged: stop, keep a copy, then restore a backup or use `sqlite3 FILE .recover`.",
    sqlite3.SQLITE_NOTADB: "Move it away, or name another data directory.",
}
OTHER_ADVICE = "Was it changed by another program? If not, this is a bug of expo_gateway: please report it."


def connect(path: str, *, durability: Durability, busy_s: float) -> sqlite3.Connection:
    """Open the file, made with mode 0600 where there is none. Waits while another process makes it.

    SettingsError: this path can't be a database of ours. StoreUnavailable: locked, damaged, or a failing disk.
    """
    give_up_at = time.monotonic() + busy_s
    while True:
        try:
            return _connect(path, durability=durability, busy_s=busy_s)
        except sqlite3.Error as error:
            # Two processes that turn a new file to WAL at once: SQLite does not wait for that by itself.
            if not is_lock(error) or time.monotonic() > give_up_at:
                raise _open_error(path, error) from error
            time.sleep(0.01)


def _connect(path: str, *, durability: Durability, busy_s: float) -> sqlite3.Connection:
    if path != MEMORY:
        _create_private(path)
    connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if path != MEMORY and mode != "wal":
            raise SettingsError(f"{path}: its file system has no shared memory for SQLite's log; use a local disk.")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # reads the schema: is it a database?
    except BaseException:
        connection.close()
        raise
    return connection


def _create_private(path: str) -> None:
    """Only where there is no file: closing a descriptor of an open database would drop the locks on it.

    https://www.sqlite.org/howtocorrupt.html, section 2.2
    """
    with suppress(OSError):  # it exists, or SQLite will say better what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _open_error(path: str, error: sqlite3.Error) -> SettingsError | StoreUnavailable:
    text = f"{path}: {error}. {advice(error)}"
    wrong_path = _primary_code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM)
    return SettingsError(text) if wrong_path else StoreUnavailable(text)


def touch(connection: sqlite3.Connection) -> None:
    """Write the file's first page as it is, so that a commit finds out whether it can be written."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {int(version)}")


def is_store_fault(error: Exception) -> bool:
    """Full, locked, damaged and the like; not a broken constraint or a wrong parameter."""
    return isinstance(error, sqlite3.OperationalError | sqlite3.InternalError) or type(error) is sqlite3.DatabaseError


def is_lock(error: Exception) -> bool:
    return _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def advice(error: Exception) -> str:
    """What the operator should do about it."""
    return ADVICE.get(_primary_code(error), OTHER_ADVICE)


def _primary_code(error: Exception) -> int:
    """SQLite's result code without its extension: SQLITE_IOERR for SQLITE_IOERR_WRITE. 0 when there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def migration_scripts(directory: Path) -> list[str]:
    """The texts of 0001_….sql, 0002_….sql, … in order."""
    paths = sorted(path for path in directory.iterdir() if path.suffix == ".sql")
    if [int(path.name[:4]) for path in paths] != list(range(1, len(paths) + 1)):
        raise ValueError(f"{directory}: migrations are not numbered from 1 without gaps")
    return [path.read_text(encoding="utf-8") for path in paths]


def migrate(connection: sqlite3.Connection, *, component: str, scripts: Sequence[str]) -> None:
    """Run the scripts that were not run yet, inside the transaction of the caller.

    SettingsError: the tables were made by a newer program.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (component TEXT NOT NULL, number INTEGER NOT NULL,"
        " PRIMARY KEY (component, number)) WITHOUT ROWID"
    )
    done = connection.execute("SELECT max(number) FROM migrations WHERE component = ?", (component,)).fetchone()[0] or 0
    if done > len(scripts):
        raise SettingsError(
            f"the data's {component} tables have version {done}, this program knows versions up to {len(scripts)}."
            " Run the newer expo_gateway that wrote them, or name another data directory."
        )
    for number in range(done + 1, len(scripts) + 1):
        for statement in _statements(scripts[number - 1]):
            connection.execute(statement)
        connection.execute("INSERT INTO migrations VALUES (?, ?)", (component, number))


def _statements(script: str) -> Iterator[str]:
    """One by one: executescript() would commit the transaction that makes a migration all or nothing."""
    statement = ""
    for part in re.split("(?<=;)", script):
        statement += part
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError("a migration ends in the middle of a statement")
