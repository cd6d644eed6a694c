"""Start and stop of the APNs emulator, and peers that misbehave: none of them may harm another."""

import asyncio
import random
import ssl

import pytest
from h2.exceptions import ProtocolError

from expo_gateway.emulators.apns import ApnsEmulator
from expo_gateway.emulators.apns_connection import ApnsConnection, ConnectionRules
from expo_gateway.emulators.apns_http2 import ServerConnection
from expo_gateway.emulators.faults import Hang, Slow
from tests.emulators.apns_world import World, worlds_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = bytes.fromhex("000000" "04" "00" "00000000")  # fmt: skip


async def opened(world: World, emulator: ApnsEmulator) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("localhost", emulator.port, ssl=world.tls.client_context())


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def left(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return


async def test_before_the_start_there_is_no_port(apns_world: World) -> None:
    emulator = ApnsEmulator(
        world=apns_world.emulated,
        ssl_context=apns_world.tls.server_context(("h2",)),
    )

    with pytest.raises(RuntimeError, match="not started"):
        _ = emulator.port
    await emulator.close()


async def test_it_starts_once_and_again_after_a_close(apns_world: World) -> None:
    async with apns_world.apns() as emulator:
        with pytest.raises(RuntimeError, match="already started"):
            await emulator.start()
        await emulator.close()
        await emulator.start()
        async with await apns_world.client(emulator) as client:
            assert (await client.request(apns_world.headers())).status == 200
        await emulator.close()
        await emulator.close()


async def test_a_port_that_is_taken_is_an_error(apns_world: World) -> None:
    async with apns_world.apns() as first, apns_world.apns() as second:
        await second.close()
        with pytest.raises(OSError, match="in use"):
            await second.start(port=first.port)


async def test_it_listens_on_ipv6_too(apns_world: World) -> None:
    async with apns_world.apns() as emulator:
        await emulator.close()
        await emulator.start("::1")
        reader, writer = await asyncio.open_connection("::1", emulator.port, ssl=apns_world.tls.client_context())
        writer.write(PREFACE + EMPTY_SETTINGS)
        assert (await reader.readexactly(9))[3] == 4
        await left(writer)


async def test_close_says_goaway_and_leaves_no_task(apns_world: World) -> None:
    before = asyncio.all_tasks()

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        await client.request(apns_world.headers())
        await emulator.close()
        await client.until(lambda: client.is_closed)

    assert [(g.last_stream_id, g.additional_data) for g in client.goaways] == [(1, b'{"reason":"Shutdown"}')]
    assert asyncio.all_tasks() == before
    assert emulator.connection_count == 0


async def test_close_gives_a_slow_answer_its_time(apns_world: World) -> None:
    apns_world.force(Slow(0.1))

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        stream_id = client.send(apns_world.headers())
        client.h2.ping(b"12345678")
        client.flush()
        await client.until(lambda: client.is_settled)
        closing = asyncio.create_task(emulator.close())
        response = await client.response(stream_id)
        await closing

    assert response.status == 200


async def test_close_doesnt_wait_for_hung_requests_and_half_open_connections(apns_world: World) -> None:
    apns_world.force(Hang())
    loop = asyncio.get_running_loop()

    async with apns_world.apns() as emulator:
        _, silent = await asyncio.open_connection("127.0.0.1", emulator.port)  # says nothing, not even TLS
        async with await apns_world.client(emulator) as client:
            client.send(apns_world.headers())
            client.h2.ping(b"12345678")
            client.flush()
            await client.until(lambda: client.is_settled)
            began_at = loop.time()
            await emulator.close()
            assert loop.time() - began_at < 1.0
        await left(silent)


async def test_close_cuts_what_isnt_over_in_time(apns_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expo_gateway.emulators.apns.CLOSE_S", 0.05)
    apns_world.force(Slow(60.0))

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        client.send(apns_world.headers())
        client.h2.ping(b"12345678")
        client.flush()
        await client.until(lambda: client.is_settled)
        await emulator.close()

    assert [capture.status for capture in apns_world.inbox] == [0]


def garbage(dice: random.Random) -> bytes:
    """A preface, a frame of a known kind with random content, and noise."""
    kind, flags, stream = dice.randrange(10), dice.randrange(256), dice.choice((0, 1, 2, 3))
    payload = dice.randbytes(dice.randrange(1, 40))
    frame = len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload
    return PREFACE + EMPTY_SETTINGS + frame + dice.randbytes(20_000)


async def test_malformed_http2_ends_its_own_connection_only(apns_world: World) -> None:
    dice = random.Random(7)
    unforeseen: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unforeseen.append(context))

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as bystander:
        for _ in range(20):
            _, writer = await opened(apns_world, emulator)
            writer.write(garbage(dice))
            assert (await bystander.request(apns_world.headers())).status == 200
            await left(writer)

    assert unforeseen == []


def test_whatever_comes_in_is_at_worst_a_protocol_error() -> None:
    refused = 0
    for seed in range(500):
        connection = ServerConnection(max_streams=10)
        try:
            connection.receive(garbage(random.Random(seed)))
        except ProtocolError:
            refused += 1

    assert refused > 0


async def test_a_frame_that_gets_too_large_ends_the_connection_before_it_is_complete(apns_world: World) -> None:
    head_of_16_mib = bytes.fromhex("ffffff" "00" "00" "00000001")  # fmt: skip
    async with apns_world.apns() as emulator:
        reader, writer = await opened(apns_world, emulator)
        writer.write(PREFACE + EMPTY_SETTINGS + head_of_16_mib + bytes(17_000))

        assert (await read_to_end(reader)).endswith(bytes.fromhex("00000000" "00000006"))  # fmt: skip
        await left(writer)


async def test_http_1_is_refused(apns_world: World) -> None:
    async with apns_world.apns() as emulator:
        reader, writer = await opened(apns_world, emulator)
        writer.write(b"POST /3/device/00 HTTP/1.1\r\nhost: localhost\r\n\r\n")

        assert b"HTTP/1.1" not in await read_to_end(reader)
        await left(writer)


async def test_without_tls_nothing_is_said(apns_world: World) -> None:
    async with apns_world.apns() as emulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
        writer.write(PREFACE + EMPTY_SETTINGS)

        assert b"PRI" not in await read_to_end(reader)
        await left(writer)


async def test_a_client_that_doesnt_trust_it_harms_nobody(apns_world: World) -> None:
    async with apns_world.apns() as emulator:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("localhost", emulator.port, ssl=ssl.create_default_context())

        async with await apns_world.client(emulator) as client:
            assert (await client.request(apns_world.headers())).status == 200


async def test_connections_above_the_limit_are_closed(apns_world: World) -> None:
    async with apns_world.apns(max_connections=1) as emulator, await apns_world.client(emulator) as first:
        with pytest.raises(OSError):  # noqa: PT011  which one depends on how far the handshake got
            await opened(apns_world, emulator)
        assert (await first.request(apns_world.headers())).status == 200


async def test_headers_without_end_are_bounded(apns_world: World) -> None:
    headers_frame = bytes.fromhex("000001" "01" "00" "00000001" "82")  # fmt: skip
    continuation = bytes.fromhex("000001" "09" "00" "00000001" "82")  # fmt: skip
    async with apns_world.apns() as emulator:
        reader, writer = await opened(apns_world, emulator)
        writer.write(PREFACE + EMPTY_SETTINGS + headers_frame + continuation * 1000)

        await read_to_end(reader)
        await left(writer)

        assert reader.at_eof()


async def test_a_flood_of_streams_ends_the_connection(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        headers = {":method": "POST", ":scheme": "https", ":path": "/", ":authority": "a"}
        for _ in range(4200):
            client.send(headers, b"", ends=False)
        client.flush()
        await client.until(lambda: client.is_closed)

    assert [goaway.error_code for goaway in client.goaways] == [1]


@pytest.mark.parametrize(("rules", "speaks"), [
    (ConnectionRules(preface_s=0.02), False),
    (ConnectionRules(preface_s=0.01, idle_s=0.02), True),
])  # fmt: skip
async def test_a_silent_connection_is_ended(apns_world: World, rules: ConnectionRules, speaks: bool) -> None:
    loop = asyncio.get_running_loop()
    connection = ApnsConnection(worlds=worlds_of(apns_world), rules=rules, loop=loop)
    server = await loop.create_server(lambda: connection, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        if speaks:
            writer.write(PREFACE + EMPTY_SETTINGS)
        said = await read_to_end(reader)
        await left(writer)
        await connection.closed.wait()

    assert (b'{"reason":"IdleTimeout"}' in said) is speaks
