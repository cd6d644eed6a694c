"""One connection of a client: its socket, its idle time and its end, whatever HTTP is spoken on it.

HTTP/1.1 is ours, on h11; HTTP/2 and WebSockets are Hypercorn's protocol code, with what that leaves open closed.

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
import socket
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import h11
from starlette.types import ASGIApp

from expo_gateway.connection_http1 import Address, Http1
from expo_gateway.connection_requests import Requests
from expo_gateway.connection_terms import Terms

if TYPE_CHECKING:
    from expo_gateway.connection_switched import Switched

log = logging.getLogger(__name__)

# Our choice: long enough for a client to finish its sentence and read our answer, short enough to be no burden.
LINGER_S = 5.0
CLOSE_S = 5.0
READ_BYTES = 65_536


class Spoken(Protocol):
    """HTTP, of some version."""

    @property
    def is_sent_to(self) -> bool:
        """Whether the client is in the middle of a request, so that it has to be heard out."""
        ...

    async def receive(self, data: bytes) -> None: ...

    async def closed(self) -> None:
        """The client is gone, or we are done with it."""
        ...

    def go_away(self) -> None:
        """Tell the client that requests not yet sent belong on another connection."""
        ...


if TYPE_CHECKING:
    from expo_gateway.connection_switched import Switched

log = logging.getLogger(__name__)

# Our choice: long enough for a client to finish its sentence and read our answer, short enough to be no burden.
LINGER_S = 5.0
CLOSE_S = 5.0


class Connection:
    """`await connection.run()` returns when the client or we are done; it raises what h11, h2 and Hypercorn raise."""

    def __init__(self, app: ASGIApp, *, terms: Terms, reader: StreamReader, writer: StreamWriter) -> None:
        self._terms = terms
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._requests = Requests(app, write_timeout_s=terms.write_timeout_s, abort=self.abort)
        self._protocol: Spoken | None = None
        self._sending = asyncio.Lock()
        self._idle_since: float | None = self._loop.time()
        """None while a request is under way."""
        self._lingers: asyncio.TimerHandle | None = None
        self._ended = False
        self._is_closing = False
        self.is_tls = writer.get_extra_info("ssl_object") is not None
        self.client: Address = None
        self.server: Address = None

    async def run(self) -> None:
        watching = asyncio.create_task(self._watch_idle())
        try:
            sock = self._writer.get_extra_info("socket")
            self.client, self.server = _address(sock, sock.getpeername()), _address(sock, sock.getsockname())
            async with self._requests:
                await self._begin()
                await self._read_all()
        finally:
            watching.cancel()
            await self._close()
            await asyncio.wait({watching})

    def abort(self) -> None:
        """Cut the connection; whatever is under way is lost."""
        self._writer.transport.abort()

    def go_away(self) -> None:
        """Tell the client that requests not yet sent belong on another connection."""
        if self._protocol is not None:
            self._protocol.go_away()

    async def write(self, data: bytes) -> None:
        async with self._sending:
            try:
                self._writer.write(data)
                if self._writer.is_closing() or self._writer.transport.get_write_buffer_size():
                    async with asyncio.timeout(self._terms.write_timeout_s):
                        await self._writer.drain()
            except (OSError, RuntimeError) as error:
                if isinstance(error, TimeoutError):
                    self.abort()
                await self._close_protocol()

    def write_soon(self, data: bytes) -> None:
        """Without waiting, while there is somebody to write to."""
        if not self._writer.is_closing():
            self._writer.write(data)

    def end_writing(self) -> None:
        """Nothing more to say. A client that is still speaking is heard out, so that it reads our answer."""
        if self._writer.is_closing() or self._protocol is None or not self._protocol.is_sent_to:
            self._writer.close()
        elif self._lingers is None:
            self._lingers = self._loop.call_later(LINGER_S, self.abort)
            if self._writer.can_write_eof():
                self._writer.write_eof()

    def set_idle(self, is_idle: bool) -> None:
        self._idle_since = self._loop.time() if is_idle else None
        if is_idle and self._terms.ended.is_set():
            self._close_idle()

    async def _begin(self) -> None:
        """TLS clients say in the handshake what they speak, others with their first words."""
        tls = self._writer.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            await self._new_switched().begin()
        else:
            self._protocol = Http1(self, self._requests, terms=self._terms, switch=self._switch)

    async def _switch(self, connection: h11.Connection, request: h11.Request) -> None:
        await self._new_switched().go_on(connection, request)

    def _new_switched(self) -> "Switched":
        # Hypercorn: no start should wait for it.
        from expo_gateway.connection_switched import Switched

        self._protocol = switched = Switched(self, self._requests, terms=self._terms)
        return switched

    async def _read_all(self) -> None:
        while data := await self._read():
            if self._lingers is None and not self._is_closing and self._protocol is not None:
                await self._protocol.receive(data)
        self._ended = True
        await self._close_protocol()

    async def _read(self) -> bytes:
        """b"" at the end. Without a deadline: who waits for our answer is silent; the idle task watches the others."""
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            return b""

    async def _close_protocol(self) -> None:
        if self._protocol is not None:
            await self._protocol.closed()

    async def _watch_idle(self) -> None:
        """End the connection when it was idle for too long, and when it is idle at a stop.

        One task that looks at a time of day, and not a task and a timer for each request.
        """
        ended, keep_alive_s = self._terms.ended, self._terms.keep_alive_s
        while not ended.is_set() and self._idle_s() < keep_alive_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(keep_alive_s - self._idle_s()):
                    await ended.wait()
        if self._idle_since is not None:
            self._close_idle()

    def _idle_s(self) -> float:
        return 0.0 if self._idle_since is None else self._loop.time() - self._idle_since

    def _close_idle(self) -> None:
        if not self._ended:
            self._requests.spawn(self._leave)

    async def _leave(self) -> None:
        # Nothing that comes from now on is taken: it could be stored, and never answered.
        self._is_closing = True
        self.go_away()
        await self._close_protocol()
        self._writer.close()

    async def _close(self) -> None:
        if self._lingers is not None:
            self._lingers.cancel()
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        except OSError:
            self.abort()


def _address(sock: socket.socket, address: tuple[str, int]) -> Address:
    """None: not one of the internet."""
    return (address[0], address[1]) if sock.family in (socket.AF_INET, socket.AF_INET6) else None
