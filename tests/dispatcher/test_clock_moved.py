"""A clock that a test stops, sets and moves: deliveries go by it, and the dispatcher's own health does not."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from expo_gateway.clock import RunClock
from expo_gateway.dispatcher import work
from expo_gateway.dispatcher.loop import NO_PROGRESS_AFTER_S, STUCK_AFTER_S
from expo_gateway.protocol.receipt import apns_dropped
from expo_gateway.providers.base import Backoff, Unsent
from expo_gateway.sqlite_file import SqliteFile
from tests.dispatcher.conftest import START, Clock, World, open_world, until

TOKEN = "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"
DAY_S = 24 * 3600.0
# A retry would have come by then, if a timer of the loop had anything to say.
A_WHILE_S = 0.1


def unsent(first_s: float) -> Unsent:
    return Unsent(why="no connection", receipt=apns_dropped(), backoff=Backoff(first_s=first_s))


async def is_due_at(world: World, at: float) -> bool:
    return await world.outbox.next_due_at() == at


async def stored_batches(world: World) -> int:
    return int(await world.file.read(lambda store: store.execute("SELECT count(*) FROM batches").fetchone()[0]))


async def has_no_batches(world: World) -> bool:
    return await stored_batches(world) == 0


async def test_a_retry_of_a_batch_that_is_under_way_waits_for_the_clock_and_not_for_the_loop(world: World) -> None:
    world.fcm.gate.clear()
    world.apns.script.append(unsent(0.02))
    iphone, android = await world.register("a"), await world.register("b", platform="android")
    async with world.running():
        again, _ = await world.accept({"to": [iphone, android], "body": "x"})
        await until(lambda: world.dispatcher.counts.retries)
        await asyncio.sleep(A_WHILE_S)
        assert len(world.apns.sent) == 1
        await world.pass_time(0.02)

        assert await world.receipt(again) == {"status": "ok"}
        world.fcm.gate.set()


async def test_a_retry_in_minutes_goes_at_once_when_the_clock_goes_there(world: World) -> None:
    """Of a batch that is under way: nothing but the move can wake it."""
    world.fcm.gate.clear()
    world.apns.script.append(unsent(500))
    iphone, android = await world.register("a"), await world.register("b", platform="android")
    async with world.running():
        again, _ = await world.accept({"to": [iphone, android], "body": "x"})
        await until(lambda: world.dispatcher.counts.retries)
        await world.pass_time(499)
        await asyncio.sleep(0)
        assert len(world.apns.sent) == 1
        await world.pass_time(1)

        assert await world.receipt(again) == {"status": "ok"}
        world.fcm.gate.set()


async def test_a_clock_that_goes_back_makes_a_retry_wait_longer(world: World) -> None:
    world.fcm.gate.clear()
    world.apns.script.append(unsent(0.05))
    iphone, android = await world.register("a"), await world.register("b", platform="android")
    async with world.running():
        again, _ = await world.accept({"to": [iphone, android], "body": "x"})
        await until(lambda: world.dispatcher.counts.retries)
        await world.pass_time(-3600)
        await asyncio.sleep(A_WHILE_S)
        assert len(world.apns.sent) == 1
        await world.pass_time(3600.05)

        assert await world.receipt(again) == {"status": "ok"}
        world.fcm.gate.set()


@pytest.mark.parametrize("life", [{"ttl": 300}, {"expiration": int(START) + 300}])
async def test_a_message_lapses_while_it_waits_for_a_retry(world: World, life: dict[str, object]) -> None:
    world.apns.script.append(unsent(90))  # a lease ends after 60
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "body": "x", **life})
        await until(partial(is_due_at, world, START + 90))
        await world.pass_time(301)

        assert "expired" in (await world.receipt(ticket))["message"]
    assert len(world.apns.sent) == 1


async def test_batches_are_forgotten_as_soon_as_the_clock_is_a_day_later(world: World) -> None:
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "body": "x"})
        await world.receipt(ticket)
        await until(lambda: world.dispatcher.active_batches == 0)
        assert await stored_batches(world) == 1
        await world.pass_time(DAY_S + 1)

        await until(partial(has_no_batches, world))


async def test_a_clock_that_jumps_a_year_leaves_nothing_stuck(world: World) -> None:
    world.apns.gate.clear()
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "body": "x"})
        await until(lambda: world.apns.sent)
        await world.pass_time(365 * DAY_S)
        await asyncio.sleep(A_WHILE_S)

        assert world.dispatcher.trouble() == ""
        world.apns.gate.set()
        await until(lambda: world.dispatcher.active_batches == 0)
    assert len(world.apns.sent) == 1
    assert ticket


async def test_a_clock_that_stands_still_does_not_hide_a_stuck_dispatcher(world: World) -> None:
    world.monotonic.now += max(STUCK_AFTER_S, NO_PROGRESS_AFTER_S) + 1

    assert world.dispatcher.is_stuck()


async def test_a_clock_that_stands_just_before_a_due_time_is_not_looked_at_all_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    next_due_at = world.outbox.next_due_at

    async def counted() -> float | None:
        nonlocal looks
        looks += 1
        return await next_due_at()

    monkeypatch.setattr(world.outbox, "next_due_at", counted)
    world.apns.script.append(unsent(5))
    async with world.running():
        await world.accept({"to": TOKEN, "body": "x"})
        await until(partial(is_due_at, world, START + 5))
        await world.pass_time(5 - 1e-6)
        looks = 0
        await asyncio.sleep(A_WHILE_S)

        assert looks <= 3 * A_WHILE_S / work.LEAST_WAIT_S
        await world.pass_time(1)
        await until(lambda: len(world.apns.sent) == 2)


# -- with the clock of a run ------------------------------------------------------------------------------------------


@pytest.fixture
def run_clock() -> RunClock:
    return RunClock()


@pytest.fixture
async def run(run_clock: RunClock) -> AsyncIterator[World]:
    async with SqliteFile(":memory:", durability="process") as file, open_world(file, _follows(run_clock)) as opened:
        run_clock.watch(opened.dispatcher.clock_moved)
        yield opened


def _follows(run_clock: RunClock) -> Clock:
    class Following(Clock):
        def __call__(self) -> float:
            return run_clock.now()

    return Following()


async def test_a_run_that_is_frozen_delivers_at_once_and_retries_when_it_is_advanced(
    run: World, run_clock: RunClock
) -> None:
    run_clock.freeze()
    run.apns.script.append(unsent(2))
    async with run.running():
        (ticket,) = await run.accept({"to": TOKEN, "body": "x"})
        await until(partial(is_due_at, run, run_clock.now() + 2))
        run_clock.advance(2)

        assert await run.receipt(ticket) == {"status": "ok"}


async def test_a_run_whose_clock_goes_retries_by_itself(run: World) -> None:
    run.apns.script.append(unsent(0.02))
    async with run.running():
        (ticket,) = await run.accept({"to": TOKEN, "body": "x"})

        assert await run.receipt(ticket) == {"status": "ok"}
    assert len(run.apns.sent) == 2


async def test_a_run_that_is_resumed_goes_on_with_what_waited(run: World, run_clock: RunClock) -> None:
    run_clock.freeze()
    run.apns.script.append(unsent(0.05))
    async with run.running():
        (ticket,) = await run.accept({"to": TOKEN, "body": "x"})
        await until(partial(is_due_at, run, run_clock.now() + 0.05))
        run_clock.resume()

        assert await run.receipt(ticket) == {"status": "ok"}
