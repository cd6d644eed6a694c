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
from contextlib import suppress
from typing import Any

import h11
from h2.settings import SettingCodes
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from hypercorn.typing import ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr
from hyperframe.frame import GoAwayFrame
from starlette.types import ASGIApp

from expo_gateway.connection_http1 import Http1
from expo_gateway.connection_requests import Requests

log = logging.getLogger(__name__)

# Our choice: long enough for a client to finish its sentence and read our answer, short enough to be no burden.
LINGER_S = 5.0
CLOSE_S = 5.0


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
        self._idle_since: float | None = loop.time()
        """None while a request is under way."""
        self._lingers: asyncio.TimerHandle | None = None
        self._ended = False
        self._is_closing = False

    async def run(self) -> None:
        watching = asyncio.create_task(self._watch_idle())
        try:
            requests = Requests(self._app, write_timeout_s=self._write_timeout_s, abort=self.abort)
            async with requests:
                self._task_group = requests
                self.protocol = self._wire = self._make_wire(requests)
                await self._wire.initiate()
                await self._read_data()
        finally:
            watching.cancel()
            await self._close()
            await asyncio.wait({watching})

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
        elif isinstance(event, Updated):
            self._idle_since = self.loop.time() if event.idle else None
            if event.idle and self.context.terminated.is_set():
                self._close_idle()

    def _make_wire(self, requests: Requests) -> "_Wire":
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

    async def _watch_idle(self) -> None:
        """End the connection when it was idle for too long, and when it is idle at a stop.

        One task that looks at a time of day, and not Hypercorn's task and timer for each request.
        """
        terminated, keep_alive_s = self.context.terminated, self.config.keep_alive_timeout
        while not terminated.is_set() and self._idle_s() < keep_alive_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(keep_alive_s - self._idle_s()):
                    await terminated.wait()
        if self._idle_since is not None:
            self._close_idle()

    def _idle_s(self) -> float:
        return 0.0 if self._idle_since is None else self.loop.time() - self._idle_since

    def _close_idle(self) -> None:
        if not self._ended:
            self._task_group.spawn(self._initiate_server_close)

    async def _initiate_server_close(self) -> None:
        # Nothing that comes from now on is taken: it could be stored, and never answered.
        self._is_closing = True
        self.go_away()
        await super()._initiate_server_close()

    async def _close(self) -> None:
        if self._lingers is not None:
            self._lingers.cancel()
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
        if isinstance(self.protocol, H11Protocol):
            self.protocol = Http1(*args[:-1])
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
            # WebSockets are HTTP/1.1's: see connection_websocket.py. RFC 8441.
            del self.protocol.connection.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]


class _Streams(dict[int, Any]):
    """HTTP/2 streams under way. What still comes for one that is answered is dropped."""

    def __missing__(self, stream_id: int) -> "_Answered":
        return _Answered()


class _Answered:
    async def handle(self, event: object) -> None:
        """Nobody reads it any more."""
