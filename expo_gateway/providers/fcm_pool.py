"""The connections to FCM of one client: kept while they are in use, opened when one is missing, never above a limit."""

import asyncio
import logging
import socket
import ssl
from typing import Any

from aiohappyeyeballs import start_connection

from expo_gateway.providers.base import Uncertain, Unsent
from expo_gateway.providers.fcm_answers import uncertain, unsent
from expo_gateway.providers.fcm_connection import FcmConnection, NoAnswer
from expo_gateway.providers.fcm_http import HttpAnswer, PostTarget

# Our choice, and aiohttp's: well below the minutes after which Google closes, which a push must not run into.
KEEP_IDLE_S = 15.0
# RFC 8305, 5: before the next address is tried beside the first.
NEXT_ADDRESS_S = 0.25
# Our choices: for TLS to say goodbye, and for all connections together.
TLS_CLOSE_S = 1.0
CLOSE_TIMEOUT_S = 5.0

CLOSED = "the provider is closed"

logger = logging.getLogger(__name__)


class FcmPool:
    """Posts to `target`, over TLS if `ssl_context` is given. Timeouts: see FcmProvider."""

    def __init__(
        self,
        *,
        target: PostTarget,
        ssl_context: ssl.SSLContext | None,
        max_connections: int,
        request_timeout_s: float,
        connect_timeout_s: float,
        keep_idle_s: float = KEEP_IDLE_S,
    ) -> None:
        self._target = target
        self._ssl_context = ssl_context
        self._max_connections = max_connections
        self._request_timeout_s = request_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._keep_idle_s = keep_idle_s
        self._slots = asyncio.Semaphore(max_connections)
        self._connecting: set[asyncio.Timeout] = set()
        self._connections: set[FcmConnection] = set()
        self._idle: list[FcmConnection] = []
        """The last used last: it is taken first, so that what is not needed grows old."""
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def post(self, body: bytes, *, bearer: str) -> HttpAnswer | Unsent | Uncertain:
        """One request on a connection of its own."""
        if self._closed:
            return unsent(CLOSED)
        if not await self._has_slot():
            return unsent("no connection was free in time")
        try:
            return await self._exchange(self._target.request(body, bearer=bearer))
        finally:
            self._slots.release()

    async def close(self) -> None:
        """What is in flight ends as Uncertain, what waits or connects as Unsent."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        now = asyncio.get_running_loop().time()
        for deadline in self._connecting:
            if not deadline.expired():
                deadline.reschedule(now)
        for connection in tuple(self._connections):
            connection.close(CLOSED)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._ended()
        except TimeoutError:
            logger.warning("connections to FCM did not close in %s s", CLOSE_TIMEOUT_S)
        finally:
            for connection in tuple(self._connections):
                connection.abort()

    async def _ended(self) -> None:
        """Nothing is under way and nothing is open any more."""
        for _ in range(self._max_connections):
            await self._slots.acquire()
        for connection in tuple(self._connections):
            await connection.gone.wait()

    async def _has_slot(self) -> bool:
        if not self._slots.locked():
            return await self._slots.acquire()  # at once: a deadline would cost more than the rest of this
        try:
            async with asyncio.timeout(self._request_timeout_s):
                return await self._slots.acquire()
        except TimeoutError:
            return False

    async def _exchange(self, request: bytes) -> HttpAnswer | Unsent | Uncertain:
        connection = self._take_idle() or await self._connected()
        if isinstance(connection, Unsent):
            return connection
        try:
            answer = await connection.ask(
                request,
                silence_s=self._request_timeout_s,
                timeout_s=self._connect_timeout_s + self._request_timeout_s,
            )
        except NoAnswer as error:
            return uncertain(str(error))
        if connection.is_free:
            self._keep(connection)
        return answer

    # -- kept connections

    def _take_idle(self) -> FcmConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_free:
                return connection
        return None

    def _keep(self, connection: FcmConnection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._keep_idle_s, self._drop_old)

    def _drop_old(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0].idle_since + self._keep_idle_s <= loop.time():
            self._idle.pop(0).close("idle")
        if self._idle:
            self._sweep = loop.call_at(self._idle[0].idle_since + self._keep_idle_s, self._drop_old)

    def _lost(self, connection: FcmConnection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    # -- new connections

    async def _connected(self) -> FcmConnection | Unsent:
        if self._closed:
            return unsent(CLOSED)
        try:
            async with asyncio.timeout(self._connect_timeout_s) as deadline:
                self._connecting.add(deadline)
                try:
                    connection = await self._connect()
                finally:
                    self._connecting.discard(deadline)
        except (OSError, UnicodeError) as error:  # also TimeoutError and TLS's; a name that can't be written for DNS
            return unsent(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        if self._closed or not connection.is_free:
            connection.abort()
            return unsent(CLOSED if self._closed else "the connection was closed at once")
        self._connections.add(connection)
        return connection

    async def _connect(self) -> FcmConnection:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(self._target.host, self._target.port, type=socket.SOCK_STREAM)
        connected = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1)
        _, connection = await loop.create_connection(
            lambda: FcmConnection(on_lost=self._lost), sock=connected, **self._tls()
        )
        return connection

    def _tls(self) -> dict[str, Any]:
        if self._ssl_context is None:
            return {}
        return {
            "ssl": self._ssl_context,
            "server_hostname": self._target.host,
            "ssl_handshake_timeout": self._connect_timeout_s,
            "ssl_shutdown_timeout": TLS_CLOSE_S,
        }
