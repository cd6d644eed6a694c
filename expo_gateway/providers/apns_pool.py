"""The connections to one APNs host, and the queue before them.

First come, first served; nobody polls: a push goes out when a connection reports room.
"""

import asyncio
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass

from aioapns.connection import APNsBaseClientProtocol, APNsBaseConnectionPool

from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.providers.apns_circuit import Circuit
from expo_gateway.providers.apns_connection import ApnsConnection
from expo_gateway.providers.apns_limits import ApnsLimits
from expo_gateway.providers.apns_push import Push
from expo_gateway.providers.apns_reasons import Reply, unsent
from expo_gateway.providers.apns_token import ProviderToken

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsEndpoint:
    host: str
    port: int
    authority: str
    """The name that the certificate must bear, and `:authority`: Apple's, also where an emulator listens."""


class ApnsPool(APNsBaseConnectionPool):
    """Opens connections as they are needed, up to `limits.max_connections`. Must be made inside the running loop."""

    connections: list[ApnsConnection]  # type: ignore[assignment]
    """Those that take pushes."""

    def __init__(
        self,
        *,
        endpoint: ApnsEndpoint,
        token: ProviderToken,
        ssl_context: ssl.SSLContext,
        limits: ApnsLimits,
        jitter: Callable[[], float],
    ) -> None:
        super().__init__(max_connections=limits.max_connections)
        self.ssl_context = ssl_context
        self._endpoint = endpoint
        self._token = token
        self._limits = limits
        self._jitter = jitter
        self._circuit = Circuit(first_pause_s=limits.first_pause_s, max_pause_s=limits.max_pause_s)
        # Ordered, and a push whose sender was cancelled can be taken out of the middle.
        self._queue: OrderedDict[Push, None] = OrderedDict()
        self._opening: set[asyncio.Task[None]] = set()
        self._leaving: set[ApnsConnection] = set()
        self._tick: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: ApnsRequest) -> tuple[Reply, str]:
        """The reply, and the `authorization` that the push was sent with ("" when it was not sent)."""
        push = Push(request=request, reply=self.loop.create_future(), queued_at=self.loop.time())
        self._queue[push] = None
        self._pump()
        try:
            return await push.reply, push.authorization
        finally:
            # Only there when this send was cancelled.
            self._queue.pop(push, None)

    async def shut(self) -> None:
        """Close everything. What is queued is unsent, what is in flight uncertain."""
        self._is_closed = True
        self._refuse_queue("the provider is closed")
        if self._tick is not None:
            self._tick.cancel()
        opening = tuple(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        await self._close_connections()

    async def _close_connections(self) -> None:
        leaving = (*self.connections, *self._leaving)
        for connection in leaving:
            connection.close()
        try:
            async with asyncio.timeout(self._limits.close_timeout_s):
                for connection in leaving:
                    await connection.closed.wait()
        except TimeoutError:
            for connection in leaving:
                connection.abort()
            # The loop calls connection_lost in its next turns, whatever the peer does.
            for connection in leaving:
                await connection.closed.wait()

    # -- the queue

    def _pump(self) -> None:
        """Send what there is room for, in order; see to it that there will be room for the rest."""
        while self._queue:
            push = next(iter(self._queue))
            connection = self._with_room(len(push.request.payload))
            if connection is None:
                break
            del self._queue[push]
            connection.start(push)
        if self._queue:
            self._open_more()
            self._refuse_if_cut_off()
        if self._queue:
            self._set_tick()

    def _with_room(self, body_bytes: int) -> ApnsConnection | None:
        for connection in self.connections:
            if connection.has_room(body_bytes):
                if not connection.is_doubtful:
                    return connection
                connection.probe()
        return None

    def _refuse_queue(self, why: str) -> None:
        queue, self._queue = self._queue, OrderedDict()
        for push in queue:
            push.settle(unsent(why))

    def _refuse_if_cut_off(self) -> None:
        """No connection, and none to be hoped for soon: the senders know better than we what to do meanwhile."""
        if self._is_closed:
            self._refuse_queue("the provider is closed")
        elif not self.connections and not self._opening:
            self._refuse_queue(f"no connection to {self._endpoint.host}: {self._circuit.cause}")

    def _set_tick(self) -> None:
        """Only while somebody waits: look after the first in the queue."""
        if self._tick is None:
            first = next(iter(self._queue))
            now = self.loop.time()
            due_at = min(now + self._limits.patience_s, first.queued_at + self._limits.queue_timeout_s)
            self._tick = self.loop.call_at(due_at, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        now = self.loop.time()
        while self._queue:
            first = next(iter(self._queue))
            if now < first.queued_at + self._limits.queue_timeout_s:
                break
            del self._queue[first]
            first.settle(unsent(f"no room on any connection for {self._limits.queue_timeout_s:g} s"))
        if self._queue and now >= first.queued_at + self._limits.patience_s:
            self._open_one()
        self._pump()

    # -- the connections

    def _open_more(self) -> None:
        """As many as the queue needs, given those that will have room soon."""
        while len(self._queue) > self._coming * self._limits.max_streams and self._open_one():
            pass

    @property
    def _coming(self) -> int:
        return len(self._opening) + sum(connection.is_coming for connection in self.connections)

    def _open_one(self) -> bool:
        """Whether it was allowed."""
        if self._is_closed or len(self.connections) + len(self._opening) >= self.max_connections:
            return False
        if not self._circuit.allows(self._coming, now=self.loop.time()):
            return False
        # It outlives the delivery that it is opened for, and its log lines are not about that one.
        task = self.loop.create_task(self._open(), context=Context())
        # The pool owns it: shut() cancels and awaits it. A TaskGroup would need a task that lives as long.
        self._opening.add(task)
        return True

    async def _open(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            connection = await self.create_connection()
        except Exception as error:
            # OSError, ssl.SSLError, TimeoutError: all that a network and a resolver have.
            self._failed(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        else:
            if connection.is_leaving:
                self._failed(connection.cause)
            else:
                self.connections.append(connection)
        finally:
            self._opening.discard(task)
        self._pump()

    async def create_connection(self) -> ApnsConnection:
        """TCP, TLS and our side of the HTTP/2 greeting, in `connect_timeout_s`; the name is looked up each time."""
        async with asyncio.timeout(self._limits.connect_timeout_s):
            transport, connection = await self.loop.create_connection(
                self._new_connection,
                self._endpoint.host,
                self._endpoint.port,
                ssl=self.ssl_context,
                server_hostname=self._endpoint.authority,
                ssl_handshake_timeout=self._limits.connect_timeout_s,
                ssl_shutdown_timeout=self._limits.close_timeout_s,
            )
        tls = transport.get_extra_info("ssl_object")
        if tls.selected_alpn_protocol() != "h2":
            connection.abort()
            raise ConnectionError(f"TLS agreed on {tls.selected_alpn_protocol()!r}, wanted 'h2'")
        return connection

    def _new_connection(self) -> ApnsConnection:
        return ApnsConnection(
            authority=self._endpoint.authority,
            token=self._token,
            limits=self._limits,
            loop=self.loop,
            on_change=self._changed,
            on_lost=self.discard_connection,
        )

    def _changed(self, connection: ApnsConnection) -> None:
        if connection.has_answered and self._circuit.failures:
            self._circuit.worked()
        if connection.is_leaving and connection in self.connections:
            self._leaving.add(connection)
            self._unlist(connection)
        self._pump()

    def discard_connection(self, connection: APNsBaseClientProtocol) -> None:
        """It is over. It may never have been listed: a peer can hang up at once."""
        assert isinstance(connection, ApnsConnection)
        self._leaving.discard(connection)
        if connection in self.connections:
            self._unlist(connection)
        # One that we close ourselves is no news: runs do it each time that they are idle.
        level = logging.DEBUG if self._is_closed else logging.INFO
        log.log(level, "connection to %s is over: %s", self._endpoint.host, connection.cause)
        self._pump()

    def _unlist(self, connection: ApnsConnection) -> None:
        """One that ends before it was of any use is no better than none that could be opened.

        Else a peer that hangs up on every first push would be called again for each push in the queue, without pause.
        """
        self.connections.remove(connection)
        if not connection.has_answered:
            self._failed(connection.cause)

    def _failed(self, cause: str) -> None:
        if not self._is_closed:
            log.warning("connection to %s failed: %s", self._endpoint.host, cause)
            self._circuit.failed(cause, now=self.loop.time(), jitter=self._jitter())
