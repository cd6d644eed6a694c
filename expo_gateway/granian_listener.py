"""The HTTP server in Rust, for whoever installs the extra `fast`: Granian, embedded in our own event loop.

It speaks HTTP/1.1, prior-knowledge HTTP/2 and, with TLS, both by ALPN. What it lacks of our own listener is listed
in docs/configuration.md. https://github.com/emmett-framework/granian
"""

import asyncio
import logging
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.doors.http import CUT
from expo_gateway.errors import CannotStart, SettingsError
from expo_gateway.listener import BACKLOG, CUT_S, max_connections
from expo_gateway.settings import Server

try:
    from granian._granian import SocketHolder
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings, HTTP2Settings
    from granian.log import LogLevels
    from granian.server.embed import Server as Embedded
except ImportError as error:
    raise SettingsError(
        "server.http: got granian, which is not installed; wanted hypercorn, "
        "or the extra `fast`: pip install 'expo-gateway[fast]'"
    ) from error

log = logging.getLogger(__name__)

MAX_STREAMS = 64
# Linux and macOS: a name for each that this process has open.
OPEN_FILES = "/dev/fd"
# Granian sets up its logs with handlers of its own, on stdout; without them its lines come to ours.
_LOGS = {"incremental": True, "handlers": {}, "loggers": {"_granian": {}}}


TlsFiles = tuple[Path, Path]
"""PEM: a certificate with its issuers, and its key."""


class _OnSocket(Embedded):
    """Granian on a socket of ours: it would bind one itself, and tell nobody its port."""

    def __init__(self, sock: socket.socket, **options: Any) -> None:
        super().__init__(**options)
        self._sock = sock

    def _init_shared_socket(self) -> None:
        # It closes what it is given.
        holder: Any = SocketHolder
        self._shd = holder(os.dup(self._sock.fileno()), False, BACKLOG)

    def stop(self) -> None:
        """What its own handler of signals does: no new connections, and an end after the last."""
        self.interrupt_signal = True
        self.main_loop_interrupt.set()


@asynccontextmanager
async def serving_by_granian(
    app: ASGIApp, *, sockets: Sequence[socket.socket], tls: TlsFiles | None, settings: Server
) -> AsyncIterator[None]:
    """Inside, clients are served. At the end nobody new is; who is being served gets `settings.drain_s`.

    A client that has not been answered by then is cut off at the end of the process, which is to be `leave`.
    CannotStart: a server has ended by itself; whoever is inside is cancelled first.
    """
    for sock in sockets:
        sock.listen(BACKLOG)
    requests = _Requests(app)
    servers = [_on(sock, requests, tls=tls, settings=settings) for sock in sockets]
    running = [asyncio.create_task(server.serve(), name="granian") for server in servers]
    # It starts in its first step.
    await asyncio.sleep(0)
    try:
        async with _ending_with(running):
            yield
    finally:
        for sock, server in zip(sockets, servers, strict=True):
            sock.close()
            server.stop()
        _, late = await asyncio.wait(running, timeout=max(settings.drain_s, 0.1))
        if late:
            log.warning("some connections were still busy after %g seconds and are cut", settings.drain_s)
            await requests.cut()


@asynccontextmanager
async def _ending_with(running: Sequence["asyncio.Task[None]"]) -> AsyncIterator[None]:
    """Inside, all of these run. When one ends, so does whoever is inside, by what it failed for or by CannotStart."""
    inside = asyncio.current_task()
    assert inside is not None
    fallen: list[asyncio.Task[None]] = []

    def fell(task: asyncio.Task[None]) -> None:
        fallen.append(task)
        inside.cancel()

    for task in running:
        task.add_done_callback(fell)
    try:
        yield
    except asyncio.CancelledError:
        if not fallen or inside.uncancel() > 0:
            raise
        if not fallen[0].cancelled():
            fallen[0].result()
        raise CannotStart("Granian has ended by itself and serves nobody any more; start the gateway again") from None
    finally:
        for task in running:
            task.remove_done_callback(fell)


class _Requests:
    """The app, and the tasks that Granian runs it in, which nobody else could end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[object]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        scope[CUT] = partial(end_connection, tuple(map(str, scope.get("client") or ())))
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            log.debug("a request was cut")
        finally:
            self._tasks.discard(task)

    async def cut(self) -> None:
        cut = set(self._tasks)
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut, timeout=CUT_S)


def end_connection(client: tuple[str, ...]) -> None:
    """Shut down the connection of this process that has `client`, host and port, at its other end.

    Granian keeps its sockets to itself, so it is looked for among all files that are open. Where they can't be listed
    nothing happens, and the client gets the 500 of an app that said nothing.
    """
    with suppress(OSError):
        for name in os.listdir(OPEN_FILES):
            if _has_shut_down(int(name), client):
                return


def _has_shut_down(fd: int, client: tuple[str, ...]) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return False
        # Its own end is that of a copy: to close what is Granian's is not ours.
        with socket.socket(fileno=os.dup(fd)) as sock:
            # Granian has the port as text.
            if tuple(map(str, sock.getpeername()[:2])) != client:
                return False
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # closed meanwhile, or one without another end
        return False
    return True


def leave(code: int) -> None:
    """End the process without taking the interpreter down: Granian's threads abort when they meet that."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    logging.shutdown()
    os._exit(code)


def _on(sock: socket.socket, app: ASGIApp, *, tls: TlsFiles | None, settings: Server) -> _OnSocket:
    return _OnSocket(
        sock,
        target=app,
        # Without lifespan: our own comes before and after.
        interface=Interfaces.ASGINL,
        http=HTTPModes.auto,
        websockets=False,
        backlog=BACKLOG,
        # Connections at a time; those beyond it wait for their turn.
        backpressure=max_connections(),
        http1_settings=HTTP1Settings(header_read_timeout=int(settings.keep_alive_s * 1000)),
        http2_settings=HTTP2Settings(
            max_concurrent_streams=MAX_STREAMS,
            # Asked after this time, a client that is gone is found out.
            keep_alive_interval=int(settings.keep_alive_s * 1000),
            max_headers_size=64 * 1024,
        ),
        log_dictconfig=_LOGS,
        log_level=LogLevels.error,
        ssl_cert=tls[0] if tls is not None else None,
        ssl_key=tls[1] if tls is not None else None,
        ssl_protocol_min=SSLProtocols.tls12,
    )
