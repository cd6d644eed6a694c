"""The emulator's port: protocols, TLS, start and stop."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest

from expo_gateway.emulators.tls import EmulatorTls
from tests.emulators.fcm_fixtures import HEADERS, MESSAGE, PROJECT, TIMEOUT, World, make_world, running_world, send


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        yield session


async def test_a_push_over_http2_without_tls_is_answered_alike(world: World) -> None:
    async with httpx.AsyncClient(http1=False, http2=True, timeout=5) as client:
        responses = await asyncio.gather(
            *(client.post(world.send_url, json=MESSAGE, headers=HEADERS) for _ in range(20))
        )

    assert {(response.http_version, response.status_code) for response in responses} == {("HTTP/2", 200)}
    assert len(world.inbox.accepted()) == 20


async def test_a_push_over_tls_negotiates_http2(emulator_tls: EmulatorTls) -> None:
    world = make_world()
    await world.fcm.start(tls=emulator_tls.server_context())
    try:
        async with httpx.AsyncClient(http2=True, verify=emulator_tls.client_context(), timeout=5) as client:
            response = await client.post(world.send_url, json=MESSAGE, headers=HEADERS)
    finally:
        await world.fcm.close()

    assert (response.url.scheme, response.http_version, response.status_code) == ("https", "HTTP/2", 200)


@pytest.mark.slow
async def test_more_than_a_thousand_pushes_go_over_one_http2_connection(world: World) -> None:
    async with httpx.AsyncClient(http1=False, http2=True, timeout=30) as client:
        for _ in range(12):
            responses = await asyncio.gather(
                *(client.post(world.send_url, json=MESSAGE, headers=HEADERS) for _ in range(100))
            )
            assert {response.status_code for response in responses} == {200}


async def test_close_ends_idle_connections_and_leaves_no_task(client: aiohttp.ClientSession) -> None:
    before = asyncio.all_tasks()
    async with running_world() as world:
        await send(client, world)
        async with httpx.AsyncClient(http1=False, http2=True, timeout=5) as second:
            await second.post(world.send_url, json=MESSAGE, headers=HEADERS)
            async with asyncio.timeout(1):
                await world.fcm.close()

            assert asyncio.all_tasks() == before


async def test_close_is_bounded_for_a_client_that_never_ends_its_request(world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.fcm.port)
    writer.write(b"POST /token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
    async with asyncio.timeout(2):
        assert await reader.readline() == b"HTTP/1.1 100 \r\n"

        await world.fcm.close()

    writer.close()


async def test_it_can_start_again_after_close(client: aiohttp.ClientSession) -> None:
    world = make_world()
    for _ in range(2):
        await world.fcm.start()
        assert (await send(client, world))[0] == 200
        await world.fcm.close()
        await world.fcm.close()

    with pytest.raises(RuntimeError):
        _ = world.fcm.port


async def test_the_app_works_without_its_own_port() -> None:
    world = make_world()
    transport = httpx.ASGITransport(app=world.fcm.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://fcm") as client:
        response = await client.post(f"/v1/projects/{PROJECT}/messages:send", json=MESSAGE, headers=HEADERS)

    assert response.status_code == 200
