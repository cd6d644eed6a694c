"""HTTP/2 and WebSockets, on Hypercorn's protocol code. Imported by the first connection that asks for one of them:
Hypercorn with h2 and wsproto is a quarter of a start."""

import asyncio
from typing import Any, cast

import h11
from h2.settings import SettingCodes
from hypercorn.asyncio.worker_context import EventWrapper, WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Request
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import (
    STREAM_ID,
    H2CProtocolRequiredError,
    H2ProtocolAssumedError,
    H11Protocol,
    H11WSConnection,
)
from hypercorn.typing import AppWrapper, ConnectionState, TaskGroup
from hyperframe.frame import GoAwayFrame

from expo_gateway.connection_http1 import Wire
from expo_gateway.connection_requests import MAX_WAITING, Requests
from expo_gateway.connection_terms import Headers, Terms
from expo_gateway.connection_websocket import WebSocket


class Switched:
    """One connection, from the point where it left HTTP/1.1; by ALPN that is its beginning."""

    is_sent_to = False

    def __init__(self, wire: Wire, requests: Requests, *, terms: Terms) -> None:
        self._wire = wire
        self._requests = requests
        self._terms = terms
        self._protocol: H11Protocol | H2Protocol

    async def begin(self) -> None:
        """With HTTP/2."""
        await self._begin_http2()

    async def go_on(self, connection: h11.Connection, request: h11.Request) -> None:
        """With a request that wants another protocol."""
        self._protocol = upgrading = self._made(_Upgrading)
        upgrading.connection = connection
        try:
            await upgrading._check_protocol(request)
        except H2ProtocolAssumedError as prior_knowledge:
            await self._begin_http2(prior_knowledge.data)
        except H2CProtocolRequiredError as upgrade:
            await self._begin_http2(upgrade.data, headers=upgrade.headers, settings=upgrade.settings)
        else:
            await upgrading._create_stream(request)
            await upgrading._handle_events()

    async def receive(self, data: bytes) -> None:
        await self._protocol.handle(RawData(data))

    async def closed(self) -> None:
        await self._protocol.handle(Closed())

    def go_away(self) -> None:
        """Tell an HTTP/2 client that requests not yet sent belong on another connection. RFC 9113, section 6.8.

        Not through h2, which takes it for the end of the requests under way too.
        """
        if isinstance(self._protocol, H2Protocol):
            last_stream_id = self._protocol.connection.highest_inbound_stream_id
            self._wire.write_soon(GoAwayFrame(0, last_stream_id=last_stream_id).serialize())

    def _made(self, protocol: type[Any]) -> Any:
        return protocol(
            cast(AppWrapper, None),  # `Requests` has the app.
            _config(self._terms),
            _Context(self._terms),
            cast(TaskGroup, self._requests),
            ConnectionState({}),
            self._wire.is_tls,
            self._wire.client,
            self._wire.server,
            self._send,
        )

    async def _begin_http2(
        self, data: bytes = b"", *, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        self._protocol = protocol = self._made(H2Protocol)
        # What still comes for a stream that is answered is dropped.
        protocol.streams = _Streams()
        # WebSockets are HTTP/1.1's: see connection_websocket.py. RFC 8441.
        del protocol.connection.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]
        await protocol.initiate(headers, settings)
        if protocol.idle:
            # The preface was taken for a request of HTTP/1.1, which stopped the idle time.
            self._wire.set_idle(True)
        if data:
            await protocol.handle(RawData(data))

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._wire.write(event.data)
        elif isinstance(event, Closed):
            self._wire.end_writing()
        elif isinstance(event, Updated):
            self._wire.set_idle(event.idle)


class _Upgrading(H11Protocol):
    """Hypercorn's, but for what a WebSocket is."""

    async def _create_stream(self, request: h11.Request) -> None:
        self.stream = WebSocket(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        self.connection = H11WSConnection(cast(h11.Connection, self.connection))
        asked = Request(
            stream_id=STREAM_ID,
            headers=list(request.headers),
            http_version=request.http_version.decode(),
            method="GET",
            raw_path=request.target,
            state=self.connection_state,
        )
        await self.stream.handle(asked)


class _Streams(dict[int, Any]):
    """HTTP/2 streams under way."""

    def __missing__(self, stream_id: int) -> "_Answered":
        return _Answered()


class _Answered:
    async def handle(self, event: object) -> None:
        """Nobody reads it any more."""


class _Context(WorkerContext):
    """Hypercorn's, where connections end when ours do."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(None)
        self.terminated = _Event(terms.ended)


class _Event(EventWrapper):
    def __init__(self, event: asyncio.Event) -> None:
        self._event = event


class _Config(Config):
    """Hypercorn's, with the traps closed that are settings."""

    def __init__(self, terms: Terms) -> None:
        super().__init__()
        self._terms = terms

    def response_headers(self, protocol: str) -> Headers:
        return self._terms.http1_headers() if protocol == "h11" else super().response_headers(protocol)


def _config(terms: Terms) -> _Config:
    config = _Config(terms)
    config.errorlog = None
    # doors/requests.py writes it, with the request's id.
    config.accesslog = None
    config.include_server_header = False
    # At this number HTTP/2 requests in flight get no answer, so it is out of reach.
    config.keep_alive_max_requests = 10**9
    config.h2_max_concurrent_streams = 64
    config.max_app_queue_size = MAX_WAITING
    return config
