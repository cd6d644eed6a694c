import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from expo_gateway.forward_proxy import Limits, Port, Refusal, proxying, route, target_of
from expo_gateway.listener import bind, close_all
from tests.served import WAIT_S, connect, read_all

CONNECT = b"CONNECT exp.host:443 HTTP/1.1\r\nHost: exp.host:443\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection Established\r\n\r\n"


# -- the decision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "target"),
    [
        ("exp.host:443", ("exp.host", 443)),
        ("EXP.Host.:443", ("exp.host", 443)),
        ("exp.host", None),
        ("exp.host:", None),
        ("exp.host:https", None),
        ("user@exp.host:443", None),
        ("exp.host:443:443", None),
        (":443", None),
        ("https://exp.host:443", None),
        ("[::1]:443", None),
    ],
)
def test_a_target_is_a_host_and_a_port(authority: str, target: tuple[str, int] | None) -> None:
    assert target_of(authority) == target


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_known_target_is_let_through_whatever_the_headers_say(version: str) -> None:
    head = f"CONNECT exp.host:443 HTTP/{version}\r\nproxy-authorization: Basic eDp5".encode()

    assert route(head, {("exp.host", 443): 8443}) == 8443


@pytest.mark.parametrize("asked", ["example.com:443", "exp.host:80", "127.0.0.1:443", "exp.host"])
def test_another_target_is_refused_with_what_was_asked_and_what_is_allowed(asked: str) -> None:
    refusal = route(f"CONNECT {asked} HTTP/1.1".encode(), {("exp.host", 443): 8443})

    assert isinstance(refusal, Refusal)
    assert refusal.status == "403 Forbidden"
    assert f"does not lead to {asked}. " in refusal.text
    assert "leads to exp.host:443" in refusal.text


def test_what_was_asked_is_shown_without_control_characters_and_not_at_any_length() -> None:
    refusal = route(b"CONNECT a\x1b[2J\xff" + b"x" * 9_000 + b" HTTP/1.1", {})

    assert isinstance(refusal, Refusal)
    assert "does not lead to a?[2J?xxx" in refusal.text
    assert len(refusal.text) < 500


@pytest.mark.parametrize("line", [b"CONNECT exp.host:443", b"CONNECT exp.host:443 HTTP/2", b"CONNECT a b HTTP/1.1"])
def test_a_line_that_is_no_request_is_a_bad_request(line: bytes) -> None:
    refusal = route(line, {("exp.host", 443): 8443})

    assert isinstance(refusal, Refusal)
    assert refusal.status == "400 Bad Request"


# -- on the wire ------------------------------------------------------------------------------------------------------


