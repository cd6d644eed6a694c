"""A small ASGI app on a real port, and bare clients of it, for the tests of connection and listener."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
from starlette.types import Receive, Scope, Send

from expo_gateway.listener import bind, serving
from expo_gateway.settings import Server

WAIT_S = 5.0
POST_HEAD = b"POST %s HTTP/1.1\r\nhost: exp.host\r\ncontent-length: %d\r\n\r\n"


@dataclass(slots=True)
class Played:
    """/held waits for `release`, /early refuses and leaves the body unread, /size counts it, /large is 8 MB, /timeout
    fails."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.arrived.set()
        answers = {"/early": self._early, "/held": self._held, "/large": self._large}
        answers |= {"/size": _size, "/timeout": _time_out}
        await answers.get(scope["path"], _hello)(receive, send)

    async def _early(self, receive: Receive, send: Send) -> None:
        await _respond(send, 413, b"too large")

    async def _held(self, receive: Receive, send: Send) -> None:
        await receive()
        released = asyncio.ensure_future(self.release.wait())
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((released, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if gone.done():
                self.left.set()
            released.cancel()
            gone.cancel()
        await _respond(send, 200, b"released")

    async def _large(self, receive: Receive, send: Send) -> None:
        try:
            await _respond(send, 200, b"x" * 8_000_000)
        except TimeoutError:
            self.cut.set()
            raise


async def _hello(receive: Receive, send: Send) -> None:
    await _respond(send, 200, b"hello")


async def _size(receive: Receive, send: Send) -> None:
    size_bytes, more = 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        size_bytes, more = size_bytes + len(event["body"]), event["more_body"]
    await _respond(send, 200, b"%d" % size_bytes)


async def _time_out(receive: Receive, send: Send) -> None:
    raise TimeoutError("something of the app's own took too long")


async def _respond(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def played(app: Played, tls: ssl.SSLContext | None = None, **settings: Any) -> AsyncIterator[int]:
    """The port of the app, served."""
    sockets = bind("127.0.0.1", 0)
    port: int = sockets[0].getsockname()[1]
    async with serving(app, sockets=sockets, tls=tls, settings=Server(**settings)):
        yield port


@asynccontextmanager
async def connect(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Up to the end of the connection, which must come soon and in order."""
    async with asyncio.timeout(WAIT_S):
        return await reader.read(-1)


async def ask(port: int, path: bytes = b"/hello") -> bytes:
    async with connect(port) as (reader, writer):
        writer.write(b"GET %s HTTP/1.1\r\nhost: exp.host\r\nconnection: close\r\n\r\n" % path)
        return await read_all(reader)


class H2Client:
    """HTTP/2 by prior knowledge, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.seen: list[h2.events.Event] = []
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def request(self, path: str, *, method: str = "POST", end: bool = False) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "exp.host")]
        self.h2.send_headers(stream_id, headers, end_stream=end)
        self.flush()
        return stream_id

    async def until(self, wanted: Callable[[h2.events.Event], bool]) -> h2.events.Event:
        """The first event that is wanted, of all that came. Fails at the end of the connection."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in self.seen:
                    if wanted(event):
                        return event
                data = await self.reader.read(65536)
                assert data, "the connection ended"
                self.seen += self.h2.receive_data(data)
                self.flush()

    async def body(self, stream_id: int) -> bytes:
        await self.until(lambda event: isinstance(event, h2.events.StreamEnded) and event.stream_id == stream_id)
        parts = [event for event in self.seen if isinstance(event, h2.events.DataReceived)]
        return b"".join(part.data or b"" for part in parts if part.stream_id == stream_id)


def small_buffers(sock: socket.socket) -> None:
    """So that a client that does not read stops its server early."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
