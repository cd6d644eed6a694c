"""A group of writes in one transaction of a SQLite connection, so that they share one fsync."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from msgspec import Struct

from expo_gateway.sqlite_connection import is_lock

T = TypeVar("T")
Op = Callable[[sqlite3.Connection], T]
"""What is done with a connection, in a thread. A write may be run twice: it returns values and touches nothing else.
It leaves no cursor half read."""


class Failed(Struct, frozen=True, kw_only=True):
    """An op of a group that was undone."""

    error: Exception


def commit_group(connection: sqlite3.Connection, ops: Sequence[Op[object]]) -> list[object | Failed]:
    """The value of each op, or Failed; what is not Failed is committed.

    First all in one transaction. When that fails, whoever's fault it was, it is undone and each op runs again in a
    transaction of its own, so that nobody pays for another's error. A lock is not waited for twice.
    """
    try:
        return list(transact(connection, ops))
    except Exception as error:
        if len(ops) == 1 or is_lock(error):
            return [Failed(error=error) for _ in ops]
    outcomes: list[object | Failed] = []
    for op in ops:
        outcome = _transact_alone(connection, op)
        outcomes.append(outcome)
        if isinstance(outcome, Failed) and is_lock(outcome.error):
            return outcomes + [outcome] * (len(ops) - len(outcomes))
    return outcomes


def _transact_alone(connection: sqlite3.Connection, op: Op[object]) -> object | Failed:
    try:
        return transact(connection, [op])[0]
    except Exception as error:
        return Failed(error=error)


def transact(connection: sqlite3.Connection, ops: Sequence[Op[object]]) -> list[object]:
    """The value of each op, committed. Whatever is raised, nothing of it was written."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        values = [op(connection) for op in ops]
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has rolled back already; an error here would hide the first one.
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise
    return values
