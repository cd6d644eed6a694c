"""Clients that are slow, rude, early or gone, on the wire."""

import asyncio
import logging
import socket

import h2.events
import h2.settings
import pytest

from tests.served import POST_HEAD, WAIT_S, H2Client, Played, ask, connect, played, read_all, small_buffers

MEGABYTE = b"x" * 1_000_000


async def test_headers_sent_a_byte_at_a_time_are_cut_after_the_idle_time() -> None:
    async with played(Played(), keep_alive_s=0.2) as port, connect(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nho")

        assert await read_all(reader) == b""


async def test_an_http2_connection_that_asks_for_nothing_is_closed_after_the_idle_time() -> None:
    async with played(Played(), keep_alive_s=0.2) as port, connect(port) as (reader, writer):
        client = H2Client(reader, writer)

        await client.until(lambda event: isinstance(event, h2.events.ConnectionTerminated))

        await read_all(reader)


async def test_an_answer_slower_than_the_idle_time_still_comes() -> None:
    app = Played()
    async with played(app, keep_alive_s=0.05) as port:
        asked = asyncio.create_task(ask(port, b"/held"))
        await app.arrived.wait()
        await asyncio.wait((asked,), timeout=0.2)
        app.release.set()

        assert (await asked).endswith(b"released")


async def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    async with played(Played()) as port, connect(port) as (reader, writer):
        writer.write(POST_HEAD % (b"/early", 20 * len(MEGABYTE)))
        for _ in range(20):
            writer.write(MEGABYTE)
            async with asyncio.timeout(WAIT_S):
                await writer.drain()

        answer = await read_all(reader)

    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.endswith(b"too large")


async def test_an_early_answer_over_http2_harms_no_other_stream() -> None:
    app = Played()
    async with played(app) as port, connect(port) as (reader, writer):
        client = H2Client(reader, writer)
        held = client.request("/held", end=True)
        early = client.request("/early")
        assert await client.body(early) == b"too large"

        client.h2.send_data(early, b"x" * 16_000)
        client.h2.send_data(early, b"x" * 16_000, end_stream=True)
        client.flush()
        app.release.set()

        assert await client.body(held) == b"released"


async def test_many_pieces_of_a_body_wait_for_the_app_and_all_arrive() -> None:
    async with played(Played()) as port, connect(port) as (reader, writer):
        writer.write(POST_HEAD % (b"/size", 3 * len(MEGABYTE)) + 3 * MEGABYTE)

        assert (await reader.readuntil(b"%d" % (3 * len(MEGABYTE)))).startswith(b"HTTP/1.1 200")


async def test_a_client_that_never_reads_is_cut_after_the_write_timeout(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = Played()
    with socket.socket() as client:
        small_buffers(client)
        client.setblocking(False)
        async with played(app, write_timeout_s=0.2, drain_s=WAIT_S) as port:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, b"GET /large HTTP/1.1\r\nhost: exp.host\r\n\r\n")
            await app.arrived.wait()
            started_at = loop.time()
        assert loop.time() - started_at < WAIT_S


async def test_a_client_that_withholds_its_http2_window_is_cut_after_the_write_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    app = Played()
    async with played(app, write_timeout_s=0.2) as port, connect(port) as (reader, writer):
        client = H2Client(reader, writer)
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.request("/large", method="GET", end=True)

        async with asyncio.timeout(WAIT_S):
            await app.cut.wait()

    assert "a client left the answer to /large unread" in caplog.text


@pytest.mark.parametrize("is_http2", [False, True])
async def test_a_timeout_of_the_app_is_not_blamed_on_the_client(
    is_http2: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with played(Played()) as port, connect(port) as (reader, writer):
        if is_http2:
            client = H2Client(reader, writer)
            client.request("/timeout", method="GET", end=True)
            await client.until(lambda event: isinstance(event, h2.events.ResponseReceived))
        else:
            writer.write(b"GET /timeout HTTP/1.1\r\nhost: exp.host\r\n\r\n")
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 500")

    assert "/timeout failed" in caplog.text
    assert "unread" not in caplog.text


async def test_the_app_hears_that_its_client_left() -> None:
    app = Played()
    async with played(app) as port:
        async with connect(port) as (_, writer):
            writer.write(b"GET /held HTTP/1.1\r\nhost: exp.host\r\n\r\n")
            await app.arrived.wait()

        async with asyncio.timeout(WAIT_S):
            await app.left.wait()


async def test_a_client_that_left_is_forgotten_at_once() -> None:
    before = asyncio.all_tasks()
    async with played(Played(), keep_alive_s=3600) as port:
        async with connect(port) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nhost: exp.host\r\n\r\n")
            await reader.readuntil(b"hello")
            serving = asyncio.all_tasks() - before

        _, still_there = await asyncio.wait(serving, timeout=WAIT_S)

    assert not still_there


async def test_a_client_that_ends_its_half_still_gets_the_answer() -> None:
    async with played(Played()) as port, connect(port) as (reader, writer):
        writer.write(POST_HEAD % (b"/size", 3) + b"abc")
        writer.write_eof()

        assert (await read_all(reader)).endswith(b"3")


async def test_a_malformed_request_is_answered_400() -> None:
    async with played(Played()) as port, connect(port) as (reader, writer):
        writer.write(b"not http at all\r\n\r\n" + MEGABYTE)

        assert (await read_all(reader)).startswith(b"HTTP/1.1 400")


async def test_a_post_that_offers_h2c_keeps_its_body() -> None:
    offer = b"connection: upgrade, http2-settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
    async with played(Played()) as port, connect(port) as (reader, writer):
        writer.write(b"POST /size HTTP/1.1\r\nhost: exp.host\r\ncontent-length: 5\r\n" + offer + b"\r\nhello")

        assert (await read_all(reader)).endswith(b"5")


async def test_a_client_that_expects_100_is_told_to_go_on() -> None:
    async with played(Played()) as port, connect(port) as (reader, writer):
        writer.write(b"POST /size HTTP/1.1\r\nhost: exp.host\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"hello")

        assert (await reader.readuntil(b"\r\n\r\n5")).startswith(b"HTTP/1.1 200")
