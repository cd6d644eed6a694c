"""Waiting for deliveries without asking again and again."""

import asyncio

import pytest

from expo_gateway.journal.entry import State
from expo_gateway.journal.journal import Journal
from expo_gateway.journal.query import Condition
from expo_gateway.journal.waiting import Waited
from tests.journal.entries import END_S, Clock, accept_one, settle

DELIVERED = Condition(states=frozenset({State.DELIVERED}))
# Long enough for a wait to begin, short enough not to be noticed.
SOON_S = 0.01


@pytest.fixture
def journal() -> Journal:
    return Journal(clock=Clock())


async def begun(waiting: "asyncio.Task[Waited] | asyncio.Task[bool]") -> None:
    """The wait has looked at what is there, and sleeps."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()


async def test_what_is_there_is_not_waited_for(journal: Journal) -> None:
    ticket = accept_one(journal)

    waited = await journal.wait(Condition(title="Hi"), timeout_s=0)

    assert (waited.is_done, [entry.id for entry in waited.found]) == (True, [ticket])


async def test_a_wait_ends_with_the_change_that_makes_enough(journal: Journal) -> None:
    first, second = accept_one(journal, seed=1), accept_one(journal, seed=2)
    waiting = asyncio.create_task(journal.wait(DELIVERED, count=2, timeout_s=END_S))
    await begun(waiting)
    settle(journal, second)
    await begun(waiting)
    settle(journal, first)

    assert [entry.id for entry in (await waiting).found] == [second, first]


async def test_what_does_not_match_any_more_does_not_count(journal: Journal) -> None:
    pending = Condition(states=frozenset({State.PENDING}))
    ticket = accept_one(journal, seed=1)
    waiting = asyncio.create_task(journal.wait(pending, count=2, timeout_s=END_S))
    await begun(waiting)
    settle(journal, ticket)
    accept_one(journal, seed=2)
    await begun(waiting)
    journal.delete(Condition())
    accept_one(journal, seed=3)
    await begun(waiting)
    accept_one(journal, seed=4)

    assert len((await waiting).found) == 2


async def test_a_wait_whose_time_is_up_tells_the_near_misses(journal: Journal) -> None:
    ticket = accept_one(journal)

    waited = await journal.wait(Condition(title="Hello"), timeout_s=SOON_S)

    assert (waited.is_done, waited.found) == (False, ())
    (near,) = waited.near_misses
    assert (near.entry.id, [miss.why for miss in near.misses]) == (ticket, ['title is "Hi", wanted "Hello"'])


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(journal: Journal) -> None:
    waiting = asyncio.create_task(journal.wait(DELIVERED, timeout_s=END_S))
    await begun(waiting)
    waiting.cancel()
    await asyncio.wait({waiting})

    settle(journal, accept_one(journal))
    assert waiting.cancelled()
    assert not journal._waits._waits


async def test_idle_is_when_everything_has_its_receipt(journal: Journal) -> None:
    first, second = accept_one(journal, seed=1), accept_one(journal, seed=2)
    waiting = asyncio.create_task(journal.wait_until_idle(timeout_s=END_S))
    await begun(waiting)
    settle(journal, first)
    await begun(waiting)
    settle(journal, second)

    assert await waiting
    assert await journal.wait_until_idle(timeout_s=0)


async def test_what_has_no_receipt_in_time_is_not_idle(journal: Journal) -> None:
    accept_one(journal)

    assert not await journal.wait_until_idle(timeout_s=SOON_S)


async def test_a_journal_that_is_closed_lets_everybody_go(journal: Journal) -> None:
    accept_one(journal)
    waiting = asyncio.create_task(journal.wait(DELIVERED, timeout_s=END_S))
    idle = asyncio.create_task(journal.wait_until_idle(timeout_s=END_S))
    await begun(waiting)
    journal.close()

    assert (await waiting).is_done is False
    assert await idle is False