class Echo:
    """Says everything back, and ends when its client does, with a word."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.closes_first = False
        self._here: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._here.append(writer)
        if self.closes_first:
            writer.write(b"enough")
            writer.write_eof()
        try:
            while data := await reader.read(65536):
                if not self.closes_first:
                    writer.write(data)
            if not self.closes_first:
                writer.write(b"bye")
                await writer.drain()
        except OSError:
            pass
        finally:
            self.ended.set()
            writer.close()

    def leave(self) -> None:
        for writer in self._here:
            writer.transport.abort()


@asynccontextmanager
async def proxied(
    echo: Echo | None = None, *, tunnel: Port | None = None, limits: Limits | None = None
) -> AsyncIterator[Port]:
    """The port of a proxy that leads exp.host:443, and everything plain, to an echo."""
    inner = await asyncio.start_server(echo or Echo(), "127.0.0.1", 0)
    port = inner.sockets[0].getsockname()[1]
    sockets = bind("127.0.0.1", 0)
    try:
        async with proxying(
            sockets=sockets,
            tunnels={("exp.host", 443): tunnel or port},
            plain_port=port,
            limits=limits,
        ):
            yield sockets[0].getsockname()[1]
    finally:
        inner.close()
        close_all(sockets)


async def tell(port: Port, said: bytes) -> bytes:
    """Everything that comes back until the proxy ends the connection."""
    async with connect(port) as (reader, writer):
        writer.write(said)
        return await read_all(reader)


async def test_bytes_go_both_ways_also_those_sent_before_the_answer() -> None:
    async with proxied() as port, connect(port) as (reader, writer):
        writer.write(CONNECT + b"early")
        assert await reader.readexactly(len(ESTABLISHED) + 5) == ESTABLISHED + b"early"
        large = bytes(range(256)) * 20_000
        writer.write(large)

        assert await reader.readexactly(len(large)) == large


async def test_a_head_may_come_in_pieces_and_with_bare_line_feeds() -> None:
    async with proxied() as port, connect(port) as (reader, writer):
        for piece in (b"CON", b"NECT exp.ho", b"st:443 HTTP/1.1\n", b"\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

        assert await reader.readexactly(len(ESTABLISHED)) == ESTABLISHED


async def test_a_client_that_ends_its_half_still_hears_the_rest() -> None:
    async with proxied() as port, connect(port) as (reader, writer):
        writer.write(CONNECT)
        await reader.readexactly(len(ESTABLISHED))
        writer.write_eof()

        assert await read_all(reader) == b"bye"


async def test_the_other_side_may_end_its_half_first_and_the_client_goes_on() -> None:
    echo = Echo()
    echo.closes_first = True
    async with proxied(echo) as port, connect(port) as (reader, writer):
        writer.write(CONNECT)

        assert await read_all(reader) == ESTABLISHED + b"enough"
        assert not echo.ended.is_set()
        writer.write_eof()
        async with asyncio.timeout(WAIT_S):
            await echo.ended.wait()


async def test_a_client_that_vanishes_takes_its_tunnel_along() -> None:
    echo = Echo()
    async with proxied(echo) as port, connect(port) as (reader, writer):
        writer.write(CONNECT)
        await reader.readexactly(len(ESTABLISHED))
        writer.transport.abort()

        async with asyncio.timeout(WAIT_S):
            await echo.ended.wait()


async def test_the_other_side_vanishing_ends_the_clients_connection() -> None:
    echo = Echo()
    async with proxied(echo) as port, connect(port) as (reader, writer):
        writer.write(CONNECT)
        await reader.readexactly(len(ESTABLISHED))
        echo.leave()

        assert await read_all(reader) == b""


async def test_a_refusal_is_read_by_a_client_that_spoke_on() -> None:
    async with proxied(limits=Limits(answer_s=0.2)) as port:
        answer = await tell(port, CONNECT.replace(b"exp.host", b"example.com") + b"\x16\x03\x01" * 5_000)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"does not lead to example.com:443" in body
    assert b"content-length: %d" % len(body) in head


async def test_a_head_without_end_is_refused() -> None:
    async with proxied(limits=Limits(head_bytes=1_000, answer_s=0.2)) as port:
        answer = await tell(port, CONNECT[:-2] + b"x: " + b"y" * 1_000)

    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("said", [b"", b"CONN", CONNECT[:-1]])
async def test_a_client_that_takes_too_long_to_ask_is_let_go(said: bytes) -> None:
    async with proxied(limits=Limits(head_s=0.05)) as port:
        assert await tell(port, said) == b""


async def test_a_tunnel_in_which_nothing_moves_is_cut() -> None:
    async with proxied(limits=Limits(idle_s=0.05)) as port:
        assert await tell(port, CONNECT) == ESTABLISHED


async def test_a_half_closed_tunnel_is_cut_sooner() -> None:
    echo = Echo()
    echo.closes_first = True
    async with proxied(echo, limits=Limits(half_closed_s=0.05)) as port, connect(port) as (reader, writer):
        writer.write(CONNECT)
        await read_all(reader)

        async with asyncio.timeout(WAIT_S):
            await echo.ended.wait()


async def test_one_connection_too_many_is_told_so_and_the_others_go_on() -> None:
    async with proxied(limits=Limits(connections=1, answer_s=0.2)) as port, connect(port) as (reader, writer):
        writer.write(CONNECT)
        await reader.readexactly(len(ESTABLISHED))

        assert (await tell(port, CONNECT)).startswith(b"HTTP/1.1 503 ")
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"


async def test_a_gateway_that_is_gone_is_a_503() -> None:
    sockets = bind("127.0.0.1", 0)
    gone = sockets[0].getsockname()[1]
    close_all(sockets)
    async with proxied(tunnel=gone, limits=Limits(answer_s=0.2)) as port:
        assert (await tell(port, CONNECT)).startswith(b"HTTP/1.1 503 ")


async def test_what_is_no_connect_goes_on_as_it_is() -> None:
    request = b"GET http://exp.host/ HTTP/1.1\r\nhost: exp.host\r\n\r\n"
    async with proxied() as port, connect(port) as (reader, writer):
        writer.write(request)

        assert await reader.readexactly(len(request)) == request


async def test_at_the_end_open_tunnels_are_cut() -> None:
    proxy = proxied()
    port = await proxy.__aenter__()
    async with connect(port) as (reader, writer), connect(port):
        writer.write(CONNECT)
        await reader.readexactly(len(ESTABLISHED))
        async with asyncio.timeout(WAIT_S):
            await proxy.__aexit__(None, None, None)

        assert await read_all(reader) == b""
