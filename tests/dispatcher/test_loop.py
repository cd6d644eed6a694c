"""The dispatcher as a whole: over real stores, with scripted providers."""

import asyncio

from expo_gateway.protocol.receipt import ReceiptError, apns_dropped, apns_refused
from expo_gateway.providers.base import Backoff, Rejected, Scope, Uncertain, Unsent
from tests.dispatcher.conftest import World, until

TOKEN = "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"
OTHER = "ExponentPushToken[bbbbbbbbbbbbbbbbbbbbbb]"

UNSENT = Unsent(why="no connection", receipt=apns_dropped(), backoff=Backoff(first_s=2))
UNCERTAIN = Uncertain(why="lost", receipt=apns_dropped(), backoff=Backoff(first_s=2))
GONE = Rejected(
    reason="Unregistered",
    status=410,
    receipt=apns_refused(ReceiptError.DEVICE_NOT_REGISTERED, reason="Unregistered", status=410),
    device_gone=True,
)
BAD_KEY = Rejected(
    reason="InvalidProviderToken",
    status=403,
    receipt=apns_refused(ReceiptError.INVALID_CREDENTIALS, reason="InvalidProviderToken", status=403),
    scope=Scope.CREDENTIAL,
)


def too_many(retry_after_s: float) -> Rejected:
    return Rejected(
        reason="QUOTA_EXCEEDED",
        status=429,
        receipt=apns_refused(ReceiptError.MESSAGE_RATE_EXCEEDED, reason="QUOTA_EXCEEDED", status=429),
        backoff=Backoff(first_s=60, retry_after_s=retry_after_s),
        scope=Scope.PROJECT,
    )


async def test_every_accepted_message_reaches_its_provider_and_has_a_receipt(world: World) -> None:
    async with world.running():
        ids = await world.accept({"to": [TOKEN, OTHER], "body": "hello"}, {"to": TOKEN, "body": "again"})
        await until(lambda: len(world.apns.sent) == 3)

        assert [await world.receipt(ticket) for ticket in ids] == [{"status": "ok"}] * 3
        assert sorted(request.apns_id for request in world.apns.sent) == sorted(ids)


async def test_a_new_batch_is_sent_without_waiting_for_a_poll(world: World) -> None:
    async with world.running():
        await asyncio.sleep(0.05)  # the dispatcher is idle by now
        loop = asyncio.get_running_loop()
        await world.accept({"to": TOKEN, "body": "now"})
        accepted_at = loop.time()
        await asyncio.wait_for(world.apns.arrived.wait(), 1)

        assert loop.time() - accepted_at < 0.5


async def test_what_was_accepted_while_no_dispatcher_ran_is_sent_by_the_next_one(world: World) -> None:
    (ticket,) = await world.accept({"to": TOKEN, "body": "before"})
    async with world.running():
        assert await world.receipt(ticket) == {"status": "ok"}


async def test_a_retry_has_the_same_id_and_waits_for_its_time(world: World) -> None:
    world.apns.script.extend([UNSENT, UNCERTAIN])
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "body": "x"})
        await until(lambda: len(world.apns.sent) == 1)
        await world.pass_time(2)
        await until(lambda: len(world.apns.sent) == 2)
        await until(lambda: world.dispatcher.active_batches == 0)
        await world.pass_time(3.9)
        await asyncio.sleep(0.05)
        assert len(world.apns.sent) == 2
        await world.pass_time(0.2)

        assert await world.receipt(ticket) == {"status": "ok"}
        assert [request.apns_id for request in world.apns.sent] == [ticket] * 3


async def test_retries_end_with_the_provider_s_last_word(world: World) -> None:
    world.apns.script.extend([UNSENT] * 100)
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "body": "x", "ttl": 5})
        await until(lambda: len(world.apns.sent) == 1)
        await until(lambda: world.dispatcher.active_batches == 0)
        await world.pass_time(2)

        assert (await world.receipt(ticket))["messageEnum"] == 1004
        assert len(world.apns.sent) == 2


async def test_a_message_whose_time_ran_out_before_it_was_tried_is_not_sent(world: World) -> None:
    (ticket,) = await world.accept({"to": TOKEN, "body": "x", "ttl": 60})
    await world.pass_time(61)
    async with world.running():
        assert (await world.receipt(ticket))["details"]["error"] == "ExpoError"
        assert world.apns.sent == []


async def test_a_dead_device_has_one_receipt_and_then_ticket_errors(world: World) -> None:
    world.apns.script.append(GONE)
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "body": "x"})
        assert (await world.receipt(ticket))["details"]["error"] == "DeviceNotRegistered"

        tickets = await _refusals(world, {"to": TOKEN, "body": "y"})

    assert tickets == [f'"{TOKEN}" is not a registered push notification recipient']


