"""Batches to test an outbox with, and short ways to ask it."""

from collections.abc import Mapping, Sequence

from expo_gateway.outbox.base import NewBatch, Outbox, Pending, Progress
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from expo_gateway.protocol.ticket import BatchId, batch_id, ticket_id

NOW = 1_790_000_000.0
LEASE_S = 30.0
# Neither compact nor ASCII: a store gives back the bytes that it got.
ERROR_JSON = '{"status": "error", "message":"Gerät\\u00e9"}'.encode()


def new_batch(
    number: int = 1,
    *,
    places: int = 3,
    refused: Sequence[int] = (),
    project_id: str = "a project",
    accepted_at: float = NOW,
    body: bytes = b"\x1f\x8b\x00 as it arrived",
) -> NewBatch:
    return NewBatch(
        batch_id=batch_id(now=accepted_at, random_bytes=number.to_bytes(8, "big")),
        project_id=project_id,
        body=body,
        places=places,
        refused=refused,
    )


async def claim_ids(outbox: Outbox, *, now: float = NOW, limit: int = 10, skip: Sequence[str] = ()) -> list[BatchId]:
    return [claim.batch_id for claim in await outbox.claim(now=now, lease_s=LEASE_S, limit=limit, skip_projects=skip)]


async def claim_places(outbox: Outbox, *, now: float = NOW) -> list[tuple[Pending, ...]]:
    return [claim.pending for claim in await outbox.claim(now=now, lease_s=LEASE_S, limit=10)]


async def receipts(outbox: Outbox, batch: NewBatch, *, places: Sequence[int] = (0, 1, 2)) -> Mapping[int, bytes]:
    ids = {ticket_id(batch.batch_id, place): place for place in places}
    found = await outbox.receipts(list(ids), not_before=0.0)
    return {ids[one]: receipt for one, receipt in found.items()}


def all_ok(batch: NewBatch, *, release: bool = True) -> Progress:
    ok = dict.fromkeys(set(range(batch.places)) - set(batch.refused), RECEIPT_OK_JSON)
    return Progress(batch_id=batch.batch_id, receipts=ok, release=release)
