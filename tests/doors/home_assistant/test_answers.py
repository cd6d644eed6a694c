"""What Home Assistant's own endpoints have in common."""

import asyncio

import orjson
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.home_assistant.answers import Asked, Endpoint, Reply, text_reply
from tests.doors.home_assistant.scene import TOKEN, WAIT_S, Scene, doors
from tests.doors.test_http import post


async def test_a_store_that_does_not_answer_is_said_to_be_away(scene: Scene) -> None:
    await scene.file.__aexit__(None, None, None)

    status, text = await scene.call("GET", "/api/services")

    assert (status, "Try again" in orjson.loads(text)["message"]) == (503, True)


async def test_a_fault_of_ours_is_logged_without_what_stands_in_the_path(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(asked: Asked) -> Reply:
        raise ZeroDivisionError

    endpoint = Endpoint(fails, bodies=Bodies(timeout_s=5))
    answer = await post(Starlette(routes=[Route("/hook/{id}", endpoint)]), path="/hook/secret")

    assert (answer.status_code, list(answer.json())) == (500, ["message"])
    assert "/hook/{id} failed" in caplog.text
    assert "secret" not in caplog.text


async def test_a_body_that_never_comes_is_timed_out() -> None:
    async with doors(body_timeout_s=0.05) as scene:
        host, _, port = scene.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /api/mobile_app/registrations HTTP/1.1\r\nhost: gateway\r\ncontent-length: 5\r\n")
        writer.write(f"authorization: Bearer {TOKEN}\r\n\r\n".encode())
        async with asyncio.timeout(WAIT_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()


def test_a_text_names_its_status() -> None:
    assert text_reply(400).body == b"400: Bad Request"


def test_a_secret_stays_out_of_repr() -> None:
    asked = Asked(method="POST", parameters={"webhook_id": "secret"}, body=b"secret", user_id="")

    assert "secret" not in repr(asked)
