"""The outbox in memory: both contracts, its bounds, and the same answers as the SQLite outbox gives."""

import logging
from random import Random

import pytest

from expo_gateway.errors import StoreUnavailable
from expo_gateway.outbox.base import NewBatch, Outbox, Pending, Progress
from expo_gateway.outbox.memory import MAX_BATCHES, MemoryBatches, MemoryOutbox
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from expo_gateway.protocol.ticket import ticket_id
from expo_gateway.sqlite_file import SqliteFile
from tests.outbox.batches import ERROR_JSON, LEASE_S, NOW, all_ok, claim_ids, new_batch, receipts
from tests.outbox.contract import OutboxContract
from tests.outbox.contract_leases import LeaseContract


@pytest.fixture
def batches() -> MemoryBatches:
    return MemoryBatches()


@pytest.fixture
def outbox(batches: MemoryBatches) -> MemoryOutbox:
    return MemoryOutbox(batches)


@pytest.fixture
def other(batches: MemoryBatches) -> MemoryOutbox:
    return MemoryOutbox(batches)


class TestMemoryOutbox(OutboxContract, LeaseContract):
    pass


async def finish(outbox: Outbox, *batches: NewBatch) -> None:
    for batch in batches:
        await outbox.add(batch)
        await outbox.record([all_ok(batch)])


async def test_outboxes_on_batches_of_their_own_know_nothing_of_each_other(outbox: MemoryOutbox) -> None:
    await outbox.add(new_batch())

    assert await claim_ids(MemoryOutbox(MemoryBatches())) == []


async def test_what_was_done_first_is_forgotten_first() -> None:
    outbox = MemoryOutbox(MemoryBatches(max_batches=3))
    first, second, pending, new = (new_batch(number) for number in range(4))
    await outbox.add(pending)
    await finish(outbox, second, first)
    await outbox.record([all_ok(second)])  # done it was before

    await outbox.add(new)

    assert await receipts(outbox, second) == {}
    assert len(await receipts(outbox, first)) == 3
    assert await claim_ids(outbox) == [pending.batch_id, new.batch_id]


async def test_a_full_outbox_refuses_what_is_new_until_something_is_done(caplog: pytest.LogCaptureFixture) -> None:
    batches = MemoryBatches(max_batches=2)
    outbox = MemoryOutbox(batches)
    old, another, new = (new_batch(number) for number in range(3))
    await outbox.add(old)
    await outbox.add(another)

    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=r"2 batches of \d+ bytes wait .* a run holds 2 batches"):
            await outbox.add(new)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert await outbox.pending_batches() == 2

    await outbox.add(old)
    await outbox.record([all_ok(old)])
    await outbox.add(new)

    assert await claim_ids(outbox) == [another.batch_id, new.batch_id]
    assert len(batches) == 2


async def test_a_full_outbox_says_so_again_when_it_had_room_in_between(caplog: pytest.LogCaptureFixture) -> None:
    outbox = MemoryOutbox(MemoryBatches(max_batches=1))
    for number in (1, 2):
        await outbox.add(new_batch(number))
        with pytest.raises(StoreUnavailable):
            await outbox.add(new_batch(9))
        await outbox.record([all_ok(new_batch(number))])

    assert len(caplog.records) == 2


async def test_bodies_that_wait_are_bounded_and_those_that_were_sent_cost_nothing() -> None:
    outbox = MemoryOutbox(MemoryBatches(max_bytes=1_000_000))
    sent = [new_batch(number, body=bytes(900_000)) for number in range(3)]
    await finish(outbox, *sent)
    await outbox.add(new_batch(8, body=bytes(900_000)))
    assert [len(await receipts(outbox, batch)) for batch in sent] == [3, 3, 3]

    with pytest.raises(StoreUnavailable, match="or 1000000 bytes"):
        await outbox.add(new_batch(9, body=bytes(100_000)))


async def test_receipts_that_are_too_many_push_out_those_of_batches_that_were_done_first() -> None:
    outbox = MemoryOutbox(MemoryBatches(max_bytes=50_000))
    batches = [new_batch(number, places=100) for number in range(10)]
    failed = dict.fromkeys(range(100), ERROR_JSON)
    for batch in batches:
        await outbox.add(batch)
    for batch in batches:
        await outbox.record([Progress(batch_id=batch.batch_id, receipts=failed)])

    kept = [number for number, batch in enumerate(batches) if await receipts(outbox, batch)]

    assert kept == list(range(10 - len(kept), 10))
    assert 0 < len(kept) < 10


