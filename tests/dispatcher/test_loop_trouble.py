"""A dispatcher whose store is away or fails: it waits, it says so, it goes on, and it ends when it is told to."""

from functools import partial

import pytest

from expo_gateway.dispatcher import loop, recorder
from tests.dispatcher.conftest import Outsider, World, until

MESSAGE: dict[str, object] = {"to": "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]", "body": "x"}
SOON_S = 0.01


@pytest.fixture
def world(world_on_disk: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """On disk, and impatient."""
    for name in ("STORE_AGAIN_S", "EXTEND_EVERY_S", "EXPIRE_EVERY_S"):
        monkeypatch.setattr(loop, name, SOON_S)
    monkeypatch.setattr(recorder, "WRITE_AGAIN_S", SOON_S)
    monkeypatch.setattr(loop, "GIVE_BACK_S", 0.5)
    return world_on_disk


async def test_a_locked_store_is_waited_for(world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture) -> None:
    (ticket,) = await world.accept(MESSAGE)
    outsider.lock()
    async with world.running():
        await until(lambda: caplog.text.count("the dispatcher waits for the store") > 1)
        assert world.apns.sent == []
        outsider.unlock()

        assert await world.receipt(ticket) == {"status": "ok"}


async def test_a_turn_that_fails_for_any_other_reason_is_not_the_last(
    world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    (ticket,) = await world.accept(MESSAGE)
    outsider.forbid("UPDATE ON batches")
    async with world.running():
        await until(lambda: caplog.text.count("a turn of the dispatcher failed") > 1)
        outsider.allow()

        assert await world.receipt(ticket) == {"status": "ok"}


@pytest.mark.parametrize("is_locked", [True, False])
async def test_leases_that_can_t_be_extended_end_nothing(
    is_locked: bool, world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    world.apns.gate.clear()
    async with world.running():
        (ticket,) = await world.accept(MESSAGE)
        await world.apns.arrived.wait()
        outsider.lock() if is_locked else outsider.forbid("UPDATE ON batches")
        await until(lambda: caplog.text.count("leases could not be extended") > 1)
        outsider.unlock() if is_locked else outsider.allow()
        world.apns.gate.set()

        assert await world.receipt(ticket) == {"status": "ok"}


@pytest.mark.parametrize("is_locked", [True, False])
async def test_old_batches_that_can_t_be_removed_end_nothing(
    is_locked: bool, world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    (old,) = await world.accept({**MESSAGE, "ttl": 1})
    world.clock.now += 48 * 3600
    outsider.lock() if is_locked else outsider.forbid("DELETE ON batches")
    async with world.running():
        await until(lambda: caplog.text.count("old batches could not be removed") > 1)
        outsider.unlock() if is_locked else outsider.allow()
        (ticket,) = await world.accept(MESSAGE)

        assert await world.receipt(ticket) == {"status": "ok"}
        await until(partial(is_gone, outsider, old))


def is_gone(outsider: Outsider, ticket: str) -> bool:
    (left,) = outsider.run("SELECT count(*) FROM batches WHERE hex(id) LIKE ?", (ticket[:8] + "%",)).fetchone()
    return bool(left == 0)


async def test_a_dispatcher_whose_store_fails_is_ready_again_with_it(world: World, outsider: Outsider) -> None:
    """The store's own check says what is wrong; the dispatcher turns all the same."""
    await world.accept(MESSAGE)
    outsider.lock()
    async with world.running():
        turned_at = world.monotonic.now = world.monotonic.now + loop.STUCK_AFTER_S + 1
        assert world.dispatcher.is_stuck()
        await until(lambda: not world.dispatcher.is_stuck())
        outsider.unlock()
        await until(lambda: world.apns.sent)

        assert (world.dispatcher.trouble(), world.monotonic()) == ("", turned_at)


# -- stopping -------------------------------------------------------------------------------------------------------


async def test_it_ends_though_the_store_is_away_and_a_delivery_is_in_flight(world: World, outsider: Outsider) -> None:
    world.apns.gate.clear()
    async with world.running():
        (ticket,) = await world.accept(MESSAGE)
        await world.apns.arrived.wait()
        outsider.lock()
    outsider.unlock()

    assert await world.outbox.pending_batches() == 1
    assert await world.receipts([ticket]) == {}


async def test_it_ends_though_the_store_is_away_and_outcomes_are_not_written(world: World, outsider: Outsider) -> None:
    world.apns.gate.clear()
    async with world.running():
        (ticket,) = await world.accept(MESSAGE)
        await world.apns.arrived.wait()
        outsider.lock()
        world.apns.gate.set()
        await until(lambda: world.dispatcher.counts.receipts)
    outsider.unlock()

    # Still owed, and sent again at the next start; or the last write gets through now that the lock has gone.
    async def is_consistent() -> bool:
        is_owed = await world.outbox.pending_batches() == 1
        return is_owed is (await world.receipts([ticket]) == {})

    await until(is_consistent)


@pytest.mark.parametrize("is_locked", [True, False])
async def test_it_ends_though_a_provider_is_slow_to_let_go(
    is_locked: bool, world: World, outsider: Outsider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that closes a connection properly before it gives up."""
    monkeypatch.setattr(loop, "GIVE_BACK_S", 0.05)
    world.apns.gate.clear()
    world.apns.lets_go_after_s = 0.2
    async with world.running():
        await world.accept(MESSAGE)
        await world.apns.arrived.wait()
        if is_locked:
            outsider.lock()
    if is_locked:
        outsider.unlock()

    assert await world.outbox.pending_batches() == 1


async def test_outcomes_that_a_stop_finds_waiting_for_the_store_are_written_when_it_is_back(
    world: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    """A start would send them once more."""
    world.apns.gate.clear()
    async with world.running():
        (ticket,) = await world.accept(MESSAGE)
        await world.apns.arrived.wait()
        outsider.lock()
        world.apns.gate.set()
        await until(lambda: "wait for the store" in caplog.text)
        world.dispatcher.stop()
        await until(lambda: "given back unfinished" in caplog.text)
        await until(lambda: caplog.text.count("wait for the store") > 3)
        outsider.unlock()

    assert await world.receipts([ticket]) == {ticket: {"status": "ok"}}
    assert await world.outbox.pending_batches() == 0
