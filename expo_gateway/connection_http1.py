"""HTTP/1.1 on h11: from the wire to the app and back.

A request is a scope and a task, and an answer is one write. What asks for another protocol, HTTP/2 or a WebSocket, is
handed over (`connection_switched.py`); an upgrade to anything else is passed over, as RFC 9110, section 7.8, allows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast
from urllib.parse import unquote

import h11

from expo_gateway.connection_requests import Inbound, Requests
from expo_gateway.connection_terms import Terms

# Our choice, and Hypercorn's: the head of a request, and of a piece of its body.
MAX_HEAD_BYTES = 16 * 1024

_ASGI = {"spec_version": "2.1", "version": "3.0"}
_NO_BODY = (204, 304)

Address = tuple[str, int] | None


class Wire(Protocol):
    """The connection under a protocol."""

    is_tls: bool
    client: Address
    server: Address

    async def write(self, data: bytes) -> None: ...

    def write_soon(self, data: bytes) -> None:
        """Without waiting, while there is somebody to write to."""
        ...

    def end_writing(self) -> None:
        """Nothing more is said."""
        ...

    def set_idle(self, is_idle: bool) -> None:
        """Whether no request is under way."""
        ...


Switch = Callable[[h11.Connection, h11.Request], Awaitable[None]]
"""Goes on in another protocol with a request that asks for it, and what came after it."""


class Http1:
    """One connection."""

    def __init__(self, wire: Wire, requests: Requests, *, terms: Terms, switch: Switch) -> None:
        self._wire = wire
        self._requests = requests
        self._terms = terms
        self._switch = switch
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._exchange: Exchange | None = None
        self._answered = asyncio.Event()

    @property
    def is_sent_to(self) -> bool:
        """Whether the client is in the middle of a request."""
        return self._h11.their_state in (h11.SEND_BODY, h11.ERROR)

    async def receive(self, data: bytes) -> None:
        self._h11.receive_data(data)
        while (event := await self._next_event()) is not None:
            if isinstance(event, h11.Request):
                self._wire.set_idle(False)
                if wants_another_protocol(event):
                    await self._switch(self._h11, event)
                    return
                self._exchange = Exchange(self, self._scope(event), self._terms)
                self._requests.start(self._exchange.scope, self._exchange.inbound, self._exchange.send)
            elif event is h11.PAUSED:
                # It asks ahead: one after the other.
                self._answered.clear()
                await self._answered.wait()
            elif self._exchange is None:
                return
            elif isinstance(event, h11.Data):
                await self._exchange.take(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._exchange.inbound.end_body()

    async def closed(self) -> None:
        """The client is gone, or we are done with it."""
        await self._end_exchange()
        # Who has sent the next request already is waited for, and would wait for an answer that nobody gets.
        self._h11 = cast(Any, _Ended())
        self._answered.set()

    def go_away(self) -> None:
        """HTTP/1.1 says it with the next answer."""

    async def write(self, *events: h11.Event) -> None:
        """All at once: a system call for each part of an answer costs more than the part."""
        try:
            parts = [self._h11.send(event) for event in events]
        except h11.LocalProtocolError:
            # A client that broke the rules gets nothing more.
            if self._h11.their_state is not h11.ERROR:
                raise
        else:
            await self._wire.write(b"".join(part for part in parts if part))

    async def answered(self) -> None:
        """The answer is complete: on to the next request, or to the end."""
        await self._end_exchange()
        try:
            if self._terms.ended.is_set() or (self._h11.our_state, self._h11.their_state) != (h11.DONE, h11.DONE):
                self._wire.end_writing()
            else:
                self._h11.start_next_cycle()
                self._wire.set_idle(True)
        except h11.LocalProtocolError:
            self._wire.end_writing()
        finally:
            self._answered.set()

    async def failed(self) -> None:
        """The app returned without an answer."""
        await self._refuse(500)
        await self.answered()

    async def _next_event(self) -> object:
        """None: there is no more for now, or at all."""
        if self._h11.they_are_waiting_for_100_continue:
            await self.write(h11.InformationalResponse(status_code=100, headers=self._terms.http1_headers()))
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await self._refuse(error.error_status_hint)
            self._wire.end_writing()
            return None
        return None if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed) else event

    async def _refuse(self, status: int) -> None:
        headers = [(b"content-length", b"0"), (b"connection", b"close"), *self._terms.http1_headers()]
        await self.write(h11.Response(status_code=status, headers=headers), h11.EndOfMessage())

    async def _end_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.end()

    def _scope(self, request: h11.Request) -> dict[str, Any]:
        path, _, query_string = request.target.partition(b"?")
        return {
            "type": "http",
            "http_version": request.http_version.decode(),
            "asgi": _ASGI,
            "method": request.method.decode("ascii").upper(),
            "scheme": "https" if self._wire.is_tls else "http",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query_string,
            "root_path": "",
            "headers": list(request.headers),
            "client": self._wire.client,
            "server": self._wire.server,
            "state": {},
            "extensions": {},
        }


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
    """A request and its answer. The connection calls `take` and `end`, the app's task `inbound.get` and `send`."""

    def __init__(self, protocol: Http1, scope: dict[str, Any], terms: Terms) -> None:
        self._protocol = protocol
        self._terms = terms
        self._head: Any = None
        self._begun = False
        self._over = False
        self.scope = scope
        self.inbound = Inbound()

    async def take(self, body: bytes) -> None:
        await self.inbound.put({"type": "http.request", "body": body, "more_body": True})

    async def end(self) -> None:
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
        if body and self.scope["method"] != "HEAD" and self._head["status"] not in _NO_BODY:
            events.append(h11.Data(data=body))
        if is_last:
            events.append(h11.EndOfMessage())
        await self._protocol.write(*events)
        if is_last and not self._over:
            await self._protocol.answered()

    def _response(self) -> h11.Response:
        headers = [*self._head.get("headers", ()), *self._terms.http1_headers()]
        return h11.Response(status_code=self._head["status"], headers=headers)


def wants_another_protocol(request: h11.Request) -> bool:
    """HTTP/2's preface, or an upgrade to it or to a WebSocket. h11 has the names in lower case.

    An upgrade of a request with a body would have to wait for the body, and is passed over.
    """
    if request.method == b"PRI":
        return True
    wanted = b""
    for name, value in request.headers:
        if name == b"upgrade":
            wanted = value.lower()
    if wanted == b"websocket":
        return request.method == b"GET"
    return wanted == b"h2c" and not any(
        name in (b"content-length", b"transfer-encoding") for name, _ in request.headers
    )
