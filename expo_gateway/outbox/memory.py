"""The outbox of a run: in the memory of one event loop, and gone with it.

Leases and owners are those of the SQLite outbox (see sqlite.py): several outboxes may share a MemoryBatches as they
may share a file. There are no broken rows. No method ever waits, so none sees another half done.

It is bounded. When it has its full number of batches or bytes, those that were done first are forgotten, with their
receipts; while nothing is done, new batches are refused with StoreUnavailable.
"""

import logging
from bisect import bisect_left, insort
from collections.abc import Collection, Sequence
from itertools import count, islice, takewhile
from typing import Final

import msgspec
from msgspec.structs import replace

from expo_gateway.errors import StoreUnavailable
from expo_gateway.outbox.base import MAX_COUNTED, Claim, NewBatch, Progress
from expo_gateway.outbox.places import Places, fresh, is_done, next_due_at, pending, postponed, receipt, settled
from expo_gateway.protocol.ticket import BatchId, accepted_at, earliest_batch_id, parse_ticket_ids

log = logging.getLogger(__name__)

# Our choice: more than a test sends, and what one run can grow to among a thousand on one machine.
MAX_BATCHES: Final = 10_000
MAX_BYTES: Final = 32 << 20
# Measured: what a batch takes beside its body and states, and a failed place beside the text of its receipt.
ROW_BYTES: Final = 500
RECEIPT_BYTES: Final = 100


# The garbage collector need not follow it: nothing that a row holds leads back to the row.
class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A batch as it stands. A change makes another row."""

    number: int
    """In the order of adding."""
    batch_id: BatchId
    project_id: str
    body: bytes
    """Empty when nothing is pending: it has served."""
    places: Places
    due_at: float | None
    """When it is due, or while it is leased the lease's end. None: nothing is owed."""
    owner: int | None = None
    """Who holds the lease; None: nobody does."""

    @property
    def size_bytes(self) -> int:
        """Of memory, roughly."""
        receipts = self.places.receipts.values()
        return ROW_BYTES + len(self.body) + len(self.places.states) + sum(RECEIPT_BYTES + len(one) for one in receipts)


class MemoryBatches:
    """What the outboxes of a run have in common: its batches by id, in the order of their due times, and how many."""

    def __init__(self, *, max_batches: int = MAX_BATCHES, max_bytes: int = MAX_BYTES) -> None:
        self._max_batches = max_batches
        self._max_bytes = max_bytes
        self._rows: dict[BatchId, Row] = {}
        self._owed: list[tuple[float, int, Row]] = []
        """(due_at, number, row), sorted."""
        self._done: dict[BatchId, None] = {}
        """Those done first come first."""
        self._size_bytes = 0
        self._is_full = False
        self._numbers, self._owners = count(), count()

    def __len__(self) -> int:
        return len(self._rows)

    def new_owner(self) -> int:
        return next(self._owners)

    def new_number(self) -> int:
        return next(self._numbers)

    def get(self, batch_id: BatchId) -> Row | None:
        return self._rows.get(batch_id)

    def add(self, row: Row) -> None:
        """A batch that is there already stays as it is. StoreUnavailable: there is no room, and nothing is done."""
        if row.batch_id in self._rows:
            return
        if not self._make_room(batches=1, size_bytes=row.size_bytes):
            raise self._full()
        self._is_full = False
        self._keep(row)

    def put(self, rows: Collection[Row]) -> None:
        """In place of those of the same ids, which are there."""
        for row in rows:
            if self._rows[row.batch_id] is not row:
                self.forget(row.batch_id)
                self._keep(row)
        self._make_room()

    def forget(self, batch_id: BatchId) -> None:
        row = self._rows.pop(batch_id)
        self._size_bytes -= row.size_bytes
        if row.due_at is None:
            del self._done[batch_id]
        else:
            del self._owed[bisect_left(self._owed, (row.due_at, row.number))]

    def before(self, earliest: BatchId) -> list[BatchId]:
        """The ids below this one."""
        return [batch_id for batch_id in self._rows if batch_id < earliest]

    def due(self, *, now: float, limit: int, skip_projects: Collection[str]) -> list[Row]:
        """The earliest first; those due at the same instant as they were added."""
        due = takewhile(lambda one: one[0] <= now, self._owed)
        return list(islice((row for _, _, row in due if row.project_id not in skip_projects), limit))

    def owed(self) -> int:
        return len(self._owed)

    def next_due_at(self) -> float | None:
        return self._owed[0][0] if self._owed else None

    def _keep(self, row: Row) -> None:
        self._rows[row.batch_id] = row
        self._size_bytes += row.size_bytes
        if row.due_at is None:
            self._done[row.batch_id] = None
        else:
            insort(self._owed, (row.due_at, row.number, row))

    def _make_room(self, *, batches: int = 0, size_bytes: int = 0) -> bool:
        """Whether so much more fits, when as much as it takes of what is done is forgotten."""
        while len(self) + batches > self._max_batches or self._size_bytes + size_bytes > self._max_bytes:
            if not self._done:
                return False
            self.forget(next(iter(self._done)))
        return True

    def _full(self) -> StoreUnavailable:
        """Logged once for each time that it becomes full."""
        text = (
            f"the outbox is full: {len(self)} batches of {self._size_bytes} bytes wait to be delivered, and a run holds"
            f" {self._max_batches} batches or {self._max_bytes} bytes"
        )
        if not self._is_full:
            log.error("%s; new ones are refused. Is something in the way of their delivery?", text)
        self._is_full = True
        return StoreUnavailable(text)


