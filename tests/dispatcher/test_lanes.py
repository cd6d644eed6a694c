"""How many deliveries of a credential are under way at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from expo_gateway.dispatcher.lanes import Lanes
from expo_gateway.protocol.device import Platform
from tests.dispatcher.conftest import END_S, until

SHOP = ("shop", Platform.IOS)
BANK = ("bank", Platform.IOS)


class Work:
    """Notes what begins and what ends; nothing ends while `gate` is closed."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.gate = asyncio.Event()

    async def __call__(self, item: str) -> None:
        self.begun.append(item)
        await self.gate.wait()
        self.ended.append(item)


@pytest.fixture
def work() -> Work:
    return Work()


@asynccontextmanager
async def running(lanes: Lanes[str]) -> AsyncIterator[None]:
    task = asyncio.create_task(lanes.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=END_S)


async def test_a_credential_has_so_many_in_flight_and_no_more(work: Work) -> None:
    lanes = Lanes(work, max_in_flight=2)
    async with running(lanes):
        for item in "abcd":
            lanes.put(SHOP, item)
        # Whoever comes after them has another credential, and gets through.
        lanes.put(BANK, "x")
        await until(lambda: len(work.begun) == 3)
        assert work.begun == ["a", "b", "x"]
        work.gate.set()
        await until(lambda: len(work.ended) == 5)

    assert work.begun == ["a", "b", "x", "c", "d"]


async def test_what_was_put_before_it_ran_is_worked_on_too(work: Work) -> None:
    lanes = Lanes(work, max_in_flight=2)
    for item in "abc":
        lanes.put(SHOP, item)
    work.gate.set()
    async with running(lanes):
        await until(lambda: len(work.ended) == 3)

    assert work.ended == ["a", "b", "c"]


async def test_a_credential_that_was_idle_has_all_its_room_again(work: Work) -> None:
    lanes = Lanes(work, max_in_flight=2)
    work.gate.set()
    async with running(lanes):
        lanes.put(SHOP, "a")
        await until(lambda: work.ended == ["a"])
        work.gate.clear()
        for item in "bcd":
            lanes.put(SHOP, item)
        await until(lambda: len(work.begun) == 3)

        assert work.begun == ["a", "b", "c"]


async def test_what_is_abandoned_is_neither_begun_nor_ended(work: Work) -> None:
    lanes = Lanes(work, max_in_flight=1)
    async with running(lanes):
        lanes.put(SHOP, "a")
        lanes.put(SHOP, "b")
        await until(lambda: work.begun)
        lanes.abandon()
        work.gate.set()
        lanes.put(SHOP, "c")
        await until(lambda: work.ended)

    assert (work.begun, work.ended) == (["a", "c"], ["c"])


async def test_what_is_put_after_the_end_is_not_begun(work: Work) -> None:
    lanes = Lanes(work)
    async with running(lanes):
        await asyncio.sleep(0)
    lanes.put(SHOP, "a")
    await asyncio.sleep(0)

    assert work.begun == []


async def test_a_credential_with_nothing_to_do_is_forgotten(work: Work) -> None:
    lanes = Lanes(work, max_in_flight=2)
    async with running(lanes):
        for number in range(100):
            lanes.put((str(number), Platform.IOS), "a")
        lanes.put(SHOP, "b")
        work.gate.set()
        await until(lambda: len(work.ended) == 101)
        await until(lambda: not lanes._lanes)
        lanes.put(SHOP, "c")
        await until(lambda: work.ended[-1] == "c")


async def test_a_credential_whose_deliveries_are_abandoned_is_forgotten(work: Work) -> None:
    lanes = Lanes(work, max_in_flight=1)
    async with running(lanes):
        lanes.put(SHOP, "a")
        lanes.put(SHOP, "b")
        await until(lambda: work.begun)

        lanes.abandon()

        await until(lambda: not lanes._lanes)
