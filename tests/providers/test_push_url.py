"""POSTs to a registration's own push_url, over real sockets."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.protocol.push_url import read_allowed
from expo_gateway.providers.push_url import NotAnswered, NotPosted, Posted, PushUrlClient

ANSWER = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
BODY = b'{"message":"Hello"}'
SHORT_S = 0.5
LOOPBACK = ["127.0.0.0/8"]


class Server:
    """Answers each POST with `answer`; keeps what it was asked. An empty answer: it says nothing at all."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.port = 0
        self.serves: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serves.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head + await reader.readexactly(len(BODY)))
            writer.write(self.answer)
            if not self.answer:
                await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(answer: bytes = ANSWER, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
        if server.serves:
            await asyncio.wait(server.serves)


def resolving(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def client(*addresses: str, allow: Sequence[str] = (), stays_in: bool = True, timeout_s: float = 10.0) -> PushUrlClient:
    """`addresses`: of every name. None: names are looked up."""
    return PushUrlClient(
        allowed=read_allowed(allow),
        stays_in=lambda: stays_in,
        resolve=resolving(*addresses) if addresses else None,
        timeout_s=timeout_s,
    )


async def test_the_notification_is_posted_and_the_answer_comes_back() -> None:
    async with serving() as server:
        posted = await client().post(f"http://127.0.0.1:{server.port}/push?a=b", BODY)

    assert posted == Posted(status=201, body=b"{}")
    (asked,) = server.asked
    assert asked.startswith(b"POST /push?a=b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server.port)
    assert b"Content-Type: application/json\r\n" in asked
    assert asked.endswith(b"\r\n\r\n" + BODY)


async def test_the_address_that_was_judged_is_the_one_that_is_connected_to() -> None:
    async with serving() as server:
        posted = await client("127.0.0.1", allow=LOOPBACK).post(f"http://push.example.com:{server.port}/", BODY)

    assert isinstance(posted, Posted)
    assert b"Host: push.example.com:%d\r\n" % server.port in server.asked[0]


async def test_of_several_addresses_those_that_may_not_be_reached_are_left_out() -> None:
    async with serving() as server:
        posted = await client("10.0.0.1", "127.0.0.1", allow=LOOPBACK).post(
            f"http://push.example.com:{server.port}/", BODY
        )

    assert isinstance(posted, Posted)


@pytest.mark.parametrize(("stays_in", "why"), [(True, "emulator"), (False, "not public")])
async def test_what_may_not_be_reached_is_refused_and_nobody_is_connected_to(stays_in: bool, why: str) -> None:
    async with serving() as server:
        url = f"http://{'10.0.0.1' if stays_in else 'push.example.com'}:{server.port}/"
        posted = await client("10.0.0.1" if stays_in else "127.0.0.1", stays_in=stays_in).post(url, BODY)

    assert isinstance(posted, NotPosted)
    assert posted.is_refused
    assert why in posted.why
    assert "push_url_allow" in posted.why
    assert server.asked == []


async def test_a_name_server_that_hangs_holds_up_nobody_elses_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))

    def look_up(*_: object, **__: object) -> list[object]:
        loop.call_soon_threadsafe(hangs.set)
        may_end.wait(10.0)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    posting = asyncio.create_task(client(stays_in=False).post("http://hangs.example.com/", BODY))
    await hangs.wait()
    try:
        async with asyncio.timeout(5.0):
            await asyncio.to_thread(int)
    finally:
        may_end.set()

    assert isinstance(await posting, NotPosted)


async def test_an_emulator_asks_no_name_server_about_strangers() -> None:
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    posting = PushUrlClient(allowed=read_allowed(["friend.example.com"]), stays_in=lambda: True, resolve=resolve)
    for host in ("stranger.example.com", "localhost", "friend.example.com"):
        await posting.post(f"http://{host}:1/", BODY)

    assert asked == ["localhost", "friend.example.com"]


async def test_what_the_operator_allows_is_reached() -> None:
    async with serving() as server:
        url = f"http://push.example.com:{server.port}/"
        posted = await client("127.0.0.1", allow=["push.example.com"], stays_in=False).post(url, BODY)

    assert isinstance(posted, Posted)


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    redirect = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with serving(redirect) as server:
        posted = await client().post(f"http://127.0.0.1:{server.port}/", BODY)

    assert posted == Posted(status=307, body=b"")


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving() as server:
        assert isinstance(await client().post(f"http://127.0.0.1:{server.port}/", BODY), Posted)


async def test_where_nobody_listens_nothing_was_posted() -> None:
    async with serving() as server:
        pass

    posted = await client().post(f"http://127.0.0.1:{server.port}/secret", BODY)

    assert isinstance(posted, NotPosted)
    assert not posted.is_refused
    assert "secret" not in posted.why


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 201", b"SSH-2.0-x\r\n\r\n"])
async def test_without_a_whole_answer_it_may_have_arrived(answer: bytes) -> None:
    async with serving(answer) as server:
        posted = await client(timeout_s=SHORT_S).post(f"http://127.0.0.1:{server.port}/", BODY)

    assert isinstance(posted, NotAnswered)


async def test_a_long_answer_is_cut() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    async with serving(answer) as server:
        posted = await client().post(f"http://127.0.0.1:{server.port}/", BODY)

    assert isinstance(posted, Posted)
    assert len(posted.body) <= 65_536


async def test_a_name_that_is_not_found_in_time_ends_within_the_time() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    slow = PushUrlClient(allowed=read_allowed(()), stays_in=lambda: False, resolve=never, timeout_s=0.01)

    posted = await slow.post("http://push.example.com/", BODY)

    assert isinstance(posted, NotPosted)
    assert "in time" in posted.why


async def test_what_is_no_url_is_refused() -> None:
    posted = await client().post("ftp://push.example.com/", BODY)

    assert isinstance(posted, NotPosted)
    assert posted.is_refused


@pytest.mark.parametrize(("name", "is_trusted"), [("localhost", True), ("push.example.com", False)])
async def test_over_tls_the_certificate_must_be_in_the_name_of_the_url(
    name: str, is_trusted: bool, tmp_path: Path
) -> None:
    tls = _tls(tmp_path)
    trusting = PushUrlClient(
        allowed=read_allowed(LOOPBACK), stays_in=lambda: True, tls=tls.client_context, resolve=resolving("127.0.0.1")
    )
    async with serving(tls=tls.server_context(["http/1.1"])) as server:
        posted = await trusting.post(f"https://{name}:{server.port}/", BODY)

    assert isinstance(posted, Posted if is_trusted else NotPosted)


def _tls(directory: Path) -> EmulatorTls:
    from expo_gateway.emulators.authority import ensure_certificates

    return ensure_certificates(directory / "tls")
