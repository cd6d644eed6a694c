"""What the journal remembers of what it is told."""

import pytest

from expo_gateway.journal.entry import Entry, State
from expo_gateway.journal.journal import Journal
from expo_gateway.journal.query import Condition
from expo_gateway.protocol.apns import build_apns_request
from expo_gateway.protocol.receipt import apns_dropped
from expo_gateway.protocol.ticket import ticket_id
from expo_gateway.providers.base import Accepted, Backoff, Outcome, Unsent
from tests.journal.entries import OTHER, START, TOKEN, Clock, accept, accept_one, claim, device, settle

UNSENT = Unsent(why="no connection", receipt=apns_dropped(), backoff=Backoff(first_s=2))
FAILED = b'{"status":"error","message":"no","details":{"error":"ProviderError"}}'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(clock: Clock) -> Journal:
    return Journal(clock=clock)


def entry_of(journal: Journal, ticket: str) -> Entry:
    entry = journal.get(ticket)
    assert entry is not None
    return entry


def start(journal: Journal, ticket: str, *, n: int = 1) -> None:
    entry = entry_of(journal, ticket)
    request = build_apns_request(entry.message, device(), apns_id=ticket, accepted_at=START)
    journal.attempt_started(ticket, n=n, request=request)


def attempt(journal: Journal, ticket: str, outcome: Outcome, *, n: int = 1) -> None:
    start(journal, ticket, n=n)
    journal.attempt_ended(ticket, n=n, outcome=outcome)


def test_each_place_of_a_batch_is_an_entry_with_its_message(journal: Journal) -> None:
    batch = accept(journal, {"to": [TOKEN, OTHER], "title": "one"}, {"to": TOKEN, "title": "two", "x-unknown": 1})

    first, second, third = journal

    assert [entry.id for entry in journal] == [ticket_id(batch, place) for place in range(3)]
    assert (second.push_token, second.message.title, third.message.title) == (OTHER, "one", "two")
    assert third.raw_message() == {"to": TOKEN, "title": "two", "x-unknown": 1}
    assert first.raw_message() == second.raw_message()


def test_a_refused_place_is_an_entry_under_an_id_that_is_no_ticket_s(journal: Journal) -> None:
    batch = accept(journal, {"to": [OTHER, TOKEN]}, refuse=frozenset({OTHER}))

    refused, accepted = journal

    assert (refused.state, refused.ticket_id, refused.id) == (State.REFUSED, None, f"{batch.hex()}-0")
    assert refused.refusal is not None
    assert accepted.state is State.PENDING
    assert [event.event for event in refused.events] == ["refused"]
    assert journal.unsettled == 1


def test_the_states_of_a_delivery_follow_its_steps(journal: Journal, clock: Clock) -> None:
    ticket = accept_one(journal)
    entry = entry_of(journal, ticket)
    states = [entry.state]
    start(journal, ticket)
    states.append(entry.state)
    clock.now += 1
    journal.attempt_ended(ticket, n=1, outcome=UNSENT)
    journal.due_again(ticket, due_at=START + 3)
    states.append(entry.state)
    due_at = entry.due_at
    start(journal, ticket, n=2)
    states.append(entry.state)
    journal.attempt_ended(ticket, n=2, outcome=Accepted())
    settle(journal, ticket)
    states.append(entry.state)

    assert states == ["pending", "in_flight", "retrying", "in_flight", "delivered"]
    assert (due_at, entry.due_at) == (START + 3, None)
    assert [(event.event, event.at - START) for event in entry.events] == [
        ("accepted", 0),
        ("attempt_started", 0),
        ("attempt_ended", 1),
        ("due_again", 1),
        ("attempt_started", 1),
        ("attempt_ended", 1),
        ("receipt", 1),
    ]


def test_a_receipt_that_is_an_error_is_a_failure_and_the_first_receipt_stays(journal: Journal) -> None:
    ticket = accept_one(journal)
    settle(journal, ticket, FAILED)
    settle(journal, ticket)

    assert entry_of(journal, ticket).state is State.FAILED
    assert entry_of(journal, ticket).receipt == FAILED


def test_an_attempt_that_was_refused_here_has_no_request(journal: Journal) -> None:
    ticket = accept_one(journal)
    journal.attempt_ended(ticket, n=1, outcome=UNSENT)

    (made,) = entry_of(journal, ticket).attempts
    assert (made.request, made.outcome, made.ended_at) == (None, UNSENT, START)


def test_what_held_a_delivery_is_an_event(journal: Journal) -> None:
    ticket = accept_one(journal)
    journal.held(ticket, by="paused")

    assert [(event.event, event.by) for event in entry_of(journal, ticket).events][1:] == [("held", "paused")]


def test_a_full_journal_lets_the_oldest_go(clock: Clock) -> None:
    journal = Journal(clock=clock, max_deliveries=3)
    tickets = [accept_one(journal, at=START + second) for second in range(5)]

    assert [entry.id for entry in journal] == tickets[2:]
    assert journal.unsettled == 5


def test_what_was_deleted_does_not_come_back_with_its_next_step(journal: Journal) -> None:
    batch = accept(journal, {"to": TOKEN, "title": "Hi"})
    body = next(iter(journal)).body
    message = next(iter(journal)).message
    assert journal.delete(Condition(title="Hi")) == 1
    journal.claimed(claim(batch, body), place=0, message=message, push_token=TOKEN, device=device())
    journal.held(ticket_id(batch, 0), by="paused")
    journal.due_again(ticket_id(batch, 0), due_at=START + 9)
    journal.attempt_ended(ticket_id(batch, 0), n=1, outcome=Accepted())
    assert journal.unsettled == 1
    journal.settled(batch, {0: b'{"status":"ok"}'})

    assert (len(journal), journal.unsettled) == (0, 0)


def test_a_delivery_of_another_process_is_entered_when_it_is_claimed(journal: Journal, clock: Clock) -> None:
    elsewhere = Journal(clock=clock)
    batch = accept(elsewhere, {"to": TOKEN, "title": "Hi"})
    (theirs,) = elsewhere
    journal.claimed(claim(batch, theirs.body), place=0, message=theirs.message, push_token=TOKEN, device=device())
    accept(journal, {"to": TOKEN, "title": "Hi"})

    (ours,) = journal
    assert (ours.id, ours.accepted_at, ours.raw_message()) == (theirs.id, theirs.accepted_at, theirs.raw_message())
    assert [event.event for event in ours.events] == ["accepted", "claimed"]


def test_what_the_outbox_forgot_is_expired_and_not_waited_for(journal: Journal, clock: Clock) -> None:
    old, new = accept_one(journal), accept_one(journal, at=START + 100)
    clock.now += 1000
    journal.expired(before=START + 50)

    assert (entry_of(journal, old).expired_at, entry_of(journal, new).expired_at) == (START + 1000, None)
    assert journal.unsettled == 1


def test_entries_are_counted_by_state(journal: Journal) -> None:
    settle(journal, accept_one(journal))
    accept(journal, {"to": [TOKEN, OTHER]}, refuse=frozenset({OTHER}))

    assert journal.counts() == {State.DELIVERED: 1, State.PENDING: 1, State.REFUSED: 1}


def test_an_entry_does_not_show_its_push_token(journal: Journal) -> None:
    attempt(journal, accept_one(journal), Accepted())
    (entry,) = journal

    assert TOKEN not in f"{entry!r} {entry.attempts!r}"
