"""A forward proxy whose tunnels end in this process: CONNECT (RFC 9110, section 9.3.6), and whole URLs as targets.

A client with `https://exp.host` written into it is sent here by HTTPS_PROXY; what it takes for exp.host is our own TLS.
Nothing is ever opened but connections to the loopback addresses handed in; whatever else is asked for is refused.
"""

import asyncio
import logging
import re
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

log = logging.getLogger(__name__)

Port = int
Target = tuple[str, Port]
"""Host in lower case, port: ("exp.host", 443)."""

LOOPBACK = "127.0.0.1"
BACKLOG = 128
_CONNECT = b"CONNECT "
_AUTHORITY = re.compile(r"([^\s:/@]+?)\.?:(\d{1,5})")
_REQUEST_LINE = re.compile(rb"CONNECT +(\S+) +HTTP/1\.[0-9]")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_ESTABLISHED = b"HTTP/1.1 200 Connection Established\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All our choice."""

    head_bytes: int = 16_384
    head_s: float = 10.0
    # APNs clients keep a connection for hours, but none that is worth keeping is silent for so long.
    idle_s: float = 600.0
    # One side is done: the other gets to say the rest.
    half_closed_s: float = 30.0
    # To ourselves, or to write a few words.
    answer_s: float = 5.0
    connections: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The client is answered and let go."""

    status: str
    """"403 Forbidden"."""
    text: str


def route(head: bytes, tunnels: Mapping[Target, Port]) -> Port | Refusal:
    """Where on loopback the tunnel goes that a CONNECT request's head asks for. No header has a say in it."""
    line = _REQUEST_LINE.fullmatch(head.partition(b"\n")[0].rstrip(b"\r"))
    if line is None:
        return Refusal(status="400 Bad Request", text="The request line is not one of CONNECT host:port HTTP/1.1.")
    asked = line[1].decode("latin-1")
    target = target_of(asked)
    if target is None or target not in tunnels:
        return forbidden(asked, tunnels)
    return tunnels[target]


def target_of(authority: str) -> Target | None:
    """ "Exp.Host.:443" -> ("exp.host", 443). None: no host and port."""
    found = _AUTHORITY.fullmatch(authority)
    return (found[1].lower(), int(found[2])) if found is not None else None


def forbidden(asked: str, tunnels: Mapping[Target, Port]) -> Refusal:
    """Says what was asked for and what may be."""
    shown = "".join(letter if " " < letter < "\x7f" else "?" for letter in asked[:200])
    allowed = ", ".join(f"{host}:{port}" for host, port in tunnels)
    return Refusal(
        status="403 Forbidden",
        text=f"This proxy does not lead to {shown}. It never leaves its machine; it leads to {allowed}, "
        "which are the gateway and its emulators. Name other hosts in NO_PROXY.",
    )


@asynccontextmanager
async def proxying(
    *, sockets: Sequence[socket.socket], tunnels: Mapping[Target, Port], plain_port: Port, limits: Limits | None = None
) -> AsyncIterator[None]:
    """Inside, `sockets` are served. At the end nobody new is and open tunnels are cut: end their other side first.

    `tunnels` says which port on loopback plays which target. Requests other than CONNECT go to `plain_port` as they
    are, whole URL and all; who listens there judges them.
    """
    async with asyncio.TaskGroup() as connections:
        proxy = _Proxy(connections, tunnels=tunnels, plain_port=plain_port, limits=limits or Limits())
        servers = [await asyncio.start_server(proxy.connected, sock=sock, backlog=BACKLOG) for sock in sockets]
        try:
            yield
        finally:
            for server in servers:
                server.close()
            proxy.cut()


