"""What the dispatcher counts, and what it says is wrong with it."""

import asyncio
from functools import partial

import pytest

from expo_gateway.dispatcher.loop import NO_PROGRESS_AFTER_S, STUCK_AFTER_S
from expo_gateway.protocol.receipt import ReceiptError, apns_refused
from expo_gateway.providers.base import Backoff, Rejected, Scope, Uncertain, Unsent
from tests.dispatcher.conftest import END_S, World, until

MESSAGE: dict[str, object] = {"to": "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"}
RECEIPT = apns_refused(ReceiptError.DEVELOPER_ERROR, reason="BadDeviceToken", status=400)
BACKOFF = Backoff(first_s=5)


async def test_each_outcome_is_counted_with_its_reason(world: World) -> None:
    world.apns.script.append(Rejected(reason="BadDeviceToken", status=400, receipt=RECEIPT))
    async with world.running():
        for _ in range(2):
            (ticket,) = await world.accept(MESSAGE)
            await world.receipt(ticket)

    counts = world.dispatcher.counts
    assert counts.attempts == {("apns", "rejected", "BadDeviceToken"): 1, ("apns", "accepted", ""): 1}
    assert counts.receipts == {"DeveloperError": 1, "": 1}
    assert sum(counts.send_s["apns"].counts) == 2
    assert sum(counts.settled_s.counts) == 2


async def test_retries_are_counted_and_their_receipt_once(world: World) -> None:
    world.apns.script += [
        Unsent(why="no connection", receipt=RECEIPT, backoff=BACKOFF),
        Uncertain(why="no answer", receipt=RECEIPT, backoff=BACKOFF),
    ]
    async with world.running():
        (ticket,) = await world.accept(MESSAGE)
        for attempts in (1, 2):
            await until(partial(was_tried, world, attempts))
            await world.pass_time(30)
        await world.receipt(ticket)

    counts = world.dispatcher.counts
    assert counts.retries == {"apns": 2}
    assert {outcome: count for (_, outcome, _), count in counts.attempts.items()} == {
        "unsent": 1,
        "uncertain": 1,
        "accepted": 1,
    }
    assert counts.receipts == {"": 1}
    assert counts.settled_s.sum_s == pytest.approx(60, abs=0.01)


def was_tried(world: World, attempts: int) -> bool:
    return len(world.apns.sent) == attempts and not world.dispatcher.active_batches


async def test_what_waits_in_a_pause_is_counted_as_held(world: World) -> None:
    busy = Rejected(
        reason="TooManyRequests", status=429, receipt=RECEIPT, backoff=Backoff(first_s=60), scope=Scope.PROJECT
    )
    world.apns.script.append(busy)
    async with world.running():
        await world.accept(MESSAGE)
        await until(lambda: world.apns.sent and not world.dispatcher.active_batches)
        await world.accept(MESSAGE)
        await until(lambda: world.dispatcher.counts.held)

        assert world.holds.paused(now=world.clock.now).total() == 1
        assert world.holds.paused(now=world.clock.now + 61).total() == 0
    assert world.dispatcher.counts.held == {("apns", "paused"): 1}


async def test_the_claim_lag_is_the_time_that_a_batch_was_due_for(world: World) -> None:
    (ticket,) = await world.accept(MESSAGE)
    world.clock.now += 7
    async with world.running():
        await world.receipt(ticket)

    assert world.dispatcher.counts.claim_lag_s.sum_s == pytest.approx(7, abs=0.01)


async def test_a_dispatcher_that_turns_has_no_trouble(world: World) -> None:
    async with world.running():
        (ticket,) = await world.accept(MESSAGE)
        await world.receipt(ticket)

        assert world.dispatcher.trouble() == ""


def test_a_loop_that_does_not_turn_is_stuck(world: World) -> None:
    world.monotonic.now += STUCK_AFTER_S + 1

    assert world.dispatcher.trouble() == "the dispatcher is stuck: its loop has not turned for 31 s"


async def test_batches_of_which_no_delivery_ends_are_stuck_though_the_loop_turns(world: World) -> None:
    world.apns.gate.clear()
    async with world.running():
        await world.accept(MESSAGE)
        await world.apns.arrived.wait()
        world.monotonic.now += NO_PROGRESS_AFTER_S + 1
        world.dispatcher.clock_moved()
        await until(lambda: not world.dispatcher.is_stuck())

        assert "1 batches, and no delivery has ended for 301 s" in world.dispatcher.trouble()
        world.apns.gate.set()
        await until(lambda: world.dispatcher.trouble() == "")


async def test_a_dispatcher_that_ended_says_so_and_so_does_the_log(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    # The keepers are ours and never end; this is the mistake that nobody thought of.
    monkeypatch.setattr(world.dispatcher, "_expire", broken)
    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(world.dispatcher.run(), END_S)

    assert world.dispatcher.trouble() == "the dispatcher has ended; only a restart helps"
    assert "nothing is delivered until a restart" in caplog.text


async def test_a_dispatcher_that_ends_by_mistake_ends_though_a_delivery_is_in_flight(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        await world.apns.arrived.wait()
        raise ZeroDivisionError

    monkeypatch.setattr(world.dispatcher, "_expire", broken)
    world.apns.gate.clear()
    await world.accept(MESSAGE)
    ended, _ = await asyncio.wait([asyncio.create_task(world.dispatcher.run())], timeout=END_S)

    assert [isinstance(task.exception(), ExceptionGroup) for task in ended] == [True]
    assert world.dispatcher.active_batches == 0


async def test_a_dispatcher_that_stops_is_not_ready(world: World) -> None:
    task = asyncio.create_task(world.dispatcher.run())
    world.dispatcher.stop()

    assert world.dispatcher.trouble() == "the dispatcher is stopping"
    await task
