"""Bodies that arrive at the same time."""

import asyncio

import pytest
from starlette.types import Message

from expo_gateway.doors.bodies import Bodies, ClientGone
from expo_gateway.errors import RequestRefused


class Sender:
    """A client that sends pieces when it is told to."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Message] = asyncio.Queue()

    def say(self, body: bytes, *, more: bool) -> None:
        self._events.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self._events.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        return await self._events.get()


@pytest.fixture
def bodies() -> Bodies:
    return Bodies(timeout_s=5, max_all_bytes=100)


async def held(bodies: Bodies, size_bytes: int) -> tuple[Sender, asyncio.Task[bytes]]:
    """A sender that has sent so much of a body, and the task that reads it."""
    sender = Sender()
    sender.say(b"x" * size_bytes, more=True)
    reading = asyncio.create_task(bodies.read(sender.receive))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return sender, reading


async def test_one_body_too_many_is_refused_and_the_others_go_on(bodies: Bodies) -> None:
    sender, reading = await held(bodies, 90)
    _, refused = await held(bodies, 20)

    with pytest.raises(RequestRefused, match="SERVICE_UNAVAILABLE") as refusal:
        await refused
    sender.say(b"y", more=False)

    assert refusal.value.is_transient
    assert await reading == b"x" * 90 + b"y"


async def test_room_is_given_back(bodies: Bodies) -> None:
    for _ in range(10):
        sender, reading = await held(bodies, 90)
        sender.say(b"", more=False)
        assert len(await reading) == 90


async def test_a_client_that_leaves_gives_its_room_back(bodies: Bodies) -> None:
    for _ in range(10):
        sender, reading = await held(bodies, 90)
        sender.leave()
        with pytest.raises(ClientGone):
            await reading
