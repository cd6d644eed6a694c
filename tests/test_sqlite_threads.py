"""Threads that work for the event loop."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from expo_gateway.sqlite_threads import Threads
from tests.sqlite_notes import LONG_S


@pytest.fixture
def one() -> Iterator[Threads]:
    threads = Threads(1, name="worker")
    yield threads
    threads.close()


async def test_what_is_done_comes_back_in_order(one: Threads) -> None:
    assert await asyncio.gather(*[one.run(lambda i=i: i * i) for i in range(5)]) == [0, 1, 4, 9, 16]  # type: ignore[misc]


async def test_an_error_is_its_caller_s_and_the_thread_goes_on(one: Threads) -> None:
    def fails() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await one.run(fails)

    assert await one.run(threading.get_ident) != threading.get_ident()


async def test_who_has_gone_disturbs_nobody(one: Threads) -> None:
    gate = threading.Event()
    gone = one.run(lambda: gate.wait(LONG_S))
    gone.cancel()

    gate.set()

    assert await one.run(lambda: "next") == "next"


async def test_several_work_side_by_side() -> None:
    two = Threads(2, name="worker")
    both = threading.Barrier(2)

    await asyncio.wait_for(asyncio.gather(*[two.run(lambda: both.wait(LONG_S)) for _ in range(2)]), LONG_S)

    two.close()


def test_a_loop_that_has_closed_meanwhile_is_no_trouble() -> None:
    gate, threads = threading.Event(), Threads(1, name="worker")

    async def leave() -> None:
        threads.run(lambda: gate.wait(LONG_S))

    asyncio.run(leave())
    gate.set()

    threads.close()
    assert all(not thread.name.startswith("worker") for thread in threading.enumerate())
