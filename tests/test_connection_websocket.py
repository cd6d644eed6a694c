"""WebSockets on our own connections: who is silent is let go, and nobody costs more than he sends."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h2.connection
import h2.events
import pytest
from starlette.types import Receive, Scope, Send
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from expo_gateway.connection_websocket import MAX_MESSAGE_CHARS, WebSocket
from expo_gateway.doors.http import with_plain_paths
from expo_gateway.listener import bind, serving
from expo_gateway.settings import Server

WAIT_S = 5.0


class Played:
    """Says what it is told; remembers how each connection ended."""

    def __init__(self) -> None:
        self.ended: asyncio.Queue[int] = asyncio.Queue()
        self.say: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"heard {len(message['text'] or message['bytes'])}"})
        self.ended.put_nowait(message["code"])


class Client:
    """A WebSocket client that answers nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.wire = WSConnection(ConnectionType.CLIENT)
        self._reader, self._writer = reader, writer

    async def say(self, *events: Event) -> None:
        self._writer.write(b"".join(self.wire.send(event) for event in events))
        await self._writer.drain()

    async def say_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def hears(self) -> Event | None:
        """None: the connection has ended."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in self.wire.events():
                    return event
                try:
                    data = await self._reader.read(65536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self.wire.receive_data(data)


@pytest.fixture
def app() -> Played:
    return Played()


@asynccontextmanager
async def connected(app: Played, **request: object) -> AsyncIterator[Client]:
    sockets = bind("127.0.0.1", 0)
    doors = with_plain_paths(app, websockets={"/ws": app})
    async with serving(doors, sockets=sockets, tls=None, settings=Server(drain_s=0.5)):
        reader, writer = await asyncio.open_connection("127.0.0.1", sockets[0].getsockname()[1])
        try:
            client = Client(reader, writer)
            await client.say(Request(host="gateway", target="/ws", **request))  # type: ignore[arg-type]
            yield client
        finally:
            writer.close()


async def test_a_message_is_heard_and_answered(app: Played) -> None:
    async with connected(app) as client:
        assert isinstance(await client.hears(), AcceptConnection)
        await client.say(TextMessage(data="hello"))

        assert await client.hears() == TextMessage(data="heard 5")


async def test_a_ping_is_answered(app: Played) -> None:
    async with connected(app) as client:
        await client.hears()
        await client.say(Ping(payload=b"still there?"))

        pong = await client.hears()
        assert getattr(pong, "payload", None) == b"still there?"


async def test_who_is_silent_is_asked(app: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_often(monkeypatch, pong_s=WAIT_S)
    async with connected(app) as client:
        await client.hears()
        for _ in range(3):
            ping = await client.hears()
            assert isinstance(ping, Ping)
            await client.say(ping.response())


async def test_who_does_not_answer_is_let_go(app: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_often(monkeypatch, pong_s=0.01)
    async with connected(app) as client:
        await client.hears()
        assert isinstance(await client.hears(), Ping)

        assert await client.hears() is None
        async with asyncio.timeout(WAIT_S):
            await app.ended.get()


async def test_the_close_of_a_client_is_answered(app: Played) -> None:
    async with connected(app) as client:
        await client.hears()
        await client.say(CloseConnection(code=1000))

        assert await client.hears() == CloseConnection(code=1000, reason="")
        async with asyncio.timeout(WAIT_S):
            await app.ended.get()


async def test_compression_is_not_agreed_to(app: Played) -> None:
    async with connected(app, extensions=[PerMessageDeflate()]) as client:
        accepted = await client.hears()

        assert isinstance(accepted, AcceptConnection)
        assert list(accepted.extensions) == []


@pytest.mark.parametrize("parts", [1, 4])
async def test_a_message_over_the_bound_ends_the_connection(app: Played, parts: int) -> None:
    piece = "x" * (MAX_MESSAGE_CHARS // parts + 1)
    async with connected(app) as client:
        await client.hears()
        await client.say(*(TextMessage(data=piece, message_finished=False) for _ in range(parts)))

        assert await client.hears() == CloseConnection(code=1009, reason="")
        async with asyncio.timeout(WAIT_S):
            await app.ended.get()


async def test_a_message_at_the_bound_is_heard(app: Played) -> None:
    async with connected(app) as client:
        await client.hears()
        await client.say(BytesMessage(data=bytes(MAX_MESSAGE_CHARS)))

        assert await client.hears() == TextMessage(data=f"heard {MAX_MESSAGE_CHARS}")


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(b"\x81\x03abc", id="not masked"),
        pytest.param(b"\xf1\x80\0\0\0\0", id="bits of an extension"),
        pytest.param(b"\x83\x80\0\0\0\0", id="an opcode that is not"),
        pytest.param(b"\x81\x82\0\0\0\0\xff\xfe", id="text that is not UTF-8"),
        pytest.param(b"\x80\x80\0\0\0\0", id="the end of nothing"),
    ],
)
async def test_nonsense_ends_the_connection_and_no_other(app: Played, nonsense: bytes) -> None:
    async with connected(app) as client:
        await client.hears()
        await client.say_bytes(nonsense)

        assert isinstance(await client.hears(), CloseConnection)
        async with asyncio.timeout(WAIT_S):
            await app.ended.get()


async def test_random_bytes_end_the_connection(app: Played) -> None:
    async with connected(app) as client:
        await client.hears()
        await client.say_bytes(b"\xff" + os.urandom(300))
        while await client.hears() is not None:
            pass

        async with asyncio.timeout(WAIT_S):
            await app.ended.get()


async def test_a_client_that_vanishes_is_noticed(app: Played) -> None:
    async with connected(app) as client:
        await client.hears()
    async with asyncio.timeout(WAIT_S):
        await app.ended.get()


async def test_an_upgrade_of_another_version_is_refused(app: Played) -> None:
    sockets = bind("127.0.0.1", 0)
    async with serving(app, sockets=sockets, tls=None, settings=Server(drain_s=0.5)):
        reader, writer = await asyncio.open_connection("127.0.0.1", sockets[0].getsockname()[1])
        writer.write(
            b"GET /ws HTTP/1.1\r\nhost: gateway\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 8\r\n\r\n"
        )
        async with asyncio.timeout(WAIT_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.close()


async def test_an_upgrade_where_there_is_no_websocket_is_refused(app: Played) -> None:
    sockets = bind("127.0.0.1", 0)
    async with serving(with_plain_paths(app), sockets=sockets, tls=None, settings=Server(drain_s=0.5)):
        reader, writer = await asyncio.open_connection("127.0.0.1", sockets[0].getsockname()[1])
        client = Client(reader, writer)
        await client.say(Request(host="gateway", target="/ws"))

        refused = await client.hears()
        assert isinstance(refused, RejectConnection)
        assert refused.status_code == 403
        writer.close()


async def test_http2_does_not_offer_websockets(app: Played) -> None:
    """Browsers go by that: RFC 8441, section 3."""
    sockets = bind("127.0.0.1", 0)
    async with serving(app, sockets=sockets, tls=None, settings=Server(drain_s=0.5)):
        reader, writer = await asyncio.open_connection("127.0.0.1", sockets[0].getsockname()[1])
        wire = h2.connection.H2Connection()
        wire.initiate_connection()
        writer.write(wire.data_to_send())
        events: list[object] = []
        while not any(isinstance(event, h2.events.RemoteSettingsChanged) for event in events):
            async with asyncio.timeout(WAIT_S):
                events += wire.receive_data(await reader.read(65536))
        writer.close()

    assert wire.remote_settings.enable_connect_protocol == 0


def ask_often(monkeypatch: pytest.MonkeyPatch, *, pong_s: float) -> None:
    monkeypatch.setattr(WebSocket, "ping_s", 0.01)
    monkeypatch.setattr(WebSocket, "pong_s", pong_s)
