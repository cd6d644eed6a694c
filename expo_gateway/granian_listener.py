"""The HTTP server in Rust, for whoever installs the extra `fast`: Granian, embedded in our own event loop.

It speaks HTTP/1.1, prior-knowledge HTTP/2 and, with TLS, both by ALPN. What it lacks of our own listener is listed
in docs/configuration.md. https://github.com/emmett-framework/granian
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.errors import SettingsError
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
    """
    for sock in sockets:
        sock.listen(BACKLOG)
    requests = _Requests(app)
    servers = [_on(sock, requests, tls=tls, settings=settings) for sock in sockets]
    running = [asyncio.create_task(server.serve(), name="granian") for server in servers]
    # It starts in its first step.
    await asyncio.sleep(0)
    for task in running:
        if task.done():
            task.result()
    try:
        yield
    finally:
        for sock, server in zip(sockets, servers, strict=True):
            sock.close()
            server.stop()
        _, late = await asyncio.wait(running, timeout=max(settings.drain_s, 0.1))
        if late:
            log.warning("some connections were still busy after %g seconds and are cut", settings.drain_s)
            await requests.cut()


class _Requests:
    """The app, and the tasks that Granian runs it in, which nobody else could end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[object]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
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


def leave(code: int) -> None:
    """End the process without taking the interpreter down: Granian's threads abort when they meet that."""
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
