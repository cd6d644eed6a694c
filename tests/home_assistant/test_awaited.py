"""What is remembered of tickets, and for how long."""

from expo_gateway.home_assistant import awaited
from expo_gateway.home_assistant.awaited import Awaited

KEY, OTHER = b"a" * 32, b"b" * 32


def test_tickets_are_taken_once_by_key_and_day() -> None:
    tickets = Awaited()
    tickets.add(KEY, day=1, tickets=["x", "y"])
    tickets.add(OTHER, day=1, tickets=["z"])

    assert tickets.take(KEY, day=2) == []
    assert tickets.take(KEY, day=1) == ["x", "y"]
    assert tickets.take(KEY, day=1) == []


def test_of_one_push_token_the_last_are_kept() -> None:
    tickets = Awaited()
    tickets.add(KEY, day=1, tickets=[str(n) for n in range(awaited.MAX_TICKETS_EACH)])
    tickets.add(KEY, day=1, tickets=["one more"])

    kept = tickets.take(KEY, day=1)

    assert (len(kept), kept[0], kept[-1]) == (awaited.MAX_TICKETS_EACH, "1", "one more")


def test_of_many_push_tokens_those_that_waited_longest_are_forgotten() -> None:
    tickets = Awaited()
    full = [str(n) for n in range(awaited.MAX_TICKETS_EACH)]
    for n in range(awaited.MAX_TICKETS // awaited.MAX_TICKETS_EACH):
        tickets.add(b"%d" % n, day=1, tickets=full)
    tickets.add(KEY, day=1, tickets=["new"])

    assert tickets.take(b"0", day=1) == []
    assert len(tickets.take(b"1", day=1)) == awaited.MAX_TICKETS_EACH
    assert tickets.take(KEY, day=1) == ["new"]
