"""The APNs emulator: a listener that Apple's own clients can't tell from api.push.apple.com.

It speaks HTTP/2 through h2 and is no ASGI application, since what matters most in testing a push client is what ASGI
can't say: GOAWAY, RST_STREAM, stream limits, windows, a 200 that is one HEADERS frame.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection
from functools import partial

from expo_gateway.emulators.apns_certificates import TrustedCertificate, TrustedCertificates
from expo_gateway.emulators.apns_connection import ApnsConnection, ConnectionRules
from expo_gateway.emulators.apns_decisions import ApnsDecisions, ApnsWorlds, made_id
from expo_gateway.emulators.apns_http2 import MAX_STREAMS
from expo_gateway.emulators.apns_provider_tokens import Environment, ProviderTokens
from expo_gateway.emulators.world import EmulatedWorld, removed_world

# Our choices. A client that floods gets its connections closed; the rest of the process must go on.
MAX_CONNECTIONS = 1000
HANDSHAKE_S = 10.0
TLS_CLOSE_S = 1.0
# How long close() waits for answers that are still due.
CLOSE_S = 2.0
# Accepting failed: no file descriptors left. They come back when connections end.
ACCEPT_PAUSE_S = 0.1


class ApnsEmulator:
    """APNs on one port, for both environments: the host that the client addresses says which.

    api.sandbox.push.apple.com and api.development.push.apple.com are the sandbox, every other name or address is
    production. `ssl_context` offers ALPN "h2" only (`EmulatorTls.server_context(("h2",))`).

    `world` is the default one. Others are told apart by the key of the provider token; what has a key that nobody made
    known is the default world's.

    Strict switches, for what breaks clients in production but hinders casual tests: `known_keys_only` (InvalidProvider-
    Token for keys not given to `trust_key`), `strict_streams` (one stream until a valid provider token was seen),
    `strict_token_updates` (TooManyProviderTokenUpdates), `real_window` (a connection window of 65,535 bytes); and
    `VirtualDevices(known_only=True)`.
    """

    def __init__(
        self,
        *,
        world: EmulatedWorld,
        ssl_context: ssl.SSLContext,
        known_keys_only: bool = False,
        strict_streams: bool = False,
        strict_token_updates: bool = False,
        real_window: bool = False,
        max_streams: int = MAX_STREAMS,
        max_connections: int = MAX_CONNECTIONS,
        make_id: Callable[[], str] = made_id,
    ) -> None:
        self._provider_tokens = ProviderTokens(known_keys_only=known_keys_only)
        self._certificates = TrustedCertificates(ssl_context)
        self._make_id = make_id
        self._worlds = ApnsWorlds(
            default=self._decisions_of(world),
            removed=self._decisions_of(removed_world(world.clock)),
            certificates=self._certificates,
        )
        self._rules = ConnectionRules(
            max_streams=max_streams,
            strict_streams=strict_streams,
            strict_token_updates=strict_token_updates,
            real_window=real_window,
        )
        self._ssl_context = ssl_context
        self._max_connections = max_connections
        self._connections: set[ApnsConnection] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def trust_key(
        self,
        *,
        key_id: str,
        team_id: str,
        public_key_pem: str | bytes,
        environment: Environment | None = None,
        topics: Collection[str] | None = None,
    ) -> None:
        """Check the signatures of this key from now on, and its limits to an environment or to bundle ids.

        ValueError unless it is a P-256 public key in PEM. Tokens of other keys: see `ProviderTokens`.
        """
        self._provider_tokens.trust_key(
            key_id=key_id, team_id=team_id, public_key_pem=public_key_pem, environment=environment, topics=topics
        )

    def trust_certificate(
        self,
        certificate_pem: str | bytes,
        *,
        environment: Environment | None = None,
        topics: Collection[str] | None = None,
    ) -> None:
        """Let clients say with this certificate who they are, and ask for it in every new connection.

        ValueError unless there is a certificate in the PEM. What is unknown, TLS refuses. Changes `ssl_context`.
        """
        limits = TrustedCertificate(environment=environment, topics=None if topics is None else frozenset(topics))
        self._certificates.trust(certificate_pem, certificate=limits)

    def add_world(self, world: EmulatedWorld, *, key_id: str, team_id: str, public_key_pem: str | bytes) -> None:
        """Pushes with this key are the world's from now on, and their signatures are checked.

        ValueError: another world has the key, or it is no P-256 public key in PEM.
        """
        self._worlds.add(key_id, self._decisions_of(world))
        try:
            self.trust_key(key_id=key_id, team_id=team_id, public_key_pem=public_key_pem)
        except ValueError:
            self._worlds.remove(key_id)
            raise

    def remove_world(self, key_id: str) -> None:
        """Ends the world's connections; pushes with its key are refused from now on. Harmless when it is gone."""
        decisions = self._worlds.remove(key_id)
        if decisions is None:
            return
        self._provider_tokens.forget_key(key_id)
        for connection in tuple(self._connections):
            if connection.belongs_to(decisions):
                connection.end()

    def _decisions_of(self, world: EmulatedWorld) -> ApnsDecisions:
        return ApnsDecisions(world=world, provider_tokens=self._provider_tokens, make_id=self._make_id)

    @property
    def port(self) -> int:
        if self._listener is None:
            raise RuntimeError("the APNs emulator has no port: it is not started")
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, sock: socket.socket | None = None) -> None:
        """Listen on the first address that `host` stands for, or accept on `sock`, which listens. OSError when that
        can't be."""
        if self._listener is not None:
            raise RuntimeError("the APNs emulator is already started")
        self._listener = sock if sock is not None else await _listening(host, port)
        # asyncio does this for sockets that it makes itself only: an answer must not wait for an acknowledgement.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.setblocking(False)
        self._stopping.clear()
        self._running = asyncio.create_task(self._run(self._listener), name="apns-emulator")

    async def close(self) -> None:
        """Stop listening, send GOAWAY, give due answers `CLOSE_S` to go out, then cut. Harmless when repeated."""
        if self._listener is None or self._running is None:
            return
        running, self._running, self._listener = self._running, None, None
        self._stopping.set()
        for handshake in self._handshakes:
            handshake.cancel()
        for connection in tuple(self._connections):
            connection.shut_down()
        try:
            await asyncio.wait({running}, timeout=CLOSE_S)
        finally:
            running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()

    async def _run(self, listener: socket.socket) -> None:
        """Owns every task of the emulator."""
        with listener:
            async with asyncio.TaskGroup() as group:
                accepting = group.create_task(self._accept(listener, group))
                await self._stopping.wait()
                accepting.cancel()

    async def _accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            if len(self._connections) + len(self._handshakes) >= self._max_connections:
                accepted.close()
                continue
            connection = ApnsConnection(worlds=self._worlds, rules=self._rules, loop=loop)
            handshake = group.create_task(self._shake_hands(connection, accepted, group))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)
            # A task that is cancelled before its first step never makes a transport, which else would own the socket.
            handshake.add_done_callback(partial(_close_unowned, accepted))

    async def _shake_hands(self, connection: ApnsConnection, accepted: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._ssl_context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=TLS_CLOSE_S,
            )
        except OSError:  # the client doesn't trust us, or left
            return
        except asyncio.CancelledError:
            await connection.cut()
            raise
        if connection.is_made:  # else it left at the last moment
            self._connections.add(connection)
            group.create_task(self._attend(connection))

    async def _attend(self, connection: ApnsConnection) -> None:
        try:
            await connection.closed.wait()
        finally:
            self._connections.discard(connection)
            await connection.cut()


async def _listening(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = addresses[0]
    return socket.create_server(address, family=family, backlog=1024)


def _close_unowned(accepted: socket.socket, handshake: asyncio.Task[None]) -> None:
    if handshake.cancelled():
        accepted.close()