async def test_a_refused_credential_is_asked_once_and_then_answered_for(world: World) -> None:
    world.apns.script.append(BAD_KEY)
    async with world.running():
        (first,) = await world.accept({"to": TOKEN, "body": "x"})
        await world.receipt(first)
        (second,) = await world.accept({"to": TOKEN, "body": "y"})

        assert (await world.receipt(second))["details"]["error"] == "InvalidCredentials"
        assert len(world.apns.sent) == 1


async def test_a_credential_that_works_again_is_found_by_one_probe(world: World) -> None:
    world.apns.script.append(BAD_KEY)
    async with world.running():
        (first,) = await world.accept({"to": TOKEN, "body": "x"})
        await world.receipt(first)
        await world.pass_time(5)
        (second,) = await world.accept({"to": TOKEN, "body": "y"})

        assert await world.receipt(second) == {"status": "ok"}


async def test_a_project_that_was_told_to_wait_waits_as_a_whole(world: World) -> None:
    world.apns.script.append(too_many(90))
    async with world.running():
        (first,) = await world.accept({"to": TOKEN, "body": "x"})
        await until(lambda: len(world.apns.sent) == 1)
        await until(lambda: world.dispatcher.active_batches == 0)
        (second,) = await world.accept({"to": OTHER, "body": "y"})
        await until(lambda: world.dispatcher.active_batches == 0)
        await asyncio.sleep(0.05)
        assert len(world.apns.sent) == 1
        await world.pass_time(90)

        assert await world.receipt(first) == {"status": "ok"}
        assert await world.receipt(second) == {"status": "ok"}


async def test_a_pause_that_outlasts_the_retries_ends_them(world: World) -> None:
    world.apns.script.append(too_many(3600))
    async with world.running():
        (first,) = await world.accept({"to": TOKEN, "body": "x"})
        await world.receipt(first)
        (second,) = await world.accept({"to": OTHER, "body": "y"})

        assert (await world.receipt(second))["details"]["error"] == "MessageRateExceeded"
        assert len(world.apns.sent) == 1


async def test_a_mistake_of_ours_is_a_receipt_and_harms_no_other(world: World) -> None:
    world.apns.script.append(ValueError("boom"))
    async with world.running():
        first, second = await world.accept({"to": TOKEN, "body": "x"}, {"to": OTHER, "body": "y"})

        errors = [(await world.receipt(ticket)).get("details", {}).get("error") for ticket in (first, second)]
        assert sorted(str(error) for error in errors) == ["ExpoError", "None"]


async def test_a_virtual_device_is_never_sent_to_a_real_provider(world: World) -> None:
    world.apns.emulated = False
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "body": "x"})

        assert (await world.receipt(ticket))["details"]["error"] == "ExpoError"
        assert world.apns.sent == []


async def test_stop_waits_for_what_is_in_flight(world: World) -> None:
    world.apns.gate.clear()
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "body": "x"})
        await world.apns.arrived.wait()
        world.dispatcher.stop()
        await asyncio.sleep(0.05)  # the drain has begun by now
        world.apns.gate.set()

    assert await world.receipts([ticket]) == {ticket: {"status": "ok"}}


async def test_what_is_not_done_when_the_drain_ends_is_due_at_the_next_start(world: World) -> None:
    world.apns.gate.clear()
    first, second = await world.accept({"to": TOKEN, "body": "x"}, {"to": OTHER, "body": "y"})
    async with world.running():
        await until(lambda: len(world.apns.sent) == 2)
    assert await world.outbox.pending_batches() == 1
    assert await world.outbox.next_due_at() == world.clock()
    assert await world.receipts([first, second]) == {}


async def test_a_batch_that_can_t_be_read_back_fails_alone(world: World) -> None:
    from expo_gateway.outbox.base import NewBatch
    from expo_gateway.protocol.ticket import batch_id, ticket_id

    broken = batch_id(now=world.clock(), random_bytes=b"\xff" * 8)
    project_id = "00000000-0000-4000-8000-000000000000"
    await world.outbox.add(NewBatch(batch_id=broken, project_id=project_id, body=b"\x00not json", places=2))
    async with world.running():
        (fine,) = await world.accept({"to": TOKEN, "body": "x"})

        assert (await world.receipt(ticket_id(broken, 0)))["details"]["error"] == "ExpoError"
        assert await world.receipt(fine) == {"status": "ok"}


async def test_receipts_are_forgotten_after_24_hours(world: World) -> None:
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "body": "x"})
        await world.receipt(ticket)
        await world.pass_time(24 * 3600 + 1)

        assert await world.receipts([ticket]) == {}


async def _refusals(world: World, message: dict[str, object]) -> list[str]:
    import json

    from expo_gateway.protocol.message import decode_send_request

    body = json.dumps(message).encode()
    tickets = await world.gateway.accept(decode_send_request(body), body=body)
    return [error.message for error in tickets.refused if error is not None]
