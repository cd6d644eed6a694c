"""What the SQLite outbox does with a connection: each function runs inside a transaction of SqliteFile.

They return values and touch nothing but the database, so that a group that failed can be run again.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Final

import orjson
from msgspec import Struct

from expo_gateway.outbox.base import Claim, NewBatch, Progress
from expo_gateway.outbox.places import (
    BrokenRow,
    Places,
    decoded,
    encoded_receipts,
    encoded_retries,
    is_done,
    next_due_at,
    pending,
    postponed,
    settled,
)
from expo_gateway.protocol.ticket import BatchId, accepted_at

# Below the 999 that SQLite allowed before 3.32.
MAX_PARAMETERS: Final = 500

_COLUMNS = "batches.seq, id, project, owner, places, states, receipts, retries"
_DUE = f"""
SELECT {_COLUMNS}, body FROM batches INDEXED BY batches_due LEFT JOIN bodies USING (seq)
WHERE due_at <= :now ORDER BY due_at, batches.seq LIMIT :limit
"""
# Steps from project to project and takes the earliest of each: the backlog of a skipped project is not read.
_DUE_BUT_SKIP = f"""
WITH RECURSIVE
  owed (project_id) AS (
    SELECT min(project) FROM batches INDEXED BY batches_due_by_project WHERE due_at IS NOT NULL
    UNION ALL
    SELECT (
      SELECT min(project) FROM batches INDEXED BY batches_due_by_project
      WHERE due_at IS NOT NULL AND project > owed.project_id
    ) FROM owed WHERE owed.project_id IS NOT NULL
  )
