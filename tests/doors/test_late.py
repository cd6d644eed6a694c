"""Doors that the first who knocks opens."""

import asyncio
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.doors.late import LateDoor
from expo_gateway.log_context import bind, bound


class Answering:
    """ASGI: keeps the paths that it was asked for."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])


async def nothing(*_: Any) -> Any:
    raise AssertionError("nobody asks")


async def ask(app: ASGIApp, path: str) -> None:
    await app({"type": "http", "path": path}, nothing, nothing)


class Opening:
    """How a door is opened: `release` lets it, `failures` come first."""

    def __init__(self, *, failures: int = 0) -> None:
        self.door = Answering()
        self.release = asyncio.Event()
        self.times = 0
        self.seen: dict[str, Any] = {}
        self._failures = failures

    async def __call__(self) -> ASGIApp:
        self.times += 1
        self.seen = dict(bound())
        await self.release.wait()
        if self.times <= self._failures:
            raise OSError("not yet")
        return self.door


async def test_a_path_under_its_prefix_is_the_doors_and_others_are_not() -> None:
    opening, otherwise = Opening(), Answering()
    opening.release.set()
    app = LateDoor(opening, under=("/r", "/_gateway"), otherwise=otherwise)

    for path in ("/", "/runs", "/r", "/r/one", "/_gateway/v1", "/_gatewayed"):
        await ask(app, path)

    assert opening.door.paths == ["/r", "/r/one", "/_gateway/v1"]
    assert otherwise.paths == ["/", "/runs", "/_gatewayed"]


async def test_a_door_that_nobody_asks_for_stays_shut() -> None:
    opening = Opening()

    await ask(LateDoor(opening, under=("/r",), otherwise=Answering()), "/other")

    assert opening.times == 0


async def test_it_is_opened_once_for_all_who_come_at_the_same_time() -> None:
    opening = Opening()
    app = LateDoor(opening, under=("/r",), otherwise=Answering())

    asked = [asyncio.ensure_future(ask(app, "/r")) for _ in range(3)]
    await asyncio.wait(asked, timeout=0)
    opening.release.set()
    await asyncio.gather(*asked)

    assert (opening.times, len(opening.door.paths)) == (1, 3)


async def test_the_first_to_come_may_leave_while_it_opens() -> None:
    opening = Opening()
    app = LateDoor(opening, under=("/r",), otherwise=Answering())
    first = asyncio.ensure_future(ask(app, "/r"))
    await asyncio.wait((first,), timeout=0.01)
    first.cancel()
    await asyncio.wait((first,))

    opening.release.set()
    await ask(app, "/r")

    assert (opening.times, opening.door.paths) == (1, ["/r"])


async def test_after_a_failure_the_next_request_tries_again() -> None:
    opening = Opening(failures=1)
    opening.release.set()
    app = LateDoor(opening, under=("/r",), otherwise=Answering())

    with pytest.raises(OSError, match="not yet"):
        await ask(app, "/r")
    await ask(app, "/r")

    assert opening.door.paths == ["/r"]


async def test_what_goes_on_behind_it_is_not_about_the_request_that_opened_it() -> None:
    opening = Opening()
    opening.release.set()
    bind(request_id="the first")

    await ask(LateDoor(opening, under=("/r",), otherwise=Answering()), "/r")

    assert opening.seen == {}
