"""The ASGI side of one request to the emulator: its body, the act of a fault, the answer on the wire."""

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Act, Answer, Disconnect, Hang, Slow
from expo_gateway.emulators.fcm_listener import CONNECTION, Connection

# Our choice: longer than any client takes to send 4 KB.
BODY_TIMEOUT_S = 60.0


class BodyTooLarge(Exception):
    """More bytes than the emulator reads; the rest of the body is left unread."""


class Silence(Response):
    """No answer, for a client that is gone: over HTTP/2 it may have given up this stream and wait for others."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pass


class Cut(Response):
    """No answer: the connection is aborted.

    Under a server that offers no way to do that (see fcm_listener.CONNECTION) nothing is sent, and what the client gets
    is the server's: Hypercorn makes it an empty 500.
    """

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope)
        if connection is not None:
            connection.cut(reset=self._reset)


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The whole body. BodyTooLarge, TimeoutError, or ClientDisconnect when there will be none."""
    body = bytearray()
    async with asyncio.timeout(BODY_TIMEOUT_S):
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise BodyTooLarge
    return bytes(body)


def response_of(answer: Answer) -> Response:
    """The answer as it goes out; JSON unless its headers say otherwise."""
    response = Response(answer.body or b"", status_code=answer.status)
    headers = list(answer.headers)
    if not any(name.lower() == "content-type" for name, _ in headers) and answer.body:
        headers.append(("content-type", fcm_errors.JSON))
    response.raw_headers.extend((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers)
    return response


def connection_of(scope: Scope) -> Connection | None:
    """None under a server that doesn't show it."""
    connection = scope.get("state", {}).get(CONNECTION)
    return connection if isinstance(connection, Connection) else None


def headers_as_received(scope: Scope) -> tuple[tuple[str, str], ...]:
    """Order, case and repeats kept; `authorization` cut to its scheme, since its rest is a secret."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    return tuple((name, _scheme(value) if name.lower() == "authorization" else value) for name, value in pairs)


def bearer_of(scope: Scope) -> str | None:
    """The access token, "" when `authorization` has another scheme or none, None without that header."""
    for name, value in scope["headers"]:
        if name.lower() == b"authorization":
            scheme, _, token = value.decode("latin-1").strip().partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return None


async def respond(request: Request, act: Act | None, answer: Answer, closing: asyncio.Event) -> Response:
    """Play the act around the answer. A request that is held ends when its client leaves or `closing` is set."""
    if act is None or isinstance(act, Answer):
        return response_of(answer)
    if isinstance(act, Slow):
        return await _hold(request, closing, timeout_s=act.delay_s) or response_of(answer)
    if isinstance(act, Hang):
        return await _hold(request, closing, timeout_s=None) or Cut()
    return Cut(reset=isinstance(act, Disconnect) and act.reset)


async def _hold(request: Request, closing: asyncio.Event, *, timeout_s: float | None) -> Response | None:
    """What ends the request while it is held, None when the time ran out first."""
    async with asyncio.TaskGroup() as group:
        left: asyncio.Task[Any] = group.create_task(_client_leaves(request))
        closed: asyncio.Task[Any] = group.create_task(closing.wait())
        done, _ = await asyncio.wait((left, closed), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        closed.cancel()
    if left in done:
        return Silence()
    return Cut() if done else None


async def _client_leaves(request: Request) -> None:
    try:
        while (await request.receive())["type"] != "http.disconnect":
            pass
    except ClientDisconnect:
        return


def _scheme(authorization: str) -> str:
    return authorization.strip().partition(" ")[0]
