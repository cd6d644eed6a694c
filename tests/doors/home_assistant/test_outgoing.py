"""What waits to be sent on a WebSocket, and how much of it may."""

import asyncio

import pytest

from expo_gateway.doors.home_assistant.outgoing import MAX_BYTES, MAX_FRAMES, PEAK_FRAMES, PEAK_S, Outgoing


class Queue:
    def __init__(self) -> None:
        self.now = 0.0
        self.overflows = 0
        self.outgoing = Outgoing(monotonic=lambda: self.now, on_overflow=self._count)

    def _count(self) -> None:
        self.overflows += 1


@pytest.fixture
def queue() -> Queue:
    return Queue()


async def test_all_that_waits_is_taken_at_once_and_in_order(queue: Queue) -> None:
    queue.outgoing.put(b"1")
    queue.outgoing.put(b"2")

    assert await queue.outgoing.take() == [b"1", b"2"]


async def test_who_takes_waits_for_the_next_frame(queue: Queue) -> None:
    taking = asyncio.ensure_future(queue.outgoing.take())
    await asyncio.sleep(0)
    queue.outgoing.put(b"1")

    assert await taking == [b"1"]


async def test_what_waits_at_the_end_is_taken_and_then_nothing(queue: Queue) -> None:
    queue.outgoing.put(b"1")
    queue.outgoing.end()

    assert [await queue.outgoing.take(), await queue.outgoing.take()] == [[b"1"], []]


async def test_too_many_frames_are_an_overflow_and_nothing_is_kept(queue: Queue) -> None:
    for _ in range(MAX_FRAMES + 5):
        queue.outgoing.put(b"1")

    assert queue.overflows == 1
    assert await queue.outgoing.take() == []


def test_too_many_bytes_are_an_overflow(queue: Queue) -> None:
    queue.outgoing.put(b"x" * MAX_BYTES)
    assert queue.overflows == 0

    queue.outgoing.put(b"x")
    assert queue.overflows == 1


def test_a_peak_may_last_a_while(queue: Queue) -> None:
    for _ in range(PEAK_FRAMES + 1):
        queue.outgoing.put(b"1")
    queue.now = PEAK_S
    queue.outgoing.put(b"1")
    assert queue.overflows == 0

    queue.now = PEAK_S + 1
    queue.outgoing.put(b"1")
    assert queue.overflows == 1


async def test_a_peak_that_was_read_is_over(queue: Queue) -> None:
    for _ in range(PEAK_FRAMES + 1):
        queue.outgoing.put(b"1")
    await queue.outgoing.take()
    queue.now = PEAK_S + 1
    queue.outgoing.put(b"1")

    assert queue.overflows == 0
