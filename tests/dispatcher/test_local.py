"""Deliveries to local devices: a second way at once, and phones that are waited for without a place of others."""

import asyncio

import msgspec
import pytest
from msgspec import Raw

from expo_gateway.dispatcher import loop
from expo_gateway.dispatcher.lanes import MAX_IN_FLIGHT
from expo_gateway.dispatcher.parked import Parked
from expo_gateway.journal import history, views
from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.native import NativeApns, NativeMessage, encode_native, native_request
from expo_gateway.protocol.receipt import ReceiptError, apns_refused, expo_error
from expo_gateway.protocol.ticket import ticket_id
from expo_gateway.providers.base import Accepted, Backoff, Outcome, Rejected, Unsent
from tests.dispatcher.conftest import World, until

UNCONFIRMED = Unsent(why="nobody confirmed it", receipt=expo_error("late"), backoff=Backoff(first_s=0.0))
# More than a credential may have in flight.
MANY = MAX_IN_FLIGHT + 10


class Phones:
    """In the place of the local provider: each delivery waits for its phone."""

    emulated = False

    def __init__(self, world: World) -> None:
        self.dispatcher = world.dispatcher
        self.waiting: dict[str, asyncio.Future[Outcome]] = {}

    async def send(self, request: LocalRequest) -> Outcome:
        arrived: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.waiting[request.ticket_id] = arrived
        self.dispatcher.waits_for_phone(request.ticket_id, True)
        try:
            return await arrived
        finally:
            self.dispatcher.waits_for_phone(request.ticket_id, False)

    async def close(self) -> None:
        pass


async def notify(world: World, token: str, message: NativeMessage | None = None) -> str:
    message = message or NativeMessage(to=token, body="Hello", local=Raw(b'{"message":"Hello"}'))
    tickets = await world.gateway.accept(native_request([message]), body=encode_native([message]))
    return ticket_id(tickets.batch_id, 0)


async def test_a_local_device_gets_the_event_whoever_else_its_project_has(world: World) -> None:
    token = await world.register(platform="local")
    async with world.running():
        ticket = await notify(world, token)

        assert await world.receipt(ticket) == {"status": "ok"}
    (sent,) = world.local.sent
    assert (bytes(sent.event), sent.registration_id, sent.attempt) == (b'{"message":"Hello"}', b"phone".hex(), 1)
    assert world.dispatcher.counts.attempts["local", "accepted", ""] == 1


async def test_an_expo_message_reaches_a_local_device_in_home_assistants_words(world: World) -> None:
    token = await world.register(platform="local")
    async with world.running():
        (ticket,) = await world.accept({"to": token, "title": "T", "body": "B", "data": {"a": 1}})
        await world.receipt(ticket)

    assert bytes(world.local.sent[0].event) == b'{"message":"B","title":"T","data":{"a":1}}'


async def test_without_local_push_a_receipt_says_so(world: World) -> None:
    token = await world.register(platform="local")
    world.sender._local = None
    async with world.running():
        receipt = await world.receipt(await notify(world, token))

    assert receipt["details"]["error"] == "ExpoError"


async def test_what_nobody_confirmed_is_tried_again_at_once_though_the_clock_stands(world: World) -> None:
    token = await world.register(platform="local")
    world.local.script.append(UNCONFIRMED)
    async with world.running():
        assert await world.receipt(await notify(world, token)) == {"status": "ok"}

    assert [request.attempt for request in world.local.sent] == [1, 2]


async def test_a_phone_that_is_slow_keeps_only_its_own_messages_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_BATCHES", 2)
    monkeypatch.setattr(loop, "MAX_PROJECT_BATCHES", 1)
    phones, token, other = Phones(world), await world.register(platform="local"), await world.register("other")
    world.sender._local = phones
    async with world.running():
        tickets = [await notify(world, token) for _ in range(MANY)]
        await until(lambda: len(phones.waiting) == MANY)

        (ticket,) = await world.accept({"to": other, "body": "x"})
        assert await world.receipt(ticket) == {"status": "ok"}
        assert world.dispatcher.active_batches >= MANY

        for arrived in phones.waiting.values():
            arrived.set_result(Accepted())
        for ticket in tickets:
            await world.receipt(ticket)
        await until(lambda: world.dispatcher.active_batches == 0)
    assert (world.dispatcher._work.parked.batches, dict(world.dispatcher._work.parked.batches_of)) == (0, {})