SELECT {_COLUMNS}, body FROM owed CROSS JOIN batches LEFT JOIN bodies USING (seq)
WHERE owed.project_id NOT IN (SELECT value FROM json_each(:skip)) AND batches.seq IN (
  SELECT seq FROM batches INDEXED BY batches_due_by_project
  WHERE project = owed.project_id AND due_at <= :now ORDER BY due_at, seq LIMIT :limit
)
ORDER BY due_at, batches.seq LIMIT :limit
"""


class Row(Struct, frozen=True, kw_only=True):
    """A batch as it stands, readable or not."""

    seq: int
    batch_id: BatchId
    project_id: str
    owner: int | None
    columns: tuple[object, ...]
    """places, states, receipts, retries"""

    def places(self) -> Places:
        """Raises BrokenRow."""
        count, states, receipts, retries = self.columns
        return decoded(count=count, states=states, receipts=receipts, retries=retries)


class SetAside(Struct, frozen=True, kw_only=True):
    """A row that could not be read, and is out of the way now."""

    batch_id: BatchId
    why: str


class Added(Struct, frozen=True, kw_only=True):
    """A new batch, checked."""

    batch: NewBatch
    places: Places


def add(connection: sqlite3.Connection, added: Sequence[Added]) -> None:
    """A batch that is there already stays as it is."""
    for chunk in _powers_of_two(added):
        rows = ",".join(["(?, ?, ?, ?, ?)"] * len(chunk))
        connection.execute(
            f"INSERT INTO batches (id, project, places, due_at, states) VALUES {rows} ON CONFLICT (id) DO NOTHING",
            [value for one in chunk for value in _added_row(one)],
        )
    for chunk in _powers_of_two([one for one in added if not is_done(one.places)]):
        rows = ",".join(["((SELECT seq FROM batches WHERE id = ?), ?)"] * len(chunk))
        connection.execute(
            f"INSERT INTO bodies (seq, body) VALUES {rows} ON CONFLICT (seq) DO NOTHING",
            [value for one in chunk for value in (one.batch.batch_id, one.batch.body)],
        )


def _added_row(one: Added) -> tuple[object, ...]:
    batch = one.batch
    due_at = None if is_done(one.places) else accepted_at(batch.batch_id)
    return (batch.batch_id, batch.project_id, batch.places, due_at, one.places.states)


def _powers_of_two(added: Sequence[Added]) -> Iterator[Sequence[Added]]:
    """In chunks of 64, 32, … 1: few statements, and few different ones, which stay prepared."""
    start = 0
    for size in (64, 32, 16, 8, 4, 2, 1):
        while len(added) - start >= size:
            yield added[start : start + size]
            start += size


def claim(
    connection: sqlite3.Connection,
    *,
    owner: int,
    now: float,
    leased_until: float,
    limit: int,
    skip_projects: Collection[str],
) -> list[Claim | SetAside]:
    """The claims, and the rows that were found broken on the way."""
    found: list[Claim | SetAside] = []
    claims = 0
    while claims < limit and (rows := _due_rows(connection, now=now, limit=limit - claims, skip=skip_projects)):
        for row, body in rows:
            one = _claim_row(connection, row, body, owner=owner, now=now, leased_until=leased_until)
            claims += isinstance(one, Claim)
            found += [one] if one is not None else []
    return found


def _due_rows(
    connection: sqlite3.Connection, *, now: float, limit: int, skip: Collection[str]
) -> list[tuple[Row, object]]:
    parameters = {"now": now, "limit": limit, "skip": orjson.dumps(sorted(skip)).decode()}
    rows = connection.execute(_DUE_BUT_SKIP if skip else _DUE, parameters).fetchall()
    return [(_row(columns[:-1]), columns[-1]) for columns in rows]


def _claim_row(
    connection: sqlite3.Connection, row: Row, body: object, *, owner: int, now: float, leased_until: float
) -> Claim | SetAside | None:
    """Whatever the row holds, it is not due any more after this."""
    try:
        places = row.places()
        if not isinstance(body, bytes):
            raise BrokenRow("its body is missing")
    except BrokenRow as error:
        return _set_aside(connection, row, str(error))
    due = tuple(place for place in pending(places) if place.due_at <= now)
    if not due:  # the lease of a dead owner lapsed, but what it left is to be tried later
        _leave(connection, row, places)
        return None
    connection.execute("UPDATE batches SET due_at = ?, owner = ? WHERE seq = ?", (leased_until, owner, row.seq))
    return Claim(batch_id=row.batch_id, project_id=row.project_id, body=body, pending=due)


def extend(connection: sqlite3.Connection, *, owner: int, batch_ids: Sequence[BatchId], until: float) -> None:
    connection.executemany(
        "UPDATE batches SET due_at = max(due_at, ?) WHERE id = ? AND owner = ? AND due_at IS NOT NULL",
        [(until, batch_id, owner) for batch_id in batch_ids],
    )


def end_leases(connection: sqlite3.Connection) -> int:
    """All of them; what is not due yet goes back to its time when it is claimed. Returns how many."""
    return connection.execute(
        "UPDATE batches INDEXED BY batches_due SET due_at = 0.0, owner = NULL"
        " WHERE due_at IS NOT NULL AND owner IS NOT NULL"
    ).rowcount


def end_leases_of(connection: sqlite3.Connection, *, owner: int, now: float) -> int:
    """What is due is passed over: a lease that has lapsed needs no end, and a backlog would be read for nothing."""
    return connection.execute(
        "UPDATE batches INDEXED BY batches_due SET due_at = 0.0, owner = NULL WHERE due_at > ? AND owner = ?",
        (now, owner),
    ).rowcount


def record(connection: sqlite3.Connection, *, owner: int, progress: Sequence[Progress]) -> list[SetAside]:
    """Returns the rows that were found broken."""
    found = [_record_one(connection, one, owner=owner) for one in progress]
    return [one for one in found if one is not None]


def _record_one(connection: sqlite3.Connection, one: Progress, *, owner: int) -> SetAside | None:
    row = _find(connection, one.batch_id)
    if row is None:
        return None
    try:
        before = row.places()
    except BrokenRow as error:
        return _set_aside(connection, row, str(error))
    is_mine = row.owner == owner
    places = settled(before, one.receipts)
    places = postponed(places, one.retries) if is_mine else places
    if is_done(places):
        _finish(connection, row, places)
        return None
    if places != before:
        _write_places(connection, row, places)
    if is_mine and one.release:
        _leave(connection, row, places)
    return None


def _finish(connection: sqlite3.Connection, row: Row, places: Places) -> None:
    """Everything has its receipt: nothing is owed, and the body has served."""
    connection.execute(
        "UPDATE batches SET states = ?, receipts = ?, retries = NULL, due_at = NULL, owner = NULL WHERE seq = ?",
        (places.states, encoded_receipts(places), row.seq),
    )
    connection.execute("DELETE FROM bodies WHERE seq = ?", (row.seq,))


def _find(connection: sqlite3.Connection, batch_id: BatchId) -> Row | None:
    columns = connection.execute(
        f"SELECT {_COLUMNS} FROM batches WHERE id = ? AND broken IS NULL",
        (batch_id,),
    ).fetchone()
    return None if columns is None else _row(columns)


def _row(columns: Sequence[object]) -> Row:
    # The table holds the first four to their types.
    seq, batch_id, project_id, owner, *rest = columns
    assert isinstance(seq, int)
    assert isinstance(batch_id, bytes)
    assert isinstance(project_id, str)
    assert owner is None or isinstance(owner, int)
    return Row(seq=seq, batch_id=batch_id, project_id=project_id, owner=owner, columns=tuple(rest))


def _write_places(connection: sqlite3.Connection, row: Row, places: Places) -> None:
    connection.execute(
        "UPDATE batches SET states = ?, receipts = ?, retries = ? WHERE seq = ?",
        (places.states, encoded_receipts(places), encoded_retries(places), row.seq),
    )


def _leave(connection: sqlite3.Connection, row: Row, places: Places) -> None:
    """Nobody's any more: due again when its earliest pending place is, or done."""
    due_at = next_due_at(places, accepted_at=accepted_at(row.batch_id))
    connection.execute("UPDATE batches SET due_at = ?, owner = NULL WHERE seq = ?", (due_at, row.seq))


