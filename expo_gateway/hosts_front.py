"""Several hosts on one port: the name in a client's TLS greeting says which, and the forward proxy leads there.

    python -m expo_gateway.hosts_front 0.0.0.0:443 gateway:8081

For a container whose network aliases are exp.host and the providers' names (docker-compose.yml). Nothing is decrypted
here, and which names lead somewhere is the proxy's decision. RFC 6066, section 3; RFC 9110, section 9.3.6.
"""

import asyncio
import logging
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from expo_gateway.forward_proxy import Limits, Splice

log = logging.getLogger(__name__)

HTTPS = 443
# A greeting may take several records; browsers' are the longest, with some 2 KB.
MAX_GREETING_BYTES = 16_384
MAX_CONNECTIONS = 512

Address = tuple[str, int]


class NoHost(Exception):
    """The client did not say which host it wants, or not in TLS."""


def host_in(greeting: bytes) -> str | None:
    """The host name that a ClientHello asks for; None while it is not complete. Raises NoHost."""
    names: list[str | None] = []

    def seen(_connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int:
        names.append(name)
        return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)  # enough was said: the handshake is somebody else's

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = seen
    incoming = ssl.MemoryBIO()
    incoming.write(greeting)
    try:
        context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    except ssl.SSLWantReadError:
        return None
    except ssl.SSLError:
        if names and names[0]:
            return names[0]
    raise NoHost("the client greeted without a host name" if names else "the client does not speak TLS")


@asynccontextmanager
async def fronting(listen: Address, proxy: Address, *, limits: Limits | None = None) -> AsyncIterator[int]:
    """Inside, clients are served; the value is the port. At the end open connections are cut."""
    front = _Front(proxy, limits=limits or Limits(connections=MAX_CONNECTIONS))
    async with asyncio.TaskGroup() as connections:
        server = await asyncio.start_server(
            lambda reader, writer: front.connected(connections, reader, writer), *listen, backlog=128
        )
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            front.cut()


class _Front:
    def __init__(self, proxy: Address, *, limits: Limits) -> None:
        self._proxy = proxy
        self._limits = limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def connected(self, connections: asyncio.TaskGroup, reader: StreamReader, writer: StreamWriter) -> None:
        if self._closed or len(self._tasks) >= self._limits.connections:
            writer.transport.abort()
            return
        task = connections.create_task(self._guarded(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def _guarded(self, reader: StreamReader, writer: StreamWriter) -> None:
        """A client's nonsense ends its connection and no other."""
        try:
            await self._serve(reader, writer)
        except NoHost as error:
            log.warning("a connection was refused: %s", error)
        except OSError:
            log.debug("a connection broke, or took too long")
        except Exception:
            log.exception("a connection failed")
        finally:
            writer.transport.abort()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        async with asyncio.timeout(self._limits.head_s):
            host, greeting = await _read_greeting(reader)
        async with asyncio.timeout(self._limits.answer_s):
            inner_reader, inner_writer = await asyncio.open_connection(*self._proxy)
        try:
            async with asyncio.timeout(self._limits.answer_s):
                refusal = await _ask(inner_reader, inner_writer, host)
            if refusal:
                log.warning("the proxy does not lead to %s: %s", host, refusal)
                return
            inner_writer.write(greeting)
            await Splice(self._limits).run((reader, writer), (inner_reader, inner_writer))
        finally:
            inner_writer.transport.abort()


async def _read_greeting(reader: StreamReader) -> tuple[str, bytes]:
    """The host, and all that was read. Raises NoHost, TimeoutError from around it."""
    greeting = b""
    while len(greeting) < MAX_GREETING_BYTES and (more := await reader.read(4096)):
        greeting += more
        host = host_in(greeting)
        if host is not None:
            return host, greeting
    raise NoHost(f"the greeting has no end within {len(greeting)} bytes")


async def _ask(reader: StreamReader, writer: StreamWriter, host: str) -> str:
    """Ask the proxy for a tunnel. "" when it is there, else the status line of the refusal."""
    target = f"{host}:{HTTPS}"
    writer.write(f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode("ascii"))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return "no answer"
    status_line = head.partition(b"\r\n")[0].decode("latin-1")
    return "" if status_line.split(" ")[1:2] == ["200"] else status_line


def address_of(text: str) -> Address:
    """ "gateway:8081" -> ("gateway", 8081). Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit()):
        raise ValueError(f"got {text!r}; wanted host:port")
    return host.strip("[]"), int(port)


async def _run(listen: Address, proxy: Address) -> None:
    async with fronting(listen, proxy) as port:
        print(f"listening on {listen[0]}:{port} for {proxy[0]}:{proxy[1]}", flush=True)
        await asyncio.Event().wait()


def main(arguments: Sequence[str]) -> int:
    """Until it is killed: there is nothing to drain."""
    try:
        listen, proxy = (address_of(text) for text in arguments)
    except ValueError:
        print("usage: python -m expo_gateway.hosts_front LISTEN_HOST:PORT PROXY_HOST:PORT", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        asyncio.run(_run(listen, proxy))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"hosts_front: can't listen on {listen[0]}:{listen[1]}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