class MemoryOutbox:
    """Implements Outbox. Any number of them in one event loop may share the batches."""

    def __init__(self, batches: MemoryBatches) -> None:
        self._batches = batches
        self._owner = batches.new_owner()

    async def add(self, batch: NewBatch) -> None:
        """The same batch again changes nothing. A batch without pending places is done from the start."""
        self._batches.add(_row(batch, fresh(batch.places, batch.refused), number=self._batches.new_number()))

    async def claim(
        self, *, now: float, lease_s: float, limit: int, skip_projects: Collection[str] = ()
    ) -> list[Claim]:
        """`pending` of a claim are the places that are due now; later ones wait for a later claim."""
        claims: list[Claim] = []
        while due := self._batches.due(now=now, limit=limit - len(claims), skip_projects=skip_projects):
            for row in due:
                if (claim := _claim(row, now=now)) is None:
                    # The lease of a dead owner lapsed, but what it left is to be tried later.
                    self._batches.put([_left(row)])
                else:
                    self._batches.put([replace(row, due_at=now + lease_s, owner=self._owner)])
                    claims.append(claim)
        return claims

    async def extend(self, batch_ids: Sequence[BatchId], *, until: float) -> None:
        """Batches that are somebody else's by now, or done, stay as they are."""
        for batch_id in batch_ids:
            row = self._batches.get(batch_id)
            if row is not None and row.owner == self._owner and row.due_at is not None:
                self._batches.put([replace(row, due_at=max(row.due_at, until))])

    async def record(self, progress: Sequence[Progress]) -> None:
        """Batches that are forgotten by now, and places that a batch does not have, are passed over."""
        changed: dict[BatchId, Row] = {}
        for one in progress:
            row = changed.get(one.batch_id) or self._batches.get(one.batch_id)
            if row is not None:
                changed[one.batch_id] = _recorded(row, one, owner=self._owner)
        self._batches.put(changed.values())

    async def receipts(self, ticket_ids: Sequence[str], *, not_before: float) -> dict[str, bytes]:
        earliest = earliest_batch_id(not_before)
        found = {}
        for ticket_id, (batch_id, place) in parse_ticket_ids(ticket_ids).items():
            row = self._batches.get(batch_id) if batch_id >= earliest else None
            if row is not None and (json := receipt(row.places, place)) is not None:
                found[ticket_id] = json
        return found

    async def project_ids(self, ticket_ids: Sequence[str]) -> set[str]:
        rows = [self._batches.get(batch_id) for batch_id, _ in parse_ticket_ids(ticket_ids).values()]
        return {row.project_id for row in rows if row is not None}

    async def next_due_at(self) -> float | None:
        return self._batches.next_due_at()

    async def pending_batches(self) -> int:
        return min(self._batches.owed(), MAX_COUNTED)

    async def expire(self, *, before: float) -> int:
        expired = self._batches.before(earliest_batch_id(before))
        for batch_id in expired:
            self._batches.forget(batch_id)
        return len(expired)


def _row(batch: NewBatch, places: Places, *, number: int) -> Row:
    is_owed = not is_done(places)
    return Row(
        number=number,
        batch_id=batch.batch_id,
        project_id=batch.project_id,
        body=batch.body if is_owed else b"",
        places=places,
        due_at=accepted_at(batch.batch_id) if is_owed else None,
    )


def _claim(row: Row, *, now: float) -> Claim | None:
    """None: no place of it is due."""
    due = tuple(place for place in pending(row.places) if place.due_at <= now)
    return Claim(batch_id=row.batch_id, project_id=row.project_id, body=row.body, pending=due) if due else None


def _recorded(row: Row, one: Progress, *, owner: int) -> Row:
    """Receipts always count; retries and release only while the lease is still of the one who writes."""
    if row.due_at is None:
        return row
    is_mine = row.owner == owner
    places = settled(row.places, one.receipts)
    places = postponed(places, one.retries) if is_mine else places
    if is_done(places):
        return replace(row, places=places, body=b"", due_at=None, owner=None)
    row = replace(row, places=places)
    return _left(row) if is_mine and one.release else row


def _left(row: Row) -> Row:
    """Nobody's any more: due again when its earliest pending place is."""
    return replace(row, due_at=next_due_at(row.places, accepted_at=accepted_at(row.batch_id)), owner=None)
