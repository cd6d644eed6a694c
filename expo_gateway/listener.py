"""Sockets, and the HTTP server on them: HTTP/1.1 and prior-knowledge HTTP/2; with TLS, both by ALPN.

`hypercorn.asyncio.serve` is not used: from Python 3.12 on it waits without limit for connections to end
(https://github.com/pgjones/hypercorn/issues/308), and its connections are not ours (`connection.py`).
"""

import asyncio
import errno
import logging
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from starlette.types import ASGIApp

from expo_gateway.connection_terms import Terms
from expo_gateway.errors import CannotStart, SettingsError
from expo_gateway.settings import Server

if sys.platform != "win32":
    import resource
if TYPE_CHECKING:
    from expo_gateway.connection import Connection

log = logging.getLogger(__name__)

# Our choice: a burst of connections waits for the loop instead of for the client's next SYN, a second later.
BACKLOG = 1024
# Our choice: a busy loop reads so late what has been on its way.
LAST_WORDS_S = 0.3
# Our choice: some 200 MB of idle connections. Whoever comes when all are taken is cut off.
MAX_CONNECTIONS = 10_000
HANDSHAKE_S = 10.0
TLS_CLOSE_S = 3.0
# What is still there after the drain is cut; this long it gets to notice.
CUT_S = 1.0


class Served(Struct, frozen=True, kw_only=True):
    """What listens where, and speaks what."""

    app: ASGIApp
    sock: socket.socket
    tls: ssl.SSLContext | None


@asynccontextmanager
async def serving(
    app: ASGIApp,
    *,
    sockets: Sequence[socket.socket],
    tls: ssl.SSLContext | None,
    settings: Server,
    also: Sequence[Served] = (),
) -> AsyncIterator[None]:
    """Inside, clients are served. At the end nobody new is; who is being served gets `settings.drain_s`.

    `also` is served and drained in the same way. The apps' lifespan is their own affair: who opened them closes them.
    CannotStart: the port was taken after `bind`.
    """
    listener = _Listener(Terms(keep_alive_s=settings.keep_alive_s, write_timeout_s=settings.write_timeout_s))
    main = [Served(app=app, sock=sock, tls=tls) for sock in sockets]
    servers: list[asyncio.Server] = []
    trouble: Exception | None = None
    async with asyncio.TaskGroup() as connections:
        try:
            for each in (*main, *also):
                servers.append(await listener.listen(each, connections))
            yield
        except Exception as error:
            # Raised in here it would come out as a group.
            trouble = error
        finally:
            for server in servers:
                server.close()
            await listener.drain(settings.drain_s)
    if trouble is not None:
        raise trouble


class _Listener:
    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._max_connections = max_connections()

    async def listen(self, served: Served, connections: asyncio.TaskGroup) -> asyncio.Server:
        # h11: where Granian listens, nobody needs it.
        from expo_gateway.connection import Connection

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self._connections) >= self._max_connections:
                writer.transport.abort()
                return
            connection = Connection(served.app, terms=self._terms, reader=reader, writer=writer)
            task = connections.create_task(_guarded(connection))
            self._connections[task] = connection
            task.add_done_callback(self._connections.pop)

        try:
            return await asyncio.start_server(
                connected,
                sock=served.sock,
                ssl=served.tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE_S if served.tls is not None else None,
                ssl_shutdown_timeout=TLS_CLOSE_S if served.tls is not None else None,
            )
        except OSError as error:
            raise _cannot_bind(error, *served.sock.getsockname()[:2]) from error

    async def drain(self, drain_s: float) -> None:
        """Idle connections close now, busy ones after their answers, and after `drain_s` whoever is left."""
        self._terms.draining = True
        for connection in self._connections.values():
            connection.go_away()
        # What clients have said already is read and answered before idle connections close.
        await self._wait(min(LAST_WORDS_S, drain_s))
        self._terms.ended.set()
        await self._wait(drain_s)
        if self._connections:
            log.warning("%d connections were still busy after %g seconds and are cut", len(self._connections), drain_s)
        for connection in self._connections.values():
            connection.abort()
        await self._wait(CUT_S)
        for task in self._connections:
            task.cancel()

    async def _wait(self, timeout_s: float) -> None:
        if self._connections:
            await asyncio.wait(self._connections, timeout=timeout_s)