def _set_aside(connection: sqlite3.Connection, row: Row, why: str) -> SetAside:
    connection.execute("UPDATE batches SET due_at = NULL, owner = NULL, broken = ? WHERE seq = ?", (why, row.seq))
    return SetAside(batch_id=row.batch_id, why=why)


def places_of(connection: sqlite3.Connection, *, batch_ids: Sequence[BatchId]) -> dict[BatchId, Places | BrokenRow]:
    """Of those batches that are there; without their retries."""
    found: dict[BatchId, Places | BrokenRow] = {}
    for chunk in _chunks(batch_ids):
        marks = ",".join("?" * len(chunk))
        query = f"SELECT id, places, states, receipts FROM batches WHERE id IN ({marks})"
        for batch_id, count, states, receipts in connection.execute(query, chunk).fetchall():
            try:
                found[batch_id] = decoded(count=count, states=states, receipts=receipts)
            except BrokenRow as error:
                found[batch_id] = error
    return found


def projects_of(connection: sqlite3.Connection, *, batch_ids: Sequence[BatchId]) -> set[str]:
    """Of those batches that are there."""
    found: set[str] = set()
    for chunk in _chunks(batch_ids):
        query = f"SELECT DISTINCT project FROM batches WHERE id IN ({','.join('?' * len(chunk))})"
        found.update(project for (project,) in connection.execute(query, chunk).fetchall())
    return found


def _chunks(batch_ids: Sequence[BatchId]) -> Iterator[list[BatchId]]:
    rest = iter(batch_ids)
    while chunk := list(islice(rest, MAX_PARAMETERS)):
        yield chunk


def next_due(connection: sqlite3.Connection) -> float | None:
    (due_at,) = connection.execute("SELECT min(due_at) FROM batches WHERE due_at IS NOT NULL").fetchone()
    assert due_at is None or isinstance(due_at, float)
    return due_at


def count_pending(connection: sqlite3.Connection, *, most: int) -> int:
    """Stops at `most`: SQLite counts one by one."""
    (count,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM batches WHERE due_at IS NOT NULL LIMIT ?)", (most,)
    ).fetchone()
    return int(count)


def forget(connection: sqlite3.Connection, *, earliest: BatchId, limit: int) -> int:
    """Forget at most `limit` batches with ids below `earliest`; returns how many."""
    rows = connection.execute("SELECT seq FROM batches WHERE id < ? ORDER BY id LIMIT ?", (earliest, limit)).fetchall()
    seqs = orjson.dumps([seq for (seq,) in rows]).decode()
    connection.execute("DELETE FROM bodies WHERE seq IN (SELECT value FROM json_each(?))", (seqs,))
    connection.execute("DELETE FROM batches WHERE seq IN (SELECT value FROM json_each(?))", (seqs,))
    return len(rows)
