"""HTTP/1.1 on Hypercorn's use of h11, by a shorter way from the wire to the app and back.

Hypercorn makes an event of its own of each of h11's, looks at all headers four times, and writes head, body and end of
an answer one by one. Here a request is a scope and a task, and an answer is one write (benchmarks: a quarter of the
time of a small request). What is not plain, an upgrade, still goes Hypercorn's way; that to a WebSocket to ours.
"""

from typing import Any, cast
from urllib.parse import unquote

import h11
from hypercorn.events import Closed, RawData
from hypercorn.events import Event as WireEvent
from hypercorn.protocol.events import Body, EndBody, Event, Request, StreamClosed
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.utils import suppress_body

from expo_gateway.connection_requests import Inbound, Requests
from expo_gateway.connection_websocket import WebSocket

_ASGI = {"spec_version": "2.1", "version": "3.0"}


class Http1(H11Protocol):
    """One connection. Hypercorn calls `handle` with what the client sends."""

    async def handle(self, event: WireEvent) -> None:
        await super().handle(event)
        if isinstance(event, Closed):
            # Who has sent the next request already is waited for, and would wait for an answer that nobody gets.
            self.connection = cast(Any, _Ended())
            await self.can_read.set()

    async def _check_protocol(self, event: h11.Request) -> None:
        if _is_plain(event):
            return
        await super()._check_protocol(event)

    async def _create_stream(self, request: h11.Request) -> None:
        if not _is_plain(request):
            await (self._upgrade(request) if _is_websocket(request) else super()._create_stream(request))
            return
        exchange = Exchange(self, self._scope(request))
        self.stream = cast(Any, exchange)
        cast(Requests, self.task_group).start(exchange.scope, exchange.inbound, exchange.send)

    async def _upgrade(self, request: h11.Request) -> None:
        """As Hypercorn does it, to a WebSocket of ours."""
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

    def _scope(self, request: h11.Request) -> dict[str, Any]:
        path, _, query_string = request.target.partition(b"?")
        return {
            "type": "http",
            "http_version": request.http_version.decode(),
            "asgi": _ASGI,
            "method": request.method.decode("ascii").upper(),
            "scheme": "https" if self.ssl else "http",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query_string,
            "root_path": self.config.root_path,
            "headers": list(request.headers),
            "client": self.client,
            "server": self.server,
            "state": {},
            "extensions": {},
        }

    async def write(self, *events: h11.Event) -> None:
        """All at once: a system call for each part of an answer costs more than the part."""
        try:
            parts = [cast(h11.Connection, self.connection).send(event) for event in events]
        except h11.LocalProtocolError:
            # A client that broke the rules gets nothing more.
            if self.connection.their_state is not h11.ERROR:
                raise
        else:
            await self.send(RawData(b"".join(part for part in parts if part)))

    async def answered(self) -> None:
        """The answer is complete: on to the next request, or to the end."""
        await self._maybe_recycle()

    async def failed(self) -> None:
        """The app returned without an answer."""
        await self._send_error_response(500)
        await self._maybe_recycle()


class _Ended:
    """In the place of h11's connection once the client is gone: nothing more is read or written."""

    they_are_waiting_for_100_continue = False
    our_state = their_state = h11.CLOSED

    def next_event(self) -> object:
        return h11.NEED_DATA

    def receive_data(self, data: bytes) -> None:
        return

    def send(self, event: h11.Event) -> bytes:
        return b""


class Exchange:
    """A request and its answer. Hypercorn calls `handle`, the app's task `inbound.get` and `send`."""

    def __init__(self, protocol: Http1, scope: dict[str, Any]) -> None:
        self._protocol = protocol
        self._head: Any = None
        self._begun = False
        self._over = False
        self.scope = scope
        self.inbound = Inbound()

    async def handle(self, event: Event) -> None:
        if isinstance(event, Body):
            await self.inbound.put({"type": "http.request", "body": bytes(event.data), "more_body": True})
        elif isinstance(event, EndBody):
            self.inbound.end_body()
        elif isinstance(event, StreamClosed):
            self._over = True
            await self.inbound.put({"type": "http.disconnect"})

    async def send(self, message: Any) -> None:
        """None: the app has returned. Once the client is gone everything is thrown away."""
        if self._over:
            return
        if message is None:
            await (self._protocol.answered() if self._begun else self._protocol.failed())
        elif message["type"] == "http.response.start" and self._head is None:
            self._head = message
        elif message["type"] == "http.response.body" and self._head is not None:
            await self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"the app sent {message['type']} out of turn")

    async def _send_body(self, body: bytes, *, is_last: bool) -> None:
        events: list[h11.Event] = [] if self._begun else [self._response()]
        self._begun = True
        if body and not suppress_body(self.scope["method"], self._head["status"]):
            events.append(h11.Data(data=body))
        if is_last:
            events.append(h11.EndOfMessage())
        await self._protocol.write(*events)
        if is_last and not self._over:
            await self._protocol.answered()

    def _response(self) -> h11.Response:
        headers = [*self._head.get("headers", ()), *self._protocol.config.response_headers("h11")]
        return h11.Response(status_code=self._head["status"], headers=headers)


def _is_plain(request: h11.Request) -> bool:
    """Neither an upgrade nor HTTP/2's preface. h11 has the names in lower case."""
    return request.method != b"PRI" and all(name != b"upgrade" for name, _ in request.headers)


def _is_websocket(request: h11.Request) -> bool:
    """Whether an upgrade to one is asked for, and not to HTTP/2."""
    headers = dict(request.headers)
    tokens = (token.strip().lower() for token in headers.get(b"connection", b"").split(b","))
    return request.method == b"GET" and headers.get(b"upgrade", b"").lower() == b"websocket" and b"upgrade" in tokens
