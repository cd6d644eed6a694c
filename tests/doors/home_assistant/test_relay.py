"""The relay's paths over HTTP: always a JSON object, whatever was asked."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.home_assistant.relay import routes
from tests.home_assistant.relay_scene import FCM_TOKEN, PHONE, Scene, body, opened

PATHS = ["/api/sendPushNotification", "/api/sendPush/android/v1", "/api/checkRateLimits"]
JSON = {"content-type": "application/json"}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with opened() as scene:
        yield scene


def client(scene: Scene, *, exact: bool = False, prefix: str = "", max_body_bytes: int = 4096) -> httpx.AsyncClient:
    bodies = Bodies(timeout_s=0.2, max_body_bytes=max_body_bytes)
    relay = scene.relay(exact=exact, exact_wait_s=0.01)
    app = Starlette(routes=routes(relay, bodies=bodies, prefix=prefix))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://relay", headers=JSON)


@pytest.mark.parametrize("path", PATHS)
async def test_each_path_answers_json(scene: Scene, path: str) -> None:
    async with client(scene) as http:
        answer = await http.post(path, content=body())

    assert answer.status_code == (200 if path == PATHS[2] else 201)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json()["rateLimits"]["maximum"] == 500


async def test_the_paths_may_stand_under_a_prefix(scene: Scene) -> None:
    async with client(scene, prefix="/relay") as http:
        assert (await http.post("/relay" + PATHS[0], content=body())).status_code == 201
        assert (await http.post(PATHS[0], content=body())).status_code == 404


async def test_any_content_type_will_do(scene: Scene) -> None:
    async with client(scene) as http:
        answer = await http.post(PATHS[0], content=body(), headers={"content-type": "text/plain"})

    assert answer.status_code == 201


@pytest.mark.parametrize(("exact", "status"), [(False, 405), (True, 404)])
async def test_only_posts_are_answered(scene: Scene, exact: bool, status: int) -> None:
    async with client(scene, exact=exact) as http:
        answer = await http.get(PATHS[0])

    assert (answer.status_code, bool(answer.json()["message"])) == (status, True)


async def test_a_body_that_is_too_large_is_told_so(scene: Scene) -> None:
    async with client(scene, max_body_bytes=100) as http:
        answer = await http.post(PATHS[0], content=body())

    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert "100 bytes" in answer.json()["message"]


async def test_a_body_that_does_not_come_is_told_so(scene: Scene) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with client(scene) as http:
        answer = await http.post(PATHS[0], content=slow())

    assert (answer.status_code, bool(answer.json()["message"])) == (408, True)


async def test_the_official_relay_reads_one_type_only(scene: Scene) -> None:
    async with client(scene, exact=True) as http:
        refused = await http.post(PATHS[1], content=body(FCM_TOKEN), headers={"content-type": "text/plain"})
        taken = await http.post(
            PATHS[1], content=body(FCM_TOKEN), headers={"content-type": "application/json; charset=utf-8"}
        )

    assert (refused.status_code, refused.json()["error"]) == (415, "Unsupported Media Type")
    assert taken.status_code == 201


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("spoilt", [b"", b"{", b"[]", b"null", b'{"push_token":{}}', b"{}"])
async def test_every_error_is_an_object_with_words(scene: Scene, path: str, spoilt: bytes, exact: bool) -> None:
    """An empty one ends Home Assistant's automation."""
    async with client(scene, exact=exact) as http:
        answer = await http.post(path, content=spoilt)

    said = answer.json()
    assert answer.is_error
    assert isinstance(said.get("message") or said.get("errorMessage"), str)


async def test_whole_tokens_are_in_no_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with client(scene) as http:
        for path in PATHS:
            await http.post(path, content=body())
        await http.post(PATHS[0], content=body("ab" * 32))

    assert PHONE not in caplog.text
    assert "ab" * 32 not in caplog.text
