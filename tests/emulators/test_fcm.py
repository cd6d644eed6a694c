"""The FCM emulator on the wire: what it answers and what it keeps."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Answer
from tests.emulators.fcm_fixtures import (
    CLIENT_EMAIL,
    DEVICE_TOKEN,
    HEADERS,
    KEY_ID,
    MESSAGE,
    PROJECT,
    TIMEOUT,
    Assertion,
    SigningKey,
    World,
    cases,
    make_signing_key,
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


@pytest.fixture(scope="module")
def signing_key() -> SigningKey:
    return make_signing_key()


async def access_token(client: aiohttp.ClientSession, world: World, signing_key: SigningKey) -> str:
    form = Assertion(signing_key, world.clock.now).form()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with client.post(world.fcm.token_url, data=form, headers=headers) as response:
        assert response.status == 200
        return str((await response.json())["access_token"])


def bearer(token: str) -> dict[str, str]:
    return {**HEADERS, "Authorization": f"Bearer {token}"}


def body_of(answer: Answer) -> Any:
    return json.loads(answer.body or b"")


async def test_an_accepted_push_is_answered_with_a_message_name(client: aiohttp.ClientSession, world: World) -> None:
    async with client.post(world.send_url, json=MESSAGE, headers=HEADERS) as response:
        text = await response.text()

    assert response.status == 200
    assert response.headers["content-type"] == "application/json; charset=UTF-8"
    assert text.startswith(f'{{\n  "name": "projects/{PROJECT}/messages/0:1760000000000000%')
    [capture] = world.inbox.accepted()
    assert json.loads(text)["name"] == capture.answer_id


async def test_two_pushes_get_two_names(client: aiohttp.ClientSession, world: World) -> None:
    names = {(await send(client, world))[1]["name"] for _ in range(2)}

    assert len(names) == 2


async def test_a_capture_holds_the_request_as_it_stood_on_the_wire(client: aiohttp.ClientSession, world: World) -> None:
    body = b'{"message": {"token": "abc",  "data": {"k": "v"}}}'
    await send(client, world, body, {**HEADERS, "X-Case": "Kept"})

    [capture] = world.inbox
    assert (capture.emulator, capture.status, capture.reason, capture.device_token) == ("fcm", 200, "", "abc")
    assert capture.body == body
    assert capture.path == f"/v1/projects/{PROJECT}/messages:send"
    assert capture.received_at == world.clock.now
    assert ("X-Case", "Kept") in capture.headers


async def test_a_capture_keeps_no_access_token(client: aiohttp.ClientSession, world: World) -> None:
    await send(client, world, headers=bearer("ya29.secret"))

    [capture] = world.inbox
    assert dict(capture.headers)["Authorization"] == "Bearer"
    assert "ya29.secret" not in repr(capture)


@pytest.mark.parametrize("case", cases("refused_requests", "refusals")[::6], ids=lambda case: str(case["name"]))
async def test_a_refusal_reaches_the_wire_and_the_inbox(
    client: aiohttp.ClientSession, world: World, case: dict[str, Any]
) -> None:
    assert await send(client, world, case["request"]) == (400, case["body"])
    [capture] = world.inbox
    assert (capture.status, capture.reason, capture.answer_id) == (400, "INVALID_ARGUMENT", "")


async def test_a_project_number_is_a_project(client: aiohttp.ClientSession, world: World) -> None:
    url = f"{world.fcm.url}/v1/projects/1234567890/messages:send"
    async with client.post(url, json=MESSAGE, headers=HEADERS) as response:
        assert (await response.json())["name"].startswith("projects/1234567890/messages/0:")


@pytest.mark.parametrize("target", [{"topic": "news"}, {"condition": "'a' in topics"}])
async def test_a_push_to_topics_succeeds_and_names_no_device(
    client: aiohttp.ClientSession, world: World, target: dict[str, str]
) -> None:
    status, _ = await send(client, world, {"message": target})

    [capture] = world.inbox
    assert (status, capture.device_token, len(world.devices)) == (200, "", 0)


async def test_the_first_push_enrols_its_device_without_an_app(client: aiohttp.ClientSession, world: World) -> None:
    await send(client, world)

    device = world.devices.get(DEVICE_TOKEN)
    assert device is not None
    assert device.app_id == ""


async def test_an_unknown_device_is_unregistered_when_only_known_ones_count(
    client: aiohttp.ClientSession, world: World
) -> None:
    world.devices.known_only = True

    assert await send(client, world) == (404, body_of(fcm_errors.unregistered()))


async def test_a_device_whose_app_was_removed_is_unregistered(client: aiohttp.ClientSession, world: World) -> None:
    world.devices.enrol(DEVICE_TOKEN, app_id="com.example")
    world.devices.unregister(DEVICE_TOKEN, at=world.clock.now)

    assert await send(client, world) == (404, body_of(fcm_errors.unregistered()))
    assert [capture.reason for capture in world.inbox] == ["UNREGISTERED"]


async def test_validating_only_answers_and_leaves_nothing_behind(client: aiohttp.ClientSession, world: World) -> None:
    status, answer = await send(client, world, {**MESSAGE, "validate_only": True})

    assert (status, answer) == (200, {"name": f"projects/{PROJECT}/messages/fake_message_id"})
    assert (len(world.inbox), len(world.devices)) == (0, 0)


async def test_validating_only_still_refuses(client: aiohttp.ClientSession, world: World) -> None:
    world.devices.enrol(DEVICE_TOKEN, app_id="")
    world.devices.unregister(DEVICE_TOKEN, at=world.clock.now)

    assert (await send(client, world, {**MESSAGE, "validate_only": True}))[0] == 404


async def test_a_push_without_credentials_is_refused(client: aiohttp.ClientSession, world: World) -> None:
    assert await send(client, world, headers={}) == (401, body_of(fcm_errors.credentials_missing()))


@pytest.mark.parametrize("authorization", ["Basic dTpw", "Bearer", "Bearer "])
async def test_credentials_of_another_kind_are_invalid(
    client: aiohttp.ClientSession, world: World, authorization: str
) -> None:
    answer = await send(client, world, headers={"Authorization": authorization})

    assert answer == (401, body_of(fcm_errors.access_token_invalid()))


async def test_a_foreign_access_token_is_refused_when_only_known_ones_count(
    client: aiohttp.ClientSession, world: World
) -> None:
    world.oauth.known_tokens_only = True

    assert await send(client, world) == (401, body_of(fcm_errors.access_token_invalid()))


async def test_a_token_from_the_token_endpoint_is_good_for_an_hour(
    client: aiohttp.ClientSession, world: World, signing_key: SigningKey
) -> None:
    world.oauth.known_tokens_only = True
    token = await access_token(client, world, signing_key)

    assert (await send(client, world, headers=bearer(token)))[0] == 200
    world.clock.now += 3600
    assert await send(client, world, headers=bearer(token)) == (401, body_of(fcm_errors.access_token_expired()))


async def test_a_revoked_token_has_expired(
    client: aiohttp.ClientSession, world: World, signing_key: SigningKey
) -> None:
    token = await access_token(client, world, signing_key)
    world.oauth.revoke_all()

    assert await send(client, world, headers=bearer(token)) == (401, body_of(fcm_errors.access_token_expired()))


async def test_an_account_of_another_project_is_denied(
    client: aiohttp.ClientSession, world: World, signing_key: SigningKey
) -> None:
    world.oauth.trust_service_account(
        client_email=CLIENT_EMAIL,
        private_key_id=KEY_ID,
        public_key_pem=signing_key.public_pem,
        project_id="other-project",
    )
    token = await access_token(client, world, signing_key)

    assert await send(client, world, headers=bearer(token)) == (403, body_of(fcm_errors.permission_denied(PROJECT)))


async def test_the_token_endpoint_refuses_in_json(client: aiohttp.ClientSession, world: World) -> None:
    async with client.post(world.fcm.token_url, data={"grant_type": "password"}) as response:
        assert response.status == 400
        assert (await response.json())["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/projects/p/messages:send"), ("POST", "/fcm/send")])
async def test_anything_else_is_the_front_ends_404_page(
    client: aiohttp.ClientSession, world: World, method: str, path: str
) -> None:
    async with client.request(method, world.fcm.url + path) as response:
        assert (response.status, response.content_type) == (404, "text/html")


async def test_a_body_over_the_limit_is_refused_and_not_captured(client: aiohttp.ClientSession) -> None:
    async with running_world(max_body_bytes=100) as world:
        assert (await send(client, world))[0] == 200
        status, error = await send(client, world, b"x" * 101)

    assert (status, error["error"]["code"]) == (413, 413)
    assert len(world.inbox) == 1
