"""The requests of one connection: a task for each, and what it reads."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any

from starlette.types import ASGIApp

from expo_gateway.doors.http import CUT, shown_path

log = logging.getLogger(__name__)

# Hypercorn's own: pieces of a body that wait for the app; then the client is made to wait.
MAX_WAITING = 10

_ENDS = ("http.disconnect", "websocket.disconnect")

Send = Callable[[Any], Awaitable[None]]
"""Takes what an ASGI app sends, and None when it has returned."""


class AnswerUnread(TimeoutError):
    """The client does not read. The app's own TimeoutErrors are another matter."""


class Requests:
    """The tasks of one connection: requests, and Hypercorn's own, which takes it for its TaskGroup."""

    def __init__(self, app: ASGIApp, *, write_timeout_s: float, abort: Callable[[], None]) -> None:
        self._app = app
        self._write_timeout_s = write_timeout_s
        self._abort = abort
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> None:
        await self._tasks.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.__aexit__(kind, error, trace)

    def spawn(self, run: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        self._tasks.create_task(run(*arguments))

    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Send) -> Send:
        """Hypercorn's door to the app, for HTTP/2 and WebSockets."""
        inbound = Inbound()
        if scope.get("http_version") != "1.1":
            send = self._bounded(send)
        self.start(scope, inbound, send)
        return inbound.put

    def start(self, scope: Any, inbound: "Inbound", send: Send) -> None:
        scope[CUT] = self._abort
        self.spawn(self._answer, scope, inbound, send)

    async def _answer(self, scope: Any, inbound: "Inbound", send: Send) -> None:
        try:
            await self._app(scope, inbound.get, send)
        except AnswerUnread:
            log.info("a client left the answer to %s unread; its connection was cut", shown_path(scope["path"]))
        except Exception:
            log.exception("%s failed", shown_path(scope["path"]))
        finally:
            inbound.end()
            with suppress(TimeoutError):
                await send(None)

    def _bounded(self, send: Send) -> Send:
        """HTTP/2 lets a client withhold its window for ever, with everything written that may be written."""

        async def bounded(event: Any) -> None:
            try:
                async with asyncio.timeout(self._write_timeout_s):
                    await send(event)
            except TimeoutError:
                self._abort()
                raise AnswerUnread from None

        return bounded


class Inbound:
    """What a request brings to the app, in order. Body waits for room; the end never waits, and ends the waiting."""

    def __init__(self) -> None:
        self._events: deque[Any] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._over = False

    async def put(self, event: Any) -> None:
        if event["type"] in _ENDS:
            self.end()
        else:
            while len(self._events) >= MAX_WAITING and not self._over:
                self._room.clear()
                await self._room.wait()
            if self._over:
                return
        self._events.append(event)
        self._arrived.set()

    def end_body(self) -> None:
        """There is no more body. Where the app has not read the last piece yet, that says so itself."""
        if self._over:
            return
        if self._events:
            self._events[-1]["more_body"] = False
        else:
            self._events.append({"type": "http.request", "body": b"", "more_body": False})
            self._arrived.set()

    async def get(self) -> Any:
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        self._room.set()
        return self._events.popleft()

    def end(self) -> None:
        self._over = True
        self._room.set()
