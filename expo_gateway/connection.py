"""One connection of a client, on Hypercorn's protocol code, with what that leaves open closed.

Hypercorn 0.18 stands between sockets and h11 or h2 well, but (each has a test in tests/test_connection.py)
- a client that never reads holds its connection, and the request's task, for ever;
- an answer that comes before the end of the request's body deadlocks once ten pieces of the body wait (HTTP/1.1) or
  fails the whole connection with a KeyError (HTTP/2);
- closing then resets the connection, so that the client never reads the answer: RFC 9112, section 9.6;
- a client that leaves is kept until its idle time is over, and one that speaks HTTP/2 without ever asking for anything
  has no idle time at all;
- its read timeout cuts whoever waits for a slow answer.
"""

import asyncio
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState, Scope
from hypercorn.utils import parse_socket_addr
from hyperframe.frame import GoAwayFrame
from starlette.types import ASGIApp

log = logging.getLogger(__name__)

# Our choice: long enough for a client to finish its sentence and read our answer, short enough to be no burden.
LINGER_S = 5.0
CLOSE_S = 5.0
# Hypercorn's own: pieces of a body that wait for the app; then the client is made to wait.
MAX_WAITING = 10

_ENDS = ("http.disconnect", "websocket.disconnect")


class Connection(TCPServer):
    """`await connection.run()` returns when the client or we are done; it raises what Hypercorn, h11 and h2 raise."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        config: Config,
        context: WorkerContext,
        reader: StreamReader,
        writer: StreamWriter,
        write_timeout_s: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(ASGIWrapper(app), loop, config, context, LifespanState({}), reader, writer)  # type: ignore[arg-type]
        self._app = app
        self._write_timeout_s = write_timeout_s
        self._wire: _Wire | None = None
        self._lingers: asyncio.TimerHandle | None = None
        self._ended = False
        self._is_closing = False

    async def run(self) -> None:
        try:
            requests = _Requests(self._app, write_timeout_s=self._write_timeout_s, abort=self.abort)
            async with requests:
                self._task_group = requests
                self.protocol = self._wire = self._make_wire(requests)
                await self._wire.initiate()
                await self.idle_task.restart(requests, self._idle_timeout)
                await self._read_data()
        finally:
            await self._close()

    def abort(self) -> None:
        """Cut the connection; whatever is under way is lost."""
        self.writer.transport.abort()

    def go_away(self) -> None:
        """Tell an HTTP/2 client that requests not yet sent belong on another connection. RFC 9113, section 6.8.

        Not through h2, which takes it for the end of the requests under way too.
        """
        wire = self._wire
        if wire is not None and isinstance(wire.protocol, H2Protocol) and not self.writer.is_closing():
            last_stream_id = wire.protocol.connection.highest_inbound_stream_id
            self.writer.write(GoAwayFrame(0, last_stream_id=last_stream_id).serialize())

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            self._end_writing()
        elif not self._ended:
            await super().protocol_send(event)

    def _make_wire(self, requests: "_Requests") -> "_Wire":
        socket = self.writer.get_extra_info("socket")
        ssl_object = self.writer.get_extra_info("ssl_object")
        return _Wire(
            self.app,
            self.config,
            self.context,
            requests,
            ConnectionState({}),
            ssl_object is not None,
            parse_socket_addr(socket.family, socket.getpeername()),
            parse_socket_addr(socket.family, socket.getsockname()),
            self.protocol_send,
            ssl_object.selected_alpn_protocol() if ssl_object is not None else "http/1.1",
        )

    async def _read_data(self) -> None:
        while data := await self._read():
            if self._lingers is None and not self._is_closing:
                await self.protocol.handle(RawData(data))
        self._ended = True
        await self.idle_task.stop()
        await self.protocol.handle(Closed())

    async def _read(self) -> bytes:
        """b"" at the end. Without a deadline: who waits for our answer is silent; the idle task watches the others."""
        try:
            return await self.reader.read(MAX_RECV)
        except OSError:
            return b""

    async def _write(self, data: bytes) -> None:
        async with self.send_lock:
            try:
                self.writer.write(data)
                if self.writer.is_closing() or self.writer.transport.get_write_buffer_size():
                    async with asyncio.timeout(self._write_timeout_s):
                        await self.writer.drain()
            except (OSError, RuntimeError) as error:
                if isinstance(error, TimeoutError):
                    self.abort()
                await self.protocol.handle(Closed())

    def _end_writing(self) -> None:
        """Nothing more to say. A client that is still speaking is heard out, so that it reads our answer."""
        if not self._is_still_sent_to() or self.writer.is_closing():
            self.writer.close()
        elif self._lingers is None:
            self._lingers = self.loop.call_later(LINGER_S, self.abort)
            if self.writer.can_write_eof():
                self.writer.write_eof()

    def _is_still_sent_to(self) -> bool:
        protocol = self._wire.protocol if self._wire is not None else None
        return isinstance(protocol, H11Protocol) and protocol.connection.their_state in (h11.SEND_BODY, h11.ERROR)

    async def _initiate_server_close(self) -> None:
        # Nothing that comes from now on is taken: it could be stored, and never answered.
        self._is_closing = True
        self.go_away()
        await super()._initiate_server_close()

    async def _close(self) -> None:
        if self._lingers is not None:
            self._lingers.cancel()
        await self.idle_task.stop()
        self.writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.writer.wait_closed()
        except OSError:
            self.abort()


class _Wire(ProtocolWrapper):
    """Chooses between HTTP/1.1 and HTTP/2."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._mend()

    async def handle(self, event: Event) -> None:
        try:
            await self.protocol.handle(event)
        except H2ProtocolAssumedError as prior_knowledge:
            await self._switch(prior_knowledge.data)
        except H2CProtocolRequiredError as upgrade:
            await self._switch(upgrade.data, headers=upgrade.headers, settings=upgrade.settings)

    async def _switch(
        self, data: bytes, *, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        self.protocol = H2Protocol(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.state,
            self.ssl,
            self.client,
            self.server,
            self.send,
        )
        self._mend()
        await self.protocol.initiate(headers, settings)
        if self.protocol.idle:
            # The preface was taken for a request of HTTP/1.1, which stopped the idle time.
            await self.send(Updated(idle=True))
        if data:
            await self.protocol.handle(RawData(data))

    def _mend(self) -> None:
        if isinstance(self.protocol, H2Protocol):
            self.protocol.streams = _Streams()


class _Streams(dict[int, Any]):
    """HTTP/2 streams under way. What still comes for one that is answered is dropped."""

    def __missing__(self, stream_id: int) -> "_Answered":
        return _Answered()


class _Answered:
    async def handle(self, event: object) -> None:
        """Nobody reads it any more."""


class _Requests(TaskGroup):
    """The tasks of one connection: requests, and Hypercorn's own."""

    def __init__(self, app: ASGIApp, *, write_timeout_s: float, abort: Callable[[], None]) -> None:
        super().__init__(asyncio.get_running_loop())
        self._app = app
        self._write_timeout_s = write_timeout_s
        self._abort = abort

    async def spawn_app(
        self, app: AppWrapper, config: Config, scope: Scope, send: Callable[[Any], Awaitable[None]]
    ) -> Callable[[Any], Awaitable[None]]:
        inbound = _Inbound()
        if scope.get("http_version") != "1.1":
            send = self._bounded(send)
        self.spawn(self._answer, scope, inbound, send)
        return inbound.put

    async def _answer(self, scope: Any, inbound: "_Inbound", send: Callable[[Any], Awaitable[None]]) -> None:
        try:
            await self._app(scope, inbound.get, send)
        except TimeoutError:
            log.info("a client left the answer to %s unread; its connection was cut", scope["path"])
        except Exception:
            log.exception("%s failed", scope["path"])
        finally:
            inbound.end()
            with suppress(TimeoutError):
                await send(None)

    def _bounded(self, send: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        """HTTP/2 lets a client withhold its window for ever, with everything written that may be written."""

        async def bounded(event: Any) -> None:
            try:
                async with asyncio.timeout(self._write_timeout_s):
                    await send(event)
            except TimeoutError:
                self._abort()
                raise

        return bounded


class _Inbound:
    """What a request brings to the app, in order. Body waits for room; the end never waits, and ends the waiting."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._room = asyncio.Event()
        self._over = False

    async def put(self, event: Any) -> None:
        if event["type"] in _ENDS:
            self.end()
            self._events.put_nowait(event)
            return
        while self._events.qsize() >= MAX_WAITING and not self._over:
            self._room.clear()
            await self._room.wait()
        if not self._over:
            self._events.put_nowait(event)

    async def get(self) -> Any:
        event = await self._events.get()
        self._room.set()
        return event

    def end(self) -> None:
        self._over = True
        self._room.set()
