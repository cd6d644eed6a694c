"""The outbox: what we owe. A batch is one row; its places are settled one by one.

A place is refused (its ticket was an error), pending, or settled (it has a receipt). A batch with pending places is
due at some instant; a claim takes it under a lease until it is released or the lease lapses.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from expo_gateway.protocol.ticket import BatchId


class NewBatch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An accepted request, as it goes into the store."""

    batch_id: BatchId
    project_id: str
    body: bytes
    """As it arrived, compressed or not."""
    places: int
    refused: Collection[int] = ()
    """Places that were answered with an error ticket; they have no ticket id and get no receipt."""


# Our choice: SQLite counts one by one, so many in some 10 ms. Whoever has more looks at how long they are due.
MAX_COUNTED = 100_000


# A Struct is made in a tenth of the time that a frozen dataclass takes, and every claim has one for each place.
class Pending(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A place that has no receipt yet."""

    place: int
    attempts: int = 0
    """How often it was tried so far."""
    due_at: float = 0.0


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A batch under a lease: work on `pending` until it lapses, or extend."""

    batch_id: BatchId
    project_id: str
    body: bytes
    pending: tuple[Pending, ...]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner of a claim writes back."""

    batch_id: BatchId
    receipts: Mapping[int, bytes] = msgspec.field(default_factory=dict)
    """place -> receipt JSON. A place that has one already keeps it."""
    retries: Sequence[Pending] = ()
    """Places to be tried again, with their new attempts and due times."""
    release: bool = False
    """Give the batch back: it is due again at the earliest due time of its pending places, or done without any."""


class Outbox(Protocol):
    """All methods raise StoreUnavailable when the store can't do it now; then nothing of the call was written."""

    async def add(self, batch: NewBatch) -> None:
        """Store the batch, due at once. When this returns, the batch is durable."""
        ...

    async def claim(
        self, *, now: float, lease_s: float, limit: int, skip_projects: Collection[str] = ()
    ) -> list[Claim]:
        """Up to `limit` due batches, earliest first, each under a lease until now + lease_s.

        Batches of `skip_projects` stay where they are. A batch whose lease has lapsed is due.
        """
        ...

    async def extend(self, batch_ids: Sequence[BatchId], *, until: float) -> None:
        """Make the leases last longer."""
        ...

    async def record(self, progress: Sequence[Progress]) -> None:
        """Write receipts and retries, and release, in one go."""
        ...

    async def receipts(self, ticket_ids: Sequence[str], *, not_before: float) -> dict[str, bytes]:
        """Receipt JSON by ticket id, in the order asked. Unknown, malformed, refused and pending ids are left out.

        So are those of batches that were accepted before `not_before`, even if not expired yet.
        """
        ...

    async def project_ids(self, ticket_ids: Sequence[str]) -> set[str]:
        """The projects whose batches these tickets are of; unknown and malformed ids are left out."""
        ...

    async def next_due_at(self) -> float | None:
        """When the earliest batch is due or its lease lapses; None when nothing is owed."""
        ...

    async def pending_batches(self) -> int:
        """Batches with pending places; MAX_COUNTED when there are so many or more."""
        ...

    async def expire(self, *, before: float) -> int:
        """Forget batches accepted before this instant. Returns how many went."""
        ...