async def test_a_batch_of_which_somebody_else_is_under_way_has_its_place(world: World) -> None:
    phones, parked = Phones(world), world.dispatcher._work.parked
    local, other = await world.register(platform="local"), await world.register("other")
    world.sender._local = phones
    world.apns.gate.clear()
    async with world.running():
        tickets = await world.accept({"to": [local, other], "body": "x"})
        await until(lambda: phones.waiting and world.apns.in_flight)
        assert parked.batches == 0

        world.apns.gate.set()
        await until(lambda: parked.batches == 1)
        phones.waiting[tickets[0]].set_result(Accepted())
        await world.receipt(tickets[0])
    assert parked.batches == 0


async def test_a_batch_that_is_given_back_while_it_waits_is_parked_no_more(world: World) -> None:
    phones = Phones(world)
    token = await world.register(platform="local")
    world.sender._local = phones
    async with world.running():
        await notify(world, token)
        await until(lambda: phones.waiting)

    assert world.dispatcher._work.parked.batches == 0


def test_whoever_waits_for_a_place_hears_of_each_one_that_becomes_free() -> None:
    class Batch:
        project_id, left, phones, is_parked = "a", 2, 1, False

    batch, parked, heard = Batch(), Parked(), []
    parked.on_parked = lambda: heard.append(parked.batches)

    for batch.left, batch.phones in ((2, 1), (2, 2), (2, 2), (3, 2), (2, 2)):
        parked.look(batch)
    parked.drop(batch)
    parked.drop(batch)

    assert (heard, parked.batches) == ([1, 1], 0)


async def test_a_live_activity_that_is_over_does_not_bury_its_device(world: World) -> None:
    token = await world.register()
    part = NativeApns(payload=Raw(b'{"aps":{"event":"end"}}'), device_token="ee" * 40)
    receipt = apns_refused(ReceiptError.DEVICE_NOT_REGISTERED, reason="Unregistered", status=410)
    gone = Rejected(reason="Unregistered", status=410, receipt=receipt, device_gone=True)
    world.apns.script.extend([gone, gone])
    async with world.running():
        await world.receipt(await notify(world, token, NativeMessage(to=token, apns=part)))
        assert (await world.registry.devices([token]))[token].gone_at is None

        own = NativeMessage(to=token, apns=NativeApns(payload=part.payload))
        await world.receipt(await notify(world, token, own))
        assert (await world.registry.devices([token]))[token].gone_at is not None
    assert [request.device_token for request in world.apns.sent] == ["ee" * 40, b"phone".hex()]


async def test_a_native_part_that_is_none_is_a_receipt_and_others_go_on(world: World) -> None:
    token = await world.register(platform="android")
    async with world.running():
        broken = await notify(world, token, NativeMessage(to=token, fcm=Raw(b'{"data":{"a":1}}')))
        fine = await notify(world, token, NativeMessage(to=token, fcm=Raw(b'{"data":{"a":"1"}}')))

        assert (await world.receipt(broken))["details"]["error"] == "ExpoError"
        assert await world.receipt(fine) == {"status": "ok"}
    assert [dict(request.data) for request in world.fcm.sent] == [{"a": "1"}]


async def test_the_journal_shows_what_was_said_and_to_whom(world: World) -> None:
    token = await world.register(platform="local")
    async with world.running():
        ticket = await notify(world, token)
        await world.receipt(ticket)
    entry = world.journal.get(ticket)
    assert entry is not None

    shown = views.life(entry)

    assert shown["message"] == {"to": token, "body": "Hello", "local": {"message": "Hello"}}
    attempts = shown["attempts"]
    assert isinstance(attempts, list)
    assert attempts[0]["request"] == {
        "provider": "local",
        "registration_id": b"phone".hex(),
        "event": {"message": "Hello"},
    }
    assert views.life(history.entry_of(msgspec.convert(shown, history.Life)))["attempts"] == attempts