class _Proxy:
    def __init__(
        self, connections: asyncio.TaskGroup, *, tunnels: Mapping[Target, Port], plain_port: Port, limits: Limits
    ) -> None:
        self._connections = connections
        self._tunnels = tunnels
        self._plain_port = plain_port
        self._limits = limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        # Those beyond the limit get a word, but not room without end to hear it in.
        if self._closed or len(self._tasks) >= 2 * self._limits.connections:
            writer.transport.abort()
            return
        crowded = len(self._tasks) >= self._limits.connections
        # What drain() has let pass is the kernel's, and survives our abort().
        writer.transport.set_write_buffer_limits(high=0)
        task = self._connections.create_task(self._guarded(reader, writer, crowded=crowded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Not in the task: cut before it began, it would never get there.
        task.add_done_callback(lambda _: writer.transport.abort())

    def cut(self) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def _guarded(self, reader: StreamReader, writer: StreamWriter, *, crowded: bool) -> None:
        """A client's nonsense, or a bug under us, ends its connection and no other."""
        try:
            await self._serve(reader, writer, crowded=crowded)
        except OSError:
            log.debug("a client's connection broke, or took too long")
        except Exception:
            log.exception("a connection failed")

    async def _serve(self, reader: StreamReader, writer: StreamWriter, *, crowded: bool) -> None:
        if crowded:
            await self._refuse(reader, writer, _busy(f"{self._limits.connections} connections are open already"))
            return
        async with asyncio.timeout(self._limits.head_s):
            said = await _read_until_method(reader)
            if said.startswith(_CONNECT):
                said = await _read_head(reader, said, max_bytes=self._limits.head_bytes)
        if said.startswith(_CONNECT):
            await self._connect(reader, writer, said)
        elif said:
            await self._tunnel(reader, writer, port=self._plain_port, said=said)

    async def _connect(self, reader: StreamReader, writer: StreamWriter, said: bytes) -> None:
        end = _HEAD_END.search(said)
        decided = route(said[: end.start()], self._tunnels) if end is not None else _endless(len(said))
        if isinstance(decided, Refusal):
            log.debug("refused: %s", decided.text)
            await self._refuse(reader, writer, decided)
        elif end is not None:
            await self._tunnel(reader, writer, port=decided, said=said[end.end() :], answer=_ESTABLISHED)

    async def _refuse(self, reader: StreamReader, writer: StreamWriter, refusal: Refusal) -> None:
        """Answer, and hear the client out for a moment, so that it reads the answer: RFC 9112, section 9.6."""
        async with asyncio.timeout(self._limits.answer_s):
            writer.write(answer_of(refusal))
            await writer.drain()
            writer.write_eof()
            while await reader.read(65_536):
                pass

    async def _tunnel(
        self, reader: StreamReader, writer: StreamWriter, *, port: Port, said: bytes, answer: bytes = b""
    ) -> None:
        """`said` is what the client said already, `answer` what it hears before the other side."""
        try:
            async with asyncio.timeout(self._limits.answer_s):
                inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            await self._refuse(reader, writer, _busy("The gateway is stopping"))
            return
        inner_writer.transport.set_write_buffer_limits(high=0)
        try:
            inner_writer.write(said)
            writer.write(answer)
            await Splice(self._limits).run((reader, writer), (inner_reader, inner_writer))
        finally:
            inner_writer.transport.abort()


class Splice:
    """Carries bytes both ways until both sides are done, or nothing moves for too long."""

    def __init__(self, limits: Limits) -> None:
        self._quiet_s = limits.idle_s
        self._half_closed_s = limits.half_closed_s
        self._deadline = asyncio.timeout(limits.idle_s)

    async def run(self, one: tuple[StreamReader, StreamWriter], other: tuple[StreamReader, StreamWriter]) -> None:
        """TimeoutError when nothing moved."""
        async with self._deadline, asyncio.TaskGroup() as ways:
            ways.create_task(self._carry(one[0], other[1]))
            ways.create_task(self._carry(other[0], one[1]))

    async def _carry(self, source: StreamReader, sink: StreamWriter) -> None:
        """The end of `source` is passed on as the end of what `sink` hears; the other way stays open."""
        try:
            while data := await source.read(65_536):
                self._defer()
                sink.write(data)
                await sink.drain()
            sink.write_eof()
            await sink.drain()
        except OSError:
            sink.transport.abort()
        self._quiet_s = self._half_closed_s
        self._defer()

    def _defer(self) -> None:
        if not self._deadline.expired():
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._quiet_s)


async def _read_until_method(reader: StreamReader) -> bytes:
    """Enough to tell CONNECT from anything else, if the client says so much; b"" if it says nothing."""
    data = b""
    while len(data) < len(_CONNECT) and (more := await reader.read(len(_CONNECT) - len(data))):
        data += more
    return data


async def _read_head(reader: StreamReader, data: bytes, *, max_bytes: int) -> bytes:
    """`data` and on, up to the end of the head or somewhat further; without one when it is too long, or cut short."""
    while _HEAD_END.search(data) is None and len(data) < max_bytes and (more := await reader.read(4096)):
        data += more
    return data


def _endless(size_bytes: int) -> Refusal:
    text = f"The request's head has no end within {size_bytes} bytes."
    return Refusal(status="431 Request Header Fields Too Large", text=text)


def _busy(why: str) -> Refusal:
    return Refusal(status="503 Service Unavailable", text=f"{why}; try again.")


def answer_of(refusal: Refusal) -> bytes:
    """As it goes over the wire."""
    body = f"{refusal.text}\n".encode()
    head = (
        f"HTTP/1.1 {refusal.status}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
