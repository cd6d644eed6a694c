"""What is done with a claimed batch, when something is wrong with it, its devices or the store."""

from functools import partial

import pytest

from expo_gateway.dispatcher import work
from expo_gateway.dispatcher.loop import NO_PROGRESS_AFTER_S
from expo_gateway.protocol.receipt import apns_dropped
from expo_gateway.providers.base import Backoff, Unsent
from tests.dispatcher.conftest import START, Outsider, World, until

TOKEN = "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"
OTHER = "ExponentPushToken[bbbbbbbbbbbbbbbbbbbbbb]"


def quiet_time_passes(world: World, seconds: float) -> None:
    world.monotonic.now += seconds
    world.dispatcher.clock_moved()


async def is_due_at(world: World, at: float) -> bool:
    return await world.outbox.next_due_at() == at


async def test_a_batch_whose_devices_can_t_be_looked_up_is_tried_a_moment_later(
    world_on_disk: World, outsider: Outsider
) -> None:
    world = world_on_disk
    first, second = await world.accept({"to": [TOKEN, OTHER], "body": "x"})
    outsider.hide_devices()
    async with world.running():
        await until(partial(is_due_at, world, START + work.STORE_AGAIN_S))
        outsider.show_devices()
        await world.pass_time(work.STORE_AGAIN_S)

        assert [await world.receipt(ticket) for ticket in (first, second)] == [{"status": "ok"}] * 2
    assert sum(world.dispatcher.counts.claim_lag_s.counts) == 2


async def test_a_batch_that_waited_for_the_store_has_as_many_attempts_as_before(
    world_on_disk: World, outsider: Outsider
) -> None:
    """One of the two is not due yet: it keeps its attempts and its time."""
    world, last = world_on_disk, Backoff(first_s=10, max_attempts=2)
    unsent = Unsent(why="no connection", receipt=apns_dropped(), backoff=last)
    world.apns.script.extend([unsent, unsent])
    async with world.running():
        (ticket,) = await world.accept({"to": await world.register(), "body": "x"})
        await until(partial(is_due_at, world, START + 10))
        await world.register()  # again, so that the registry has to read it again
        outsider.hide_devices()
        await world.pass_time(10)
        await until(partial(is_due_at, world, START + 10 + work.STORE_AGAIN_S))
        outsider.show_devices()
        await world.pass_time(work.STORE_AGAIN_S)

        assert (await world.receipt(ticket))["details"]["error"] == "ProviderError"
    assert len(world.apns.sent) == 2


async def test_a_retry_does_not_wait_for_the_slowest_of_its_batch(world: World) -> None:
    world.fcm.gate.clear()
    world.apns.script.append(Unsent(why="no connection", receipt=apns_dropped(), backoff=Backoff(first_s=0.01)))
    iphone, android = await world.register("a"), await world.register("b", platform="android")
    async with world.running():
        again, slow = await world.accept({"to": [iphone, android], "body": "x"})
        await until(lambda: world.dispatcher.counts.retries)
        await world.pass_time(0.01)

        assert await world.receipt(again) == {"status": "ok"}
        assert await world.receipts([slow]) == {}
        world.fcm.gate.set()
        assert await world.receipt(slow) == {"status": "ok"}
    assert (len(world.apns.sent), len(world.fcm.sent)) == (2, 1)


async def test_a_retry_that_is_not_due_when_its_batch_is_through_waits_in_the_store(world: World) -> None:
    world.apns.script.append(Unsent(why="no connection", receipt=apns_dropped(), backoff=Backoff(first_s=10)))
    iphone, android = await world.register("a"), await world.register("b", platform="android")
    async with world.running():
        again, other = await world.accept({"to": [iphone, android], "body": "x"})
        await until(partial(is_due_at, world, START + 10))

        assert await world.receipts([again, other]) == {other: {"status": "ok"}}
        assert world.dispatcher.active_batches == 0


async def test_a_mistake_of_ours_settles_the_batch_so_that_nobody_is_reached_twice(
    world_on_disk: World, outsider: Outsider, caplog: pytest.LogCaptureFixture
) -> None:
    world = world_on_disk
    broken, broken_too = await world.accept({"to": [TOKEN, OTHER], "body": "x"})
    outsider.run("PRAGMA ignore_check_constraints = ON")
    outsider.run("UPDATE devices SET platform = 'windows' WHERE push_token = ?", (OTHER,))
    async with world.running():
        found = [await world.receipt(ticket) for ticket in (broken, broken_too)]
        (fine,) = await world.accept({"to": await world.register(), "body": "y"})

        assert await world.receipt(fine) == {"status": "ok"}
    assert [receipt["details"]["error"] for receipt in found] == ["ExpoError"] * 2
    assert "failed inside the gateway" in caplog.text
    assert await world.outbox.pending_batches() == 0


async def test_a_batch_that_is_given_back_unfinished_keeps_what_was_settled(world: World) -> None:
    world.fcm.gate.clear()
    iphone, android = await world.register("a"), await world.register("b", platform="android")
    async with world.running():
        settled, open_ = await world.accept({"to": [iphone, android], "body": "x"})
        await until(lambda: world.fcm.sent)

    assert await world.receipts([settled, open_]) == {settled: {"status": "ok"}}
    assert await is_due_at(world, START)


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        ("ios", '"{token}" is not a registered push notification recipient'),
        ("android", "The recipient device is not registered with FCM."),
    ],
)
async def test_a_device_that_died_after_it_was_accepted_has_its_platform_s_receipt(
    platform: str, message: str, world: World
) -> None:
    token = await world.register("phone", platform=platform)
    (ticket,) = await world.accept({"to": token, "body": "x"})
    await world.registry.mark_gone(token, device_token=b"phone".hex(), gone_at=START)
    async with world.running():
        receipt = await world.receipt(ticket)

    assert receipt["message"] == message.format(token=token)
    assert receipt["details"]["error"] == "DeviceNotRegistered"
    assert world.apns.sent == world.fcm.sent == []


async def test_a_device_that_was_forgotten_after_it_was_accepted_is_no_recipient(world: World) -> None:
    token = await world.register(platform="android")
    (ticket,) = await world.accept({"to": token, "body": "x"})
    await world.registry.forget_device(token)
    async with world.running():
        receipt = await world.receipt(ticket)

    assert receipt["message"] == f'"{token}" is not a registered push notification recipient'


async def test_the_dispatcher_moves_while_deliveries_end(world: World) -> None:
    world.apns.gate.clear()
    world.fcm.gate.clear()
    iphone, android = await world.register("a"), await world.register("b", platform="android")
    async with world.running():
        on_ios, _ = await world.accept({"to": [iphone, android], "body": "x"})
        await until(lambda: world.apns.sent and world.fcm.sent)
        quiet_time_passes(world, NO_PROGRESS_AFTER_S)
        world.apns.gate.set()
        await world.receipt(on_ios)
        quiet_time_passes(world, NO_PROGRESS_AFTER_S)
        await until(lambda: not world.dispatcher.is_stuck())

        assert world.dispatcher.trouble() == ""


async def test_the_dispatcher_moves_when_a_batch_begins_after_a_quiet_night(world: World) -> None:
    world.apns.gate.clear()
    async with world.running():
        quiet_time_passes(world, 8 * 3600)
        await world.accept({"to": TOKEN, "body": "x"})
        await until(lambda: world.apns.sent)

        assert world.dispatcher.trouble() == ""
