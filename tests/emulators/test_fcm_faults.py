"""Faults of the FCM emulator and of its token endpoint, on the wire."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest
from h2.connection import H2Connection
from h2.events import ResponseReceived

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Act, Answer, Disconnect, GoAway, Hang, Reset, Slow
from tests.emulators.fcm_fixtures import (
    DEVICE_TOKEN,
    HEADERS,
    MESSAGE,
    PROJECT,
    TIMEOUT,
    World,
    running_world,
    send,
)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        yield session


async def captured(world: World, count: int = 1) -> None:
    """Until the inbox holds `count` captures."""
    async with asyncio.timeout(5):
        while len(world.inbox) < count:  # noqa: ASYNC110 (an inbox has no event)
            await asyncio.sleep(0.001)


async def test_a_forced_answer_goes_to_its_device_only_and_as_often_as_said(
    client: aiohttp.ClientSession, world: World
) -> None:
    world.faults.force(fcm_errors.quota_exceeded("1", retry_after_s=7), device_token="b", times=1)
    pushes = [{"message": {"token": token}} for token in ("a", "b", "b")]

    statuses = [(await send(client, world, push))[0] for push in pushes]

    assert statuses == [200, 429, 200]
    assert [capture.reason for capture in world.inbox] == ["", "RESOURCE_EXHAUSTED", ""]


async def test_a_forced_answer_brings_its_headers(client: aiohttp.ClientSession, world: World) -> None:
    world.faults.force(fcm_errors.unavailable(retry_after_s=7))

    async with client.post(world.send_url, json=MESSAGE, headers=HEADERS) as response:
        assert (response.status, response.headers["retry-after"]) == (503, "7")


async def test_a_forced_page_is_html(client: aiohttp.ClientSession, world: World) -> None:
    world.faults.force(fcm_errors.front_end_error(502))

    async with client.post(world.send_url, json=MESSAGE, headers=HEADERS) as response:
        assert (response.status, response.headers.getall("content-type")) == (502, [fcm_errors.HTML])


async def test_a_forced_reason_without_a_body_gets_one(client: aiohttp.ClientSession, world: World) -> None:
    world.faults.force(Answer(status=403, reason="SENDER_ID_MISMATCH"))

    status, error = await send(client, world)

    assert (status, error["error"]["details"][0]["errorCode"]) == (403, "SENDER_ID_MISMATCH")


async def test_a_forced_success_has_a_name(client: aiohttp.ClientSession, world: World) -> None:
    world.faults.force(Answer(status=200))

    status, answer = await send(client, world, {"message": {"token": "not a token"}})

    assert status == 200
    assert answer["name"].startswith(f"projects/{PROJECT}/messages/0:")


async def test_a_forced_empty_body_is_empty(client: aiohttp.ClientSession, world: World) -> None:
    world.faults.force(Answer(status=500, body=b""))

    async with client.post(world.send_url, json=MESSAGE, headers=HEADERS) as response:
        assert (response.status, await response.read()) == (500, b"")


@pytest.mark.parametrize("act", [Disconnect(), Reset(7), GoAway()], ids=["disconnect", "reset", "goaway"])
async def test_a_cut_closes_the_connection_without_an_answer_and_without_noise(
    client: aiohttp.ClientSession, world: World, act: Act, caplog: pytest.LogCaptureFixture
) -> None:
    world.faults.force(act, times=1)

    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await send(client, world)

    await world.fcm.close()
    assert [(capture.status, capture.device_token) for capture in world.inbox] == [(0, DEVICE_TOKEN)]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_cut_over_http2_closes_the_connection(world: World) -> None:
    world.faults.force(Disconnect(), times=1)
    async with httpx.AsyncClient(http1=False, http2=True, timeout=5) as client:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.post(world.send_url, json=MESSAGE, headers=HEADERS)

        assert (await client.post(world.send_url, json=MESSAGE, headers=HEADERS)).status_code == 200


async def test_a_hang_is_captured_and_never_answered(client: aiohttp.ClientSession, world: World) -> None:
    world.faults.force(Hang())
    pending = asyncio.create_task(send(client, world))
    await captured(world)

    done, _ = await asyncio.wait([pending], timeout=0.05)
    pending.cancel()

    assert not done
    assert [capture.status for capture in world.inbox] == [0]


async def test_a_slow_answer_is_captured_at_once_and_comes_later(client: aiohttp.ClientSession, world: World) -> None:
    world.faults.force(Slow(0.1))
    pending = asyncio.create_task(send(client, world))
    await captured(world)

    assert not pending.done()
    assert (await pending)[0] == 200
    assert [capture.status for capture in world.inbox] == [200]


class Http2Client:
    """As much of HTTP/2 as it takes to give up one stream and wait for another; httpx can't."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = H2Connection()
        self._h2.initiate_connection()

    def push(self, stream_id: int, device_token: str) -> None:
        path = f"/v1/projects/{PROJECT}/messages:send"
        pseudo = {":method": "POST", ":scheme": "http", ":authority": "fcm", ":path": path}
        self._h2.send_headers(stream_id, [*pseudo.items(), ("authorization", "Bearer x")])
        self._h2.send_data(stream_id, json.dumps({"message": {"token": device_token}}).encode(), end_stream=True)
        self._writer.write(self._h2.data_to_send())

    def give_up(self, stream_id: int) -> None:
        self._h2.reset_stream(stream_id, error_code=8)
        self._writer.write(self._h2.data_to_send())

    async def answered_stream(self) -> int | None:
        """The stream of the next answer, None when the connection ends before."""
        while data := await self._reader.read(65536):
            for event in self._h2.receive_data(data):
                if isinstance(event, ResponseReceived):
                    return event.stream_id
            self._writer.write(self._h2.data_to_send())
        return None


async def test_a_stream_that_its_client_gives_up_leaves_the_others_alone(world: World) -> None:
    world.faults.force(Hang(), device_token="a")
    world.faults.force(Slow(0.1), device_token="b")
    reader, writer = await asyncio.open_connection("127.0.0.1", world.fcm.port)
    client = Http2Client(reader, writer)
    client.push(1, "a")
    client.push(3, "b")
    await captured(world, 2)

    client.give_up(1)

    async with asyncio.timeout(5):
        assert await client.answered_stream() == 3
    writer.close()


@pytest.mark.parametrize("act", [Hang(), Slow(60)], ids=["hang", "slow"])
async def test_close_cuts_what_a_fault_holds_and_returns_soon(
    client: aiohttp.ClientSession, world: World, act: Act
) -> None:
    world.faults.force(act)
    pending = asyncio.create_task(send(client, world))
    await captured(world)

    async with asyncio.timeout(1):
        await world.fcm.close()

    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await pending


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (Answer(status=503, reason="backend_error"), (503, {"error": "backend_error"})),
        (Answer(status=400, body=b'{"error":"invalid_grant"}'), (400, {"error": "invalid_grant"})),
    ],
)
async def test_the_token_endpoint_has_faults_of_its_own(
    client: aiohttp.ClientSession, world: World, act: Act, expected: tuple[int, object]
) -> None:
    world.faults.force(act, provider="oauth", times=1)

    async with client.post(world.fcm.token_url, data=b"") as response:
        assert (response.status, await response.json()) == expected
    assert (await send(client, world))[0] == 200


async def test_the_token_endpoint_can_disconnect(client: aiohttp.ClientSession, world: World) -> None:
    world.faults.force(Disconnect(), provider="oauth")

    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        async with client.post(world.fcm.token_url, data=b"x"):
            pass