def max_connections() -> int:
    """Half of the files that this process may open: the stores, emulators and providers need some too."""
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files // 2)


async def _guarded(connection: "Connection") -> None:
    """A client's nonsense, or a bug under us, ends its connection and no other."""
    try:
        await connection.run()
    except* OSError:
        log.debug("a client's connection broke")
    except* Exception as errors:
        log.warning("a connection failed: %r", errors.exceptions)
        log.debug("where it failed", exc_info=errors)


def bind_for_each(count: int, host: str, port: int, *, option: str = "--port") -> list[list[socket.socket]]:
    """What `bind` gives, for each of several processes, all on one port: the kernel shares out the connections.

    Linux does so evenly; elsewhere one process may get them all. SettingsError, CannotStart.
    """
    # Without sharing first: else the port of another gateway with workers would be joined and not refused.
    probe = bind(host, port, option=option)
    port = probe[0].getsockname()[1]
    close_all(probe)
    bound: list[list[socket.socket]] = []
    try:
        for _ in range(count):
            bound.append(bind(host, port, option=option, shared=True))
    except BaseException:
        for sockets in bound:
            close_all(sockets)
        raise
    return bound


def bind_anew(sockets: Sequence[socket.socket]) -> list[socket.socket]:
    """The same addresses as those of `bind_for_each`, which still have them: not listening yet. OSError."""
    anew: list[socket.socket] = []
    try:
        for sock in sockets:
            anew.append(_bound(sock.family, sock.getsockname()[:2], shared=True))
    except OSError:
        close_all(anew)
        raise
    return anew


def bind(host: str, port: int, *, option: str = "--port", shared: bool = False) -> list[socket.socket]:
    """Sockets for every address of `host`, all on one port, not listening yet. Port 0 takes a free one.

    `option` is what chooses another port; `shared` sockets let others have the same. SettingsError, CannotStart.
    """
    try:
        # As text every name is sent through IDNA first, whose tables cost 1 % of a start.
        name = host.encode("ascii") if host.isascii() else host
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise SettingsError(
            f"server.host: got {host!r}, which has no address; wanted a name or address of this machine"
        ) from error
    sockets: list[socket.socket] = []
    for family, _, _, _, address in found:
        at = (str(address[0]), sockets[0].getsockname()[1] if sockets else port)
        try:
            sockets.append(_bound(family, at, shared=shared))
        except OSError as error:
            # "localhost" may mean ::1 too, on a machine without IPv6.
            if sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            close_all(sockets)
            raise _cannot_bind(error, *at, option=option) from error
    return sockets


def _bound(family: int, address: tuple[str, int], *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # asyncio does this for sockets that it makes itself only: an answer must not wait for an acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A client that vanished while it waits for an answer is found out by the kernel.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _cannot_bind(error: OSError, host: str, port: int, *, option: str = "--port") -> Exception:
    if error.errno == errno.EADDRINUSE:
        return CannotStart(
            f"port {port} on {host} is taken by another program; stop it, or choose another with {option} (0 takes any)"
        )
    if error.errno == errno.EACCES:
        return CannotStart(f"port {port} may not be taken by this user; choose one from 1024 up with {option}")
    return SettingsError(f"server.host: got {host!r} ({error.strerror}); wanted an address of this machine")


def close_all(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def url_of(host: str, sockets: Sequence[socket.socket], *, tls: bool) -> str:
    """Where a client on this machine reaches us; loopback when we listen on every address."""
    port = sockets[0].getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
