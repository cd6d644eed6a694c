"""FcmPool against servers that say exactly what a test wants, byte for byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.providers.base import Uncertain, Unsent
from expo_gateway.providers.fcm_http import HttpAnswer, post_target
from expo_gateway.providers.fcm_pool import FcmPool
from tests.missing import module

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE_S = 5.0

Answering = Callable[["Server", asyncio.StreamWriter], Awaitable[None]]


class Server:
    """`answers` holds what each request gets, by bytes or by a coroutine; without any more, OK."""

    def __init__(self, *answers: bytes | Answering) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.lost = asyncio.Event()
        """A client has left."""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await self._answer(writer)
        except (asyncio.IncompleteReadError, OSError):
            self.lost.set()
        finally:
            writer.transport.abort()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        answer = self.answers.pop(0) if self.answers else OK
        if callable(answer):
            await answer(self, writer)
        else:
            writer.write(answer)


@asynccontextmanager
async def serving(*answers: bytes | Answering, tls: EmulatorTls | None = None) -> AsyncIterator[Server]:
    server = Server(*answers)
    context = None if tls is None else tls.server_context(("http/1.1",))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def pool_at(server: Server, *, tls: EmulatorTls | None = None, **changed: Any) -> AsyncIterator[FcmPool]:
    scheme = "http" if tls is None else "https"
    settings: dict[str, Any] = {
        "target": post_target(f"{scheme}://127.0.0.1:{server.port}/v1/projects/p/messages:send"),
        "ssl_context": None if tls is None else tls.client_context(("http/1.1",)),
        "max_connections": 4,
        "request_timeout_s": PATIENCE_S,
        "connect_timeout_s": PATIENCE_S,
    }
    pool = FcmPool(**settings | changed)
    try:
        yield pool
    finally:
        await pool.close()


async def post(pool: FcmPool) -> HttpAnswer | Unsent | Uncertain:
    async with asyncio.timeout(PATIENCE_S):
        return await pool.post(b"{}", bearer="ya29.x")


async def status_of(pool: FcmPool) -> int:
    answer = await post(pool)
    assert isinstance(answer, HttpAnswer), answer
    return answer.status


@pytest.mark.parametrize("is_tls", [False, True])
async def test_requests_follow_each_other_on_one_connection(emulator_tls: EmulatorTls, is_tls: bool) -> None:
    tls = emulator_tls if is_tls else None
    async with serving(tls=tls) as server, pool_at(server, tls=tls) as pool:
        assert [await status_of(pool) for _ in range(3)] == [200, 200, 200]

    assert server.connections == 1
    assert server.requests[0].startswith(b"POST /v1/projects/p/messages:send HTTP/1.1\r\n")


async def test_a_connection_that_is_not_used_is_closed_after_a_while() -> None:
    async with serving() as server, pool_at(server, keep_idle_s=0.01) as pool:
        await status_of(pool)

        async with asyncio.timeout(PATIENCE_S):
            await server.lost.wait()

        assert await status_of(pool) == 200
        assert server.connections == 2


async def test_a_connection_that_its_server_has_closed_is_not_used_again() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}") as server:
        async with pool_at(server) as pool:
            assert [await status_of(pool), await status_of(pool)] == [200, 200]

        assert server.connections == 2


async def test_bytes_that_nobody_asked_for_never_become_the_next_answer() -> None:
    async with serving(OK + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n") as server, pool_at(server) as pool:
        assert [await status_of(pool), await status_of(pool)] == [200, 200]


async def test_an_answer_that_is_not_http_is_uncertain() -> None:
    async with serving(b"SSH-2.0-OpenSSH\r\n\r\n") as server, pool_at(server) as pool:
        assert isinstance(await post(pool), Uncertain)


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async def page(_: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>")
        writer.close()

    async with serving(page) as server, pool_at(server) as pool:
        answer = await post(pool)

    assert isinstance(answer, HttpAnswer)
    assert (answer.status, answer.body) == (502, b"<html>")


async def test_an_answer_that_keeps_coming_may_take_longer_than_the_silence_that_is_borne() -> None:
    async def slowly(_: Server, writer: asyncio.StreamWriter) -> None:
        for at in range(len(OK)):
            writer.write(OK[at : at + 1])
            await asyncio.sleep(0.02)

    async with serving(slowly) as server, pool_at(server, request_timeout_s=0.5) as pool:
        assert await status_of(pool) == 200


async def test_a_200_stands_when_its_body_does_not_come_in_time() -> None:
    """FCM has the push: sending it again would deliver it twice."""
    async with serving(OK[:-1]) as server, pool_at(server, request_timeout_s=0.1) as pool:
        answer = await post(pool)

    assert isinstance(answer, HttpAnswer)
    assert (answer.status, answer.body) == (200, None)


async def test_another_status_whose_body_does_not_come_in_time_is_uncertain() -> None:
    async with serving(OK[:-1].replace(b"200", b"404")) as server, pool_at(server, request_timeout_s=0.1) as pool:
        assert isinstance(await post(pool), Uncertain)


async def test_a_cancelled_request_takes_its_connection_along() -> None:
    """Its answer may still come, and is nobody else's."""
    asked = asyncio.Event()

    async def never(_: Server, _writer: asyncio.StreamWriter) -> None:
        asked.set()

    async with serving(never) as server, pool_at(server, max_connections=1) as pool:
        posting = asyncio.create_task(post(pool))
        await asked.wait()
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting

        assert await status_of(pool) == 200
        assert server.connections == 2


async def test_closing_lets_go_of_idle_connections() -> None:
    async with serving() as server:
        async with pool_at(server) as pool:
            await asyncio.gather(*(status_of(pool) for _ in range(4)))

        async with asyncio.timeout(PATIENCE_S):
            await server.lost.wait()

    assert server.lost.is_set()


def test_it_works_on_uvloop_too(emulator_tls: EmulatorTls) -> None:
    """Whose transport over TLS is no asyncio.Transport."""
    uvloop = module("uvloop")

    async def twice() -> list[int]:
        async with serving(tls=emulator_tls) as server, pool_at(server, tls=emulator_tls) as pool:
            return [await status_of(pool), await status_of(pool)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(twice()) == [200, 200]
