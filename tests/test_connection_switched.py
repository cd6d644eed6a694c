"""Connections that leave HTTP/1.1 for another protocol."""

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.events
import wsproto
import wsproto.events
from starlette.types import Receive, Scope, Send

from expo_gateway.listener import bind, serving
from expo_gateway.settings import Server
from tests.served import WAIT_S, Played, connect, played, read_all

UPGRADE = b"GET / HTTP/1.1\r\nhost: exp.host\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"


async def test_a_get_that_offers_h2c_is_answered_over_http2() -> None:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    settings = client.initiate_upgrade_connection()
    async with played(Played()) as port, connect(port) as (reader, writer):
        writer.write(UPGRADE + b"http2-settings: " + (settings or b"") + b"\r\n\r\n")
        async with asyncio.timeout(WAIT_S):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            writer.write(client.data_to_send())
            body = b""
            while body != b"hello":
                events = client.receive_data(await reader.read(65536))
                body += b"".join(event.data or b"" for event in events if isinstance(event, h2.events.DataReceived))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "websocket"
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    said = await receive()
    await send({"type": "websocket.send", "text": said["text"]})
    await send({"type": "websocket.close"})


async def test_a_websocket_reaches_the_app() -> None:
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    heard: list[Any] = []
    sockets = bind("127.0.0.1", 0)
    async with (
        serving(echo, sockets=sockets, tls=None, settings=Server()),
        connect(sockets[0].getsockname()[1]) as (reader, writer),
    ):
        writer.write(client.send(wsproto.events.Request(host="exp.host", target="/")))
        async with asyncio.timeout(WAIT_S):
            client.receive_data(await reader.readuntil(b"\r\n\r\n"))
            assert [type(event) for event in client.events()] == [wsproto.events.AcceptConnection]
            writer.write(client.send(wsproto.events.TextMessage(data="hello")))
            while not heard:
                client.receive_data(await reader.read(65536))
                heard += [one.data for one in client.events() if isinstance(one, wsproto.events.TextMessage)]

    assert heard == ["hello"]


async def test_a_post_that_offers_a_websocket_keeps_its_body() -> None:
    async with played(Played()) as port, connect(port) as (reader, writer):
        writer.write(
            b"POST /size HTTP/1.1\r\nhost: exp.host\r\ncontent-length: 2\r\nupgrade: websocket\r\n"
            b"connection: upgrade, close\r\n\r\n{}"
        )

        assert (await read_all(reader)).endswith(b"2")
