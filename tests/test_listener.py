import asyncio
import logging
import shutil
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.errors import CannotStart, SettingsError
from expo_gateway.listener import bind, close_all, serving, url_of
from expo_gateway.settings import Server
from tests.served import WAIT_S, H2Client, Played, ask, connect, played


async def test_http1_keeps_its_connection_and_names_no_software() -> None:
    async with played(Played()) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/")

    assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")
    assert "date" in answer.headers
    assert not {"server", "alt-svc", "connection"} & set(answer.headers)


async def test_http2_by_prior_knowledge_on_the_plain_port() -> None:
    async with played(Played()) as port, httpx.AsyncClient(http1=False, http2=True) as client:
        answer = await client.post(f"http://127.0.0.1:{port}/size", content=b"x" * 400_000)

    assert (answer.http_version, answer.text) == ("HTTP/2", "400000")


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
async def test_with_tls_the_protocol_is_chosen_by_alpn(tmp_path: Path, http2: bool, version: str) -> None:
    tls = ensure_certificates(tmp_path)
    trust = tls.client_context(("h2", "http/1.1") if http2 else ("http/1.1",))
    async with (
        played(Played(), tls=tls.server_context()) as port,
        httpx.AsyncClient(http2=http2, verify=trust) as client,
    ):
        answer = await client.post(f"https://127.0.0.1:{port}/size", content=b"x" * 100_000)

    assert (answer.http_version, answer.text) == (version, "100000")


async def test_a_client_that_distrusts_the_certificate_harms_nobody(tmp_path: Path) -> None:
    tls = ensure_certificates(tmp_path)
    async with played(Played(), tls=tls.server_context()) as port:
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())
        async with httpx.AsyncClient(verify=tls.client_context(("http/1.1",))) as client:
            answer = await client.get(f"https://127.0.0.1:{port}/")

    assert answer.status_code == 200


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is in nghttp2-client")
async def test_more_than_a_thousand_requests_on_one_http2_connection_are_all_answered() -> None:
    async with played(Played()) as port:
        load = await asyncio.create_subprocess_exec(
            "h2load", "-n1100", "-c1", "-m50", f"http://127.0.0.1:{port}/", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await load.communicate()

    assert b"1100 succeeded, 0 failed" in output


async def test_at_the_end_requests_under_way_are_answered_and_nobody_new_is() -> None:
    app = Played()
    sockets = bind("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    async with serving(app, sockets=sockets, tls=None, settings=Server()):
        asked = asyncio.create_task(ask(port, b"/held"))
        await app.arrived.wait()
        asyncio.get_running_loop().call_later(0.1, app.release.set)

    answer = await asked
    assert answer.endswith(b"released")
    assert b"connection: close" in answer.lower()
    with pytest.raises(ConnectionRefusedError):
        await ask(port)


async def test_at_the_end_an_http2_client_is_told_to_go_away_and_gets_its_answer() -> None:
    app = Played()
    server = played(app)
    port = await server.__aenter__()
    async with connect(port) as (reader, writer):
        client = H2Client(reader, writer)
        client.request("/held", end=True)
        await app.arrived.wait()
        ending = asyncio.create_task(server.__aexit__(None, None, None))
        # Not read through h2, which takes it for the end: a GOAWAY frame of 8 bytes.
        await reader.readuntil(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00")
        app.release.set()

        async with asyncio.timeout(WAIT_S):
            assert b"released" in await reader.read(-1)
            await ending


async def test_at_the_end_whoever_is_not_done_in_time_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    app = Played()
    async with asyncio.timeout(WAIT_S):
        async with played(app, drain_s=0.1) as port:
            asked = asyncio.create_task(ask(port, b"/held"))
            await app.arrived.wait()
        assert await asked == b""

    assert "1 connections were still busy" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_idle_connections_do_not_hold_up_the_end() -> None:
    loop = asyncio.get_running_loop()
    server = played(Played())
    port = await server.__aenter__()
    async with connect(port) as (reader, writer), connect(port) as (_, _):
        writer.write(b"GET / HTTP/1.1\r\nhost: exp.host\r\n\r\n")
        await reader.readuntil(b"hello")
        started_at = loop.time()
        await server.__aexit__(None, None, None)

    assert loop.time() - started_at < 1.0


def test_localhost_is_every_loopback_address_on_one_port() -> None:
    sockets = bind("localhost", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        close_all(sockets)


def test_a_taken_port_says_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        with pytest.raises(CannotStart, match=r"port \d+ on 127\.0\.0\.1 is taken .* --port"):
            bind("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1", "a" * 80])
def test_a_host_that_is_not_this_machine_is_a_settings_error(host: str) -> None:
    with pytest.raises(SettingsError, match=r"server\.host"):
        bind(host, 0)


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")]
)
def test_the_url_is_one_that_a_client_here_can_use(host: str, shown: str) -> None:
    sockets = bind("127.0.0.1", 0)
    try:
        assert url_of(host, sockets, tls=False) == f"http://{shown}:{sockets[0].getsockname()[1]}"
    finally:
        close_all(sockets)
