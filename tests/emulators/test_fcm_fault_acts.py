"""Faults as a tester writes them, at the FCM emulator and its token endpoint, on the wire."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from expo_gateway.emulators.fault_acts import FCM_ERRORS
from expo_gateway.emulators.fault_json import decode_rule
from expo_gateway.emulators.fault_rules import FaultRule
from tests.emulators.fcm_fixtures import (
    CLIENT_EMAIL,
    HEADERS,
    KEY_ID,
    MESSAGE,
    PROJECT,
    TIMEOUT,
    Assertion,
    SigningKey,
    World,
    make_signing_key,
    running_world,
    send,
)

CUT = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return make_signing_key()


@pytest.fixture
async def world(key: SigningKey) -> AsyncIterator[World]:
    async with running_world() as running:
        running.oauth.trust_service_account(
            client_email=CLIENT_EMAIL, private_key_id=KEY_ID, public_key_pem=key.public_pem, project_id=PROJECT
        )
        yield running


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        yield session


def force(world: World, act: dict[str, Any], **match: Any) -> FaultRule:
    return world.faults.add(decode_rule({"match": match, "act": act}, now=world.clock.now))


async def ask_for_token(client: aiohttp.ClientSession, world: World, key: SigningKey) -> tuple[int, Any]:
    form = Assertion(key, world.clock.now).form()
    content_type = {"content-type": "application/x-www-form-urlencoded"}
    async with client.post(world.fcm.token_url, data=form, headers=content_type) as response:
        return response.status, await response.json()


async def send_with(client: aiohttp.ClientSession, world: World, token: str) -> int:
    return (await send(client, world, headers=HEADERS | {"Authorization": f"Bearer {token}"}))[0]


@pytest.mark.parametrize("code", FCM_ERRORS)
async def test_every_error_of_fcm_comes_as_it_is(client: aiohttp.ClientSession, world: World, code: str) -> None:
    force(world, {"type": "fcm_error", "code": code, "retry_after_s": 7})
    expected = FCM_ERRORS[code]()

    async with client.post(world.send_url, json=MESSAGE, headers=HEADERS) as response:
        assert (response.status, await response.read()) == (expected.status, expected.body)
        assert response.headers["retry-after"] == "7"
    assert [capture.reason for capture in world.inbox] == [expected.reason]


async def test_a_latency_delays_the_ordinary_answer(client: aiohttp.ClientSession, world: World) -> None:
    force(world, {"type": "latency", "delay": {"shape": "uniform", "min_s": 0.05, "max_s": 0.1}})
    began_at = time.monotonic()

    status, _ = await send(client, world)

    assert status == 200
    assert time.monotonic() - began_at >= 0.05


@pytest.mark.parametrize("reset", [False, True])
async def test_a_disconnect_may_be_a_tcp_reset(world: World, reset: bool) -> None:
    force(world, {"type": "disconnect", "reset": reset})
    reader, writer = await asyncio.open_connection("127.0.0.1", world.fcm.port)
    writer.write(b"POST /v1/projects/p/messages:send HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")

    async with asyncio.timeout(5):
        try:
            was_reset = await reader.read() != b""
        except ConnectionResetError:
            was_reset = True
    writer.close()

    assert was_reset is reset


async def test_during_an_outage_both_fcm_and_the_token_endpoint_cut(
    client: aiohttp.ClientSession, world: World, key: SigningKey
) -> None:
    force(world, {"type": "outage"}, for_s=60)

    with pytest.raises(CUT):
        await send(client, world)
    with pytest.raises(CUT):
        await ask_for_token(client, world, key)
    world.clock.now += 60

    assert (await send(client, world))[0] == 200
    assert (await ask_for_token(client, world, key))[0] == 200
    assert [capture.status for capture in world.inbox] == [200]


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ({"type": "oauth_error"}, (400, {"error": "invalid_grant"})),
        (
            {"type": "oauth_error", "error": "backend_error", "status": 503, "description": "later"},
            (503, {"error": "backend_error", "error_description": "later"}),
        ),
    ],
)
async def test_the_token_endpoint_refuses_so_many_times(
    client: aiohttp.ClientSession, world: World, key: SigningKey, act: dict[str, Any], expected: tuple[int, Any]
) -> None:
    force(world, act, times=1)

    assert await ask_for_token(client, world, key) == expected
    assert (await ask_for_token(client, world, key))[0] == 200


async def test_the_token_endpoint_hangs(client: aiohttp.ClientSession, world: World, key: SigningKey) -> None:
    force(world, {"type": "hang"}, provider="oauth")
    pending = asyncio.create_task(ask_for_token(client, world, key))

    done, _ = await asyncio.wait([pending], timeout=0.1)
    pending.cancel()

    assert not done
    assert (await send(client, world))[0] == 200


async def test_a_fault_of_the_token_endpoint_ends_access_tokens_from_before_it(
    client: aiohttp.ClientSession, world: World, key: SigningKey
) -> None:
    old = (await ask_for_token(client, world, key))[1]["access_token"]
    assert await send_with(client, world, old) == 200
    rule = force(world, {"type": "oauth_error"}, every=2)

    assert await send_with(client, world, old) == 401
    new = (await ask_for_token(client, world, key))[1]["access_token"]
    assert (await ask_for_token(client, world, key))[0] == 400
    assert await send_with(client, world, new) == 200

    world.faults.remove(rule.id)
    assert await send_with(client, world, old) == 200
