"""Doors that are opened by the first who knocks: a start imports nothing of what they need, and makes none of it.

The hot paths come first and know nothing of these. Which there are: `late_doors.py`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.doors.http import is_under

OpenDoor = Callable[[], Coroutine[Any, Any, ASGIApp]]


class LateDoor:
    """ASGI: requests and WebSockets whose path is under one of `under` are for the door, others for `otherwise`."""

    def __init__(self, open_door: OpenDoor, *, under: Sequence[str], otherwise: ASGIApp) -> None:
        """`open_door` is called once; after it has failed, the next request tries again."""
        self._open_door = open_door
        self._under = under
        self._otherwise = otherwise
        self._opening: asyncio.Task[ASGIApp] | None = None
        self._door: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if any(is_under(prefix, path) for prefix in self._under):
            door = self._door or await self._opened()
            await door(scope, receive, send)
        else:
            await self._otherwise(scope, receive, send)

    async def _opened(self) -> ASGIApp:
        if self._opening is None:
            # A task and a context of its own: the request that came first may leave, and log lines of what goes on
            # behind the door are not about it.
            self._opening = asyncio.create_task(self._open_door(), name="opening a door", context=Context())
        try:
            self._door = await asyncio.shield(self._opening)
        finally:
            if self._opening is not None and self._opening.done():
                self._opening = None
        return self._door