async def test_what_is_pending_is_never_pushed_out() -> None:
    outbox = MemoryOutbox(MemoryBatches(max_bytes=10_000))
    batch = new_batch(places=100)
    await outbox.add(batch)
    some = dict.fromkeys(range(99), ERROR_JSON)

    await outbox.record([Progress(batch_id=batch.batch_id, receipts=some)])

    assert len(await receipts(outbox, batch, places=range(100))) == 99
    assert await claim_ids(outbox) == [batch.batch_id]


async def test_an_expired_batch_makes_room() -> None:
    batches = MemoryBatches(max_batches=1, max_bytes=2_000)
    outbox = MemoryOutbox(batches)
    for number in range(10):
        await outbox.add(new_batch(number, body=bytes(1000)))
        assert await outbox.expire(before=NOW + 1) == 1

    assert len(batches) == 0


async def test_ten_thousand_batches_have_room_by_default(outbox: MemoryOutbox, batches: MemoryBatches) -> None:
    for number in range(MAX_BATCHES):
        await outbox.add(new_batch(number, places=1))

    with pytest.raises(StoreUnavailable):
        await outbox.add(new_batch(MAX_BATCHES, places=1))
    assert len(batches) == MAX_BATCHES


# -- whatever happens, the two stores say the same --------------------------------------------------------------------


class Step:
    """One thing that may happen to an outbox, the same at every store: dice are thrown before."""

    def __init__(self, dice: Random) -> None:
        self.name = dice.choice(["add", "add", "claim", "claim", "record", "record", "record", "extend", "expire"])
        self.owner = dice.randrange(2)
        self.now = NOW + dice.randrange(200)
        self.limit = dice.randrange(1, 4)
        self.skip = dice.sample(["a", "b", "c"], dice.randrange(3))
        self.batch = new_batch(
            dice.randrange(8),
            places=3,
            refused=dice.sample(range(3), dice.choice([0, 0, 1, 3])),
            project_id=dice.choice("abc"),
            accepted_at=NOW + dice.randrange(4) * 20,
        )
        self.progress = [self._progress(dice) for _ in range(dice.randrange(1, 4))]

    def _progress(self, dice: Random) -> Progress:
        batch = new_batch(dice.randrange(8), accepted_at=NOW + dice.randrange(4) * 20)
        places = dice.sample(range(-1, 4), dice.randrange(4))
        return Progress(
            batch_id=batch.batch_id,
            receipts={place: dice.choice([RECEIPT_OK_JSON, ERROR_JSON]) for place in places[:2]},
            retries=[Pending(place=place, attempts=1, due_at=self.now + dice.randrange(60)) for place in places[2:]],
            release=dice.random() < 0.5,
        )

    async def take(self, owners: list[Outbox]) -> object:
        """What the outbox said, and what there is to see afterwards."""
        said = await self._do(owners[self.owner])
        ids = [
            ticket_id(new_batch(number, accepted_at=NOW + 20 * time).batch_id, place)
            for number in range(8)
            for time in range(4)
            for place in range(4)
        ]
        outbox = owners[1 - self.owner]
        return (
            said,
            await outbox.next_due_at(),
            await outbox.pending_batches(),
            await outbox.receipts(ids, not_before=NOW + 10),
            await outbox.project_ids(ids),
        )

    async def _do(self, outbox: Outbox) -> object:
        if self.name == "claim":
            return await outbox.claim(now=self.now, lease_s=LEASE_S, limit=self.limit, skip_projects=self.skip)
        if self.name == "expire":
            return await outbox.expire(before=NOW + self.limit * 5)
        if self.name == "add":
            await outbox.add(self.batch)
        elif self.name == "record":
            await outbox.record(self.progress)
        else:
            await outbox.extend([one.batch_id for one in self.progress], until=self.now + LEASE_S)
        return None


@pytest.mark.parametrize("seed", range(8))
async def test_it_says_what_the_sqlite_outbox_says_whatever_happens(seed: int, batches: MemoryBatches) -> None:
    dice = Random(seed)
    async with SqliteFile(":memory:", durability="process") as file:
        await SqliteOutbox(file).open()
        memory: list[Outbox] = [MemoryOutbox(batches), MemoryOutbox(batches)]
        sqlite: list[Outbox] = [SqliteOutbox(file), SqliteOutbox(file)]
        for number in range(150):
            step = Step(dice)
            assert await step.take(memory) == await step.take(sqlite), f"step {number}, {step.name}"
