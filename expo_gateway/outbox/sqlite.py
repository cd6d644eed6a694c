"""The outbox in a SQLite file: a row a batch, its body in a table apart, a byte of receipt a place.

Leases. A claim sets `due_at` to the lease's end and `owner` to this outbox, so that a lapsed lease is simply due again.
An owner that comes late, after another has claimed the batch, must not disturb it: `extend`, `release` and retries
count only while `owner` is still the one who writes. A lapsed lease that nobody took is still its owner's. Receipts
always count, because they are facts: what was sent was sent. They are merged inside the write, first come, so that
`record` can be repeated and two owners can't overwrite each other. When no place is pending the batch is done, whoever
wrote the last receipt; there is nothing left to disturb. One outbox is one owner: it can't tell two claims of its own
apart, so who lets a lease lapse while still at work, and claims again, sends twice.

Broken rows. A row that can't be read is set aside: not due any more, the reason in its column `broken`, a line in the
log. Its receipts stay unknown, and it goes at its time like any other.
"""

import secrets
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from expo_gateway.outbox import sqlite_rows
from expo_gateway.outbox.base import MAX_COUNTED, Claim, NewBatch, Progress
from expo_gateway.outbox.places import BrokenRow, fresh, receipt
from expo_gateway.outbox.sqlite_rows import Added, SetAside
from expo_gateway.protocol.ticket import BatchId, earliest_batch_id, parse_ticket_ids
from expo_gateway.sqlite_connection import migration_scripts
from expo_gateway.sqlite_file import SqliteFile

MIGRATIONS: Final = Path(__file__).with_name("migrations")
# Our choice: some milliseconds of the writer's time; other writes go in between.
EXPIRE_CHUNK: Final = 1000
BATCH_ID_BYTES: Final = 16


class SqliteOutbox:
    """Implements Outbox. Any number of them, in any number of processes, may share a file."""

    def __init__(self, file: SqliteFile, *, owner: int | None = None) -> None:
        """`owner` is under 2**63 and nobody else's."""
        self._file = file
        self._owner = secrets.randbits(63) if owner is None else owner

    async def open(self) -> None:
        """Make or update the tables. SettingsError: they were made by a newer program."""
        await self._file.migrate("outbox", migration_scripts(MIGRATIONS))

    async def add(self, batch: NewBatch) -> None:
        """The same batch again changes nothing. A batch without pending places is done from the start."""
        if len(batch.batch_id) != BATCH_ID_BYTES:  # the table would refuse it, and all that is added together with it
            raise ValueError(f"a batch id has {BATCH_ID_BYTES} bytes, not {len(batch.batch_id)}")
        places = fresh(batch.places, batch.refused)
        added = Added(batch=batch, places=places)
        await self._file.write_together(sqlite_rows.add, added, size_bytes=len(batch.body))

    async def claim(
        self, *, now: float, lease_s: float, limit: int, skip_projects: Collection[str] = ()
    ) -> list[Claim]:
        """`pending` of a claim are the places that are due now; later ones wait for a later claim."""
        found = await self._file.write(
            partial(
                sqlite_rows.claim,
                owner=self._owner,
                now=now,
                leased_until=now + lease_s,
                limit=limit,
                skip_projects=skip_projects,
            )
        )
        self._complain([one for one in found if isinstance(one, SetAside)])
        return [one for one in found if isinstance(one, Claim)]

    async def extend(self, batch_ids: Sequence[BatchId], *, until: float) -> None:
        """Batches that are somebody else's by now, or done, stay as they are."""
        await self._file.write(partial(sqlite_rows.extend, owner=self._owner, batch_ids=batch_ids, until=until))

    async def end_leases(self) -> int:
        """Make due at once what a killed process had claimed; returns how many batches that is.

        Only for who knows that no other process works on this file, as the lock on the data directory proves.
        """
        return await self._file.write(sqlite_rows.end_leases)

    async def end_own_leases(self, *, now: float) -> int:
        """The same for what was claimed under this owner's number: by its predecessor, which is known to be dead."""
        return await self._file.write(partial(sqlite_rows.end_leases_of, owner=self._owner, now=now))

    async def record(self, progress: Sequence[Progress]) -> None:
        """Batches that are forgotten by now, and places that a batch does not have, are passed over."""
        set_aside = await self._file.write(partial(sqlite_rows.record, owner=self._owner, progress=progress))
        self._complain(set_aside)

    async def receipts(self, ticket_ids: Sequence[str], *, not_before: float) -> dict[str, bytes]:
        earliest = earliest_batch_id(not_before)
        wanted = parse_ticket_ids(ticket_ids)
        batch_ids = [batch_id for batch_id in {batch_id for batch_id, _ in wanted.values()} if batch_id >= earliest]
        batches = await self._file.read(partial(sqlite_rows.places_of, batch_ids=batch_ids)) if batch_ids else {}
        found = {}
        for ticket_id, (batch_id, place) in wanted.items():
            places = batches.get(batch_id)
            if isinstance(places, BrokenRow):
                self._complain([SetAside(batch_id=batch_id, why=str(places))])
            elif places is not None and (json := receipt(places, place)) is not None:
                found[ticket_id] = json
        return found

    async def project_ids(self, ticket_ids: Sequence[str]) -> set[str]:
        batch_ids = list({batch_id for batch_id, _ in parse_ticket_ids(ticket_ids).values()})
        return await self._file.read(partial(sqlite_rows.projects_of, batch_ids=batch_ids)) if batch_ids else set()

    async def next_due_at(self) -> float | None:
        return await self._file.read(sqlite_rows.next_due)

    async def pending_batches(self) -> int:
        return await self._file.read(partial(sqlite_rows.count_pending, most=MAX_COUNTED))

    async def expire(self, *, before: float) -> int:
        """Goes in chunks, so that other writes get their turn; when one fails, the chunks before it are gone."""
        earliest = earliest_batch_id(before)
        forget = partial(sqlite_rows.forget, earliest=earliest, limit=EXPIRE_CHUNK)
        expired = 0
        while forgotten := await self._file.write(forget):
            expired += forgotten
        return expired

    def _complain(self, broken: Sequence[SetAside]) -> None:
        for one in broken:
            self._file.complain("broken row", f"batch {one.batch_id.hex()} can't be read and is left out: {one.why}")
