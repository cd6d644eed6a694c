"""Requests and answers of HTTP/1.1, as apps and clients see them."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from expo_gateway.listener import bind, serving
from expo_gateway.settings import Server
from tests.served import WAIT_S, connect, read_all

App = Callable[[Scope, Receive, Send], Awaitable[None]]


@asynccontextmanager
async def served(app: App) -> AsyncIterator[int]:
    sockets = bind("127.0.0.1", 0)
    port: int = sockets[0].getsockname()[1]
    async with serving(app, sockets=sockets, tls=None, settings=Server()):
        yield port


async def asked(app: App, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of all that is answered until the server closes."""
    async with served(app) as port, connect(port) as (reader, writer):
        writer.write(request)
        head, _, body = (await read_all(reader)).partition(b"\r\n\r\n")
        return head, body


def answering(*parts: bytes, status: int = 200) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        length = (b"content-length", b"%d" % sum(map(len, parts)))
        await send({"type": "http.response.start", "status": status, "headers": [length]})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": part is not parts[-1]})

    return app


GET = b"GET / HTTP/1.1\r\nhost: exp.host\r\nconnection: close\r\n\r\n"


async def test_the_app_sees_the_request_as_asgi_describes_it() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([scope, await receive()])
        await answering(b"x")(scope, receive, send)

    await asked(
        app,
        b"POST /a%20b/%C3%A9?c=d HTTP/1.1\r\nHost: exp.host\r\nX-Y: z\r\ncontent-length: 2\r\n"
        b"connection: close\r\n\r\n{}",
    )

    scope, event = seen
    assert (scope["type"], scope["method"], scope["http_version"], scope["scheme"]) == ("http", "POST", "1.1", "http")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b/é", b"/a%20b/%C3%A9", b"c=d")
    assert scope["headers"][:2] == [(b"host", b"exp.host"), (b"x-y", b"z")]
    assert scope["client"][0] == scope["server"][0] == "127.0.0.1"
    assert event == {"type": "http.request", "body": b"{}", "more_body": False}


async def test_an_answer_in_pieces_arrives_whole() -> None:
    head, body = await asked(answering(b"one ", b"two ", b"three"), GET)

    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"one two three"


async def test_an_answer_to_head_has_no_body() -> None:
    head, body = await asked(answering(b"hello"), GET.replace(b"GET", b"HEAD"))

    assert b"content-length: 5" in head
    assert body == b""


async def test_an_app_that_says_nothing_is_a_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    head, _ = await asked(app, GET.replace(b"connection: close\r\n", b""))

    assert head.startswith(b"HTTP/1.1 500")


async def test_an_app_that_fails_in_the_middle_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("spoiled")

    _, body = await asked(app, GET.replace(b"connection: close\r\n", b""))

    assert body == b"half"
    assert "spoiled" in caplog.text


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(scope["raw_path"])(scope, receive, send)

    async with served(app) as port, connect(port) as (reader, writer):
        for path in (b"/1", b"/2", b"/3"):
            writer.write(b"GET %s HTTP/1.1\r\nhost: exp.host\r\n\r\n" % path)
        async with asyncio.timeout(WAIT_S):
            answers = [await reader.readuntil(path) for path in (b"\r\n\r\n/1", b"\r\n\r\n/2", b"\r\n\r\n/3")]

    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


async def test_a_client_that_asks_ahead_and_leaves_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """Who read its second request waits for the first answer, which nobody gets any more."""
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await answer.wait()
        await answering(b"late")(scope, receive, send)

    sockets = bind("127.0.0.1", 0)
    async with serving(app, sockets=sockets, tls=None, settings=Server(drain_s=0.5)):
        async with connect(sockets[0].getsockname()[1]) as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\nhost: exp.host\r\n\r\n" * 2)
            await arrived.wait()
            # Gone with a reset, not with a goodbye.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        await asyncio.sleep(0.05)
        answer.set()

    assert "still busy" not in caplog.text


async def test_a_chunked_body_arrives_whole() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event["body"], event["more_body"]
        await answering(body)(scope, receive, send)

    _, body = await asked(
        app,
        b"POST / HTTP/1.1\r\nhost: exp.host\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )

    assert body == b"abcde"


async def test_an_upgrade_to_something_else_is_answered_as_if_nobody_had_asked() -> None:
    head, body = await asked(
        answering(b"plain"), GET.replace(b"connection: close", b"upgrade: tls/1.3\r\nconnection: close")
    )

    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"plain"
