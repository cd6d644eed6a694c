"""One listening port on Hypercorn inside a loop that others use too: no signals, no access log, a bounded stop.

`hypercorn.asyncio.serve` is not used, but the connection class under it: `serve` can't be told to cut one connection (a
fault needs that), and from Python 3.12 on it waits without limit for connections to end when it stops
(https://github.com/pgjones/hypercorn/issues/308).
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import Framework, LifespanState
from hypercorn.utils import wrap_app

from expo_gateway.emulators.cutting import cut

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

CONNECTION = "expo_gateway.connection"
"""Key in `scope["state"]` of the request's `Connection`."""

# Our choices. Google's front ends keep an idle connection for some four minutes; a request that a fault holds ends with
# the connection's read timeout at the latest.
KEEP_ALIVE_S = 240
READ_TIMEOUT_S = 600
# Our choice: requests are judged in milliseconds and held ones are cut first, so that only a body that never ends or a
# client that never reads is left. `close` waits this long up to three times.
CLOSE_GRACE_S = 0.5

logger = logging.getLogger(__name__)


@dataclass(slots=True, weakref_slot=True, eq=False)
class Connection:
    """What an application can do to the connection of a request."""

    transport: asyncio.WriteTransport

    def cut(self, *, reset: bool = False) -> None:
        cut(self.transport, reset=reset)


class Listener:
    """Serves `app` on one port, HTTP/1.1 and HTTP/2: over TLS by ALPN, without it by prior knowledge or upgrade."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = wrap_app(cast(Framework, app), 0, "asgi")
        self._config = _config()
        self._context = WorkerContext(None)
        self._connections: dict[asyncio.Task[None], asyncio.WriteTransport] = {}
        self._server: asyncio.Server | None = None
        self._scheme = "http"
        self._host = ""

    @property
    def port(self) -> int:
        """The bound port. RuntimeError before `start`."""
        if self._server is None or not self._server.sockets:
            raise RuntimeError("the listener has no port: it is not started, or closed")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self.port}"

    async def start(
        self, host: str, port: int, tls: ssl.SSLContext | None, *, sock: socket.socket | None = None
    ) -> None:
        """OSError when the address is taken. With TLS, the context's ALPN must offer `h2` for HTTP/2.

        `sock` is bound to `host`, and used in place of a new one.
        """
        if self._server is not None:
            raise RuntimeError("the listener is started already")
        self._host = host
        self._scheme = "http" if tls is None else "https"
        self._context = WorkerContext(None)
        start = partial(asyncio.start_server, self._serve, ssl=tls, backlog=self._config.backlog)
        self._server = await (start(sock=sock) if sock is not None else start(host, port))

    async def close(self) -> None:
        """No more connections; idle ones close, busy ones get CLOSE_GRACE_S. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        await self._context.terminated.set()
        await self._wait(CLOSE_GRACE_S)
        for transport in self._connections.values():
            transport.abort()
        await self._wait(CLOSE_GRACE_S)
        for task in self._connections:
            task.cancel()
        await self._wait(CLOSE_GRACE_S)

    async def _wait(self, timeout_s: float) -> None:
        if self._connections:
            await asyncio.wait(self._connections, timeout=timeout_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, in the task that asyncio.start_server made for it."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._connections[task] = writer.transport
        state = cast(LifespanState, {CONNECTION: Connection(writer.transport)})
        loop = asyncio.get_running_loop()
        try:
            await _Served(self._app, loop, self._config, self._context, state, reader, writer)
        except asyncio.CancelledError:
            # Only `close` cancels, and asyncio would report this task's cancellation as an error.
            logger.debug("a connection was still open when its listener closed")
        finally:
            del self._connections[task]


class _Served(TCPServer):
    """Hypercorn's keeps the socket of an idle client that has left until its keep-alive time is over."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


def _config() -> Config:
    config = Config()
    config.errorlog = logger
    config.accesslog = None
    config.include_server_header = False
    config.h11_pass_raw_headers = True
    config.h2_max_concurrent_streams = 256
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.read_timeout = READ_TIMEOUT_S
    # At its limit Hypercorn closes an HTTP/2 connection without answering what is in flight.
    config.keep_alive_max_requests = 10**9
    return config
