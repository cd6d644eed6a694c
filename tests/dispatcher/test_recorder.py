"""Outcomes on their way to the store: none is lost while the store is away, and none pays for another's mistake."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from expo_gateway.dispatcher import recorder
from expo_gateway.dispatcher.recorder import MAX_REFUSALS, Recorder
from expo_gateway.outbox.base import Claim, NewBatch, Pending
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from expo_gateway.protocol.ticket import BatchId, batch_id, ticket_id
from tests.dispatcher.conftest import BUSY_S, END_S, PROJECT, START, Outsider, World, until

FAILED = b'{"status":"error"}'
SOON_S = 0.01


@pytest.fixture
def world(world_on_disk: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(recorder, "WRITE_AGAIN_S", SOON_S)
    return world_on_disk


async def claimed(world: World, number: int = 1) -> BatchId:
    """A batch of two places that is being worked on."""
    batch = batch_id(now=START, random_bytes=number.to_bytes(8, "big"))
    await world.outbox.add(NewBatch(batch_id=batch, project_id=PROJECT.project_id, body=b"[]", places=2))
    assert len(await world.outbox.claim(now=START, lease_s=60, limit=10)) == 1
    return batch


@asynccontextmanager
async def writing(outcomes: Recorder) -> AsyncIterator[None]:
    task = asyncio.create_task(outcomes.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def receipts(world: World, batch: BatchId) -> list[bytes | None]:
    ids = [ticket_id(batch, place) for place in range(2)]
    found = await world.outbox.receipts(ids, not_before=0)
    return [found.get(ticket) for ticket in ids]


async def test_a_receipt_is_there_soon_though_its_batch_is_not_given_back(world: World) -> None:
    outcomes, batch = Recorder(world.outbox), await claimed(world)
    async with writing(outcomes):
        outcomes.receipt(batch, 1, RECEIPT_OK_JSON)
        await outcomes.all_written()

    assert await receipts(world, batch) == [None, RECEIPT_OK_JSON]
    assert await world.outbox.next_due_at() == START + 60


@pytest.mark.parametrize("is_first_written", [False, True])
async def test_the_first_receipt_of_a_place_stays(is_first_written: bool, world: World) -> None:
    outcomes, batch = Recorder(world.outbox), await claimed(world)
    async with writing(outcomes):
        outcomes.receipt(batch, 0, RECEIPT_OK_JSON)
        if is_first_written:
            await outcomes.all_written()
        outcomes.receipt(batch, 0, FAILED)
        outcomes.receipt(batch, 1, FAILED)
        await outcomes.release(batch, [])

    assert await receipts(world, batch) == [RECEIPT_OK_JSON, FAILED]


async def test_what_the_store_does_not_take_is_kept_until_it_does(
    world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes, batch = Recorder(world.outbox), await claimed(world)
    outsider.lock()
    async with writing(outcomes), asyncio.TaskGroup() as group:
        outcomes.receipt(batch, 0, FAILED)
        await until(lambda: "1 batches wait for the store" in caplog.text)
        outcomes.receipt(batch, 1, RECEIPT_OK_JSON)
        released = group.create_task(outcomes.release(batch, []))
        await until(lambda: caplog.text.count("1 batches wait for the store") > 2)
        assert not released.done()
        outsider.unlock()
        await released

    assert await receipts(world, batch) == [FAILED, RECEIPT_OK_JSON]
    assert await world.outbox.pending_batches() == 0


async def test_all_is_written_only_when_what_came_meanwhile_is_written_too(
    world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes, batch = Recorder(world.outbox), await claimed(world)
    outsider.lock()
    async with writing(outcomes):
        outcomes.receipt(batch, 0, FAILED)
        await until(lambda: "1 batches wait for the store" in caplog.text)
        outcomes.receipt(batch, 1, FAILED)
        outsider.unlock()
        await outcomes.all_written()

    assert await receipts(world, batch) == [FAILED] * 2


async def test_a_batch_that_can_t_be_written_is_lost_alone(
    world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = Recorder(world.outbox)
    bad, good, good_too = [await claimed(world, number) for number in (1, 2, 3)]
    outsider.forbid("UPDATE ON batches", when=f"old.id = x'{bad.hex()}'")
    async with writing(outcomes), asyncio.TaskGroup() as group:
        for batch in (good, bad, good_too):
            for place in range(2):
                outcomes.receipt(batch, place, RECEIPT_OK_JSON)
            group.create_task(outcomes.release(batch, []))

    assert [await receipts(world, batch) for batch in (good, good_too)] == [[RECEIPT_OK_JSON] * 2] * 2
    assert await receipts(world, bad) == [None, None]
    assert f"outcomes of batch {bad.hex()} were lost" in caplog.text
    assert good.hex() not in caplog.text


async def settle(outcomes: Recorder, batch: BatchId) -> None:
    """Both places have receipts, and the batch is given back."""
    for place in range(2):
        outcomes.receipt(batch, place, RECEIPT_OK_JSON)
    await outcomes.release(batch, [])


async def test_a_row_that_the_store_refuses_holds_no_other_and_is_given_up(
    world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[BatchId] = []
    outcomes = Recorder(world.outbox, on_release=told.append)
    bad, *good = [await claimed(world, number) for number in range(1, MAX_REFUSALS + 5)]
    outsider.damage(bad)
    async with writing(outcomes), asyncio.timeout(END_S):
        stuck = asyncio.create_task(settle(outcomes, bad))
        for batch in good[:3]:
            await settle(outcomes, batch)
        assert (told, stuck.done()) == (good[:3], False)
        for batch in good[3:]:
            await settle(outcomes, batch)
        await stuck
        await outcomes.all_written()

    assert [await receipts(world, batch) for batch in good] == [[RECEIPT_OK_JSON] * 2] * len(good)
    assert f"outcomes of batch {bad.hex()} were lost" in caplog.text
    assert "1 batches wait for the store" in caplog.text


@pytest.mark.parametrize("bad_ones", [1, 2, 5])
async def test_those_beside_rows_that_the_store_refuses_are_released_though_these_still_wait(
    bad_ones: int, world: World, outsider: Outsider
) -> None:
    told: list[BatchId] = []
    outcomes = Recorder(world.outbox, on_release=told.append)
    batches = [await claimed(world, number) for number in range(8)]
    marks = ",".join(f"x'{batch.hex()}'" for batch in batches[:bad_ones])
    outsider.run(
        f"CREATE TRIGGER forbidden BEFORE UPDATE ON batches WHEN old.id IN ({marks}) BEGIN SELECT json('no'); END"
    )
    async with writing(outcomes), asyncio.timeout(END_S):
        settling = [asyncio.create_task(settle(outcomes, batch)) for batch in batches]
        await asyncio.wait(settling[bad_ones:])

        assert set(told) == set(batches[bad_ones:])
        assert not any(task.done() for task in settling[:bad_ones])
    await asyncio.wait(settling)


async def test_while_the_store_is_away_nothing_is_given_up(
    world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_REFUSALS", 1)
    outcomes = Recorder(world.outbox)
    batches = [await claimed(world, number) for number in range(4)]
    outsider.lock()
    async with writing(outcomes), asyncio.timeout(END_S):
        settling = [asyncio.create_task(settle(outcomes, batch)) for batch in batches]
        await until(lambda: caplog.text.count("4 batches wait for the store") > 2)
        outsider.unlock()
        await asyncio.wait(settling)

    assert [await receipts(world, batch) for batch in batches] == [[RECEIPT_OK_JSON] * 2] * 4
    assert "were lost" not in caplog.text


async def test_what_comes_for_a_batch_that_waits_is_written_with_it(
    world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes, batch = Recorder(world.outbox), await claimed(world)
    outsider.damage(batch)
    async with writing(outcomes), asyncio.timeout(END_S):
        outcomes.receipt(batch, 0, FAILED)
        await until(lambda: "1 batches wait for the store" in caplog.text)
        outcomes.receipt(batch, 0, RECEIPT_OK_JSON)
        released = asyncio.create_task(outcomes.release(batch, [Pending(place=1, attempts=1, due_at=START + 5)]))
        await until(lambda: caplog.text.count("1 batches wait for the store") > 2)
        outsider.allow()
        await released

    assert await receipts(world, batch) == [FAILED, None]
    assert await world.outbox.next_due_at() == START + 5


async def test_a_release_brings_the_retries(world: World) -> None:
    outcomes, batch = Recorder(world.outbox), await claimed(world)
    async with writing(outcomes):
        outcomes.receipt(batch, 0, RECEIPT_OK_JSON)
        await outcomes.release(batch, [Pending(place=1, attempts=3, due_at=START + 5)])

    (again,) = await world.outbox.claim(now=START + 5, lease_s=60, limit=10)
    assert again.pending == (Pending(place=1, attempts=3, due_at=START + 5),)


async def test_a_release_whose_caller_is_cancelled_is_written_all_the_same(world: World, outsider: Outsider) -> None:
    outcomes, batch = Recorder(world.outbox), await claimed(world)
    outsider.lock()
    async with writing(outcomes):
        outcomes.receipt(batch, 0, RECEIPT_OK_JSON)
        outcomes.receipt(batch, 1, RECEIPT_OK_JSON)
        caller = asyncio.create_task(outcomes.release(batch, []))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait([caller])
        outsider.unlock()
        await outcomes.all_written()

    assert caller.cancelled()
    assert await receipts(world, batch) == [RECEIPT_OK_JSON] * 2


@pytest.mark.parametrize("is_writing", [False, True])
async def test_nobody_waits_for_a_recorder_that_has_ended(is_writing: bool, world: World, outsider: Outsider) -> None:
    outcomes, batch = Recorder(world.outbox), await claimed(world)
    outsider.lock()
    async with writing(outcomes):
        waiting = asyncio.create_task(outcomes.release(batch, []))
        await asyncio.sleep(BUSY_S * 2 if is_writing else 0)
    too_late = asyncio.create_task(outcomes.release(batch, []))
    await asyncio.wait([waiting, too_late], timeout=END_S)
    outsider.unlock()

    assert waiting.cancelled()
    assert too_late.cancelled()


async def test_a_release_is_told_before_anyone_can_claim_the_batch_again(world: World) -> None:
    """Else a claim that comes at once would be taken for a lapsed lease, and be left lying until it lapses."""
    batch = await claimed(world)
    told: list[BatchId] = []
    outcomes = Recorder(world.outbox, on_release=told.append)
    async with writing(outcomes):
        release = asyncio.create_task(outcomes.release(batch, [Pending(place=0, attempts=1, due_at=START)]))
        claims: list[Claim] = []
        while not claims:
            await asyncio.sleep(0)
            claims = await world.outbox.claim(now=START, lease_s=60, limit=10)
        assert told == [batch]
        await release
