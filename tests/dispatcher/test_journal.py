"""What the dispatcher and the gateway tell the journal."""

import json

from expo_gateway.dispatcher.work import STORE_AGAIN_S
from expo_gateway.journal.entry import Entry, State
from expo_gateway.journal.query import Condition
from expo_gateway.protocol.message import decode_send_request
from expo_gateway.protocol.receipt import ReceiptError, apns_dropped, apns_refused
from expo_gateway.providers.base import Accepted, Backoff, Rejected, Unsent
from tests.dispatcher.conftest import END_S, START, Outsider, World, until

TOKEN = "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"
UNSENT = Unsent(why="no connection", receipt=apns_dropped(), backoff=Backoff(first_s=5))
GONE = Rejected(
    reason="Unregistered",
    status=410,
    receipt=apns_refused(ReceiptError.DEVICE_NOT_REGISTERED, reason="Unregistered", status=410),
    device_gone=True,
)


def events(entry: Entry) -> list[str]:
    return [event.event for event in entry.events]


async def one_in(world: World, state: State) -> Entry:
    waited = await world.journal.wait(Condition(states=frozenset({state})), timeout_s=END_S)
    assert waited.is_done
    return waited.found[0]


async def test_a_delivery_is_followed_from_its_ticket_to_its_receipt(world: World) -> None:
    world.apns.script.append(Accepted(provider_id="unique"))
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN, "title": "Hi"})
        entry = await one_in(world, State.DELIVERED)

        assert await world.receipts([ticket]) == {ticket: {"status": "ok"}}
    assert entry.id == ticket
    assert events(entry) == ["accepted", "claimed", "attempt_started", "attempt_ended", "receipt"]
    (attempt,) = entry.attempts
    assert (attempt.n, attempt.request, attempt.outcome) == (1, world.apns.sent[0], Accepted(provider_id="unique"))


async def test_a_delivery_whose_receipt_is_told_of_can_be_asked_for_it(world: World) -> None:
    """The journal hears of receipts when they are written, not when they are known."""
    async with world.running():
        for _ in range(20):
            (ticket,) = await world.accept({"to": TOKEN})
            waited = await world.journal.wait(
                Condition(ticket_ids=frozenset({ticket}), states=frozenset({State.DELIVERED})), timeout_s=END_S
            )
            assert waited.is_done
            assert await world.receipts([ticket]) == {ticket: {"status": "ok"}}


async def test_a_retry_is_followed_over_its_due_time(world: World) -> None:
    world.apns.script.append(UNSENT)
    async with world.running():
        await world.accept({"to": TOKEN})
        entry = await one_in(world, State.RETRYING)
        assert not await world.journal.wait_until_idle(timeout_s=0)
        await until(lambda: entry.due_at == START + 5)
        await world.pass_time(5)

        assert await world.journal.wait_until_idle(timeout_s=END_S)
    assert [(made.n, made.outcome) for made in entry.attempts] == [(1, UNSENT), (2, Accepted())]
    assert entry.due_at is None


async def test_refusals_of_the_gateway_and_of_the_provider_are_entries(world: World) -> None:
    world.apns.script.append(GONE)
    async with world.running():
        await world.accept({"to": TOKEN})
        failed = await one_in(world, State.FAILED)
        body = json.dumps({"to": [TOKEN, "nonsense"]}).encode()
        await world.gateway.accept(decode_send_request(body), body=body)

    refused = world.journal.find(Condition(states=frozenset({State.REFUSED})))
    assert [(entry.push_token, entry.device is None) for entry in refused] == [(TOKEN, False), ("nonsense", True)]
    assert failed.attempts[0].outcome == GONE


async def test_a_message_that_lapsed_was_held_and_has_no_attempt(world: World) -> None:
    await world.accept({"to": TOKEN, "ttl": 60})
    await world.pass_time(61)
    async with world.running():
        entry = await one_in(world, State.FAILED)

    assert events(entry) == ["accepted", "claimed", "held", "receipt"]
    assert entry.events[2].by == "lapsed"
    assert entry.attempts == []


async def test_a_push_to_a_project_without_credentials_is_an_attempt_without_a_request(world: World) -> None:
    world.apns.emulated = False
    async with world.running():
        await world.accept({"to": TOKEN})
        entry = await one_in(world, State.FAILED)

    assert [attempt.request for attempt in entry.attempts] == [None]


async def test_an_attempt_that_failed_inside_the_gateway_has_no_outcome(world: World) -> None:
    world.apns.script.append(ValueError("boom"))
    async with world.running():
        await world.accept({"to": TOKEN})
        entry = await one_in(world, State.FAILED)

    assert [attempt.outcome for attempt in entry.attempts] == [None]


async def test_a_batch_that_waits_for_the_store_is_due_again(world_on_disk: World, outsider: Outsider) -> None:
    world = world_on_disk
    (ticket,) = await world.accept({"to": TOKEN})
    outsider.hide_devices()
    async with world.running():
        entry = world.journal.get(ticket)
        assert entry is not None
        await until(lambda: entry.due_at == START + STORE_AGAIN_S)
        outsider.show_devices()

        assert (entry.state, events(entry)) == (State.PENDING, ["accepted", "due_again"])


async def test_what_the_outbox_forgets_is_expired(world: World) -> None:
    async with world.running():
        (ticket,) = await world.accept({"to": TOKEN})
        entry = await one_in(world, State.DELIVERED)
        await world.pass_time(24 * 3600 + 1)
        await until(lambda: events(entry)[-1] == "expired")

        assert entry.expired_at == world.clock()
        assert await world.receipts([ticket]) == {}
