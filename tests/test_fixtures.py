"""Every exchange of fixtures/expo, replayed: against a running server, against what writes it, or against an SDK.

A fixture's `replay` says where. `ours` is what we answer where we differ from what was recorded; `notes` say why.
"""

import base64
import hashlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from expo_gateway.app import App, open_app
from expo_gateway.doors.http import INTERNAL_ERROR_JSON, errors_json
from expo_gateway.emulators.faults import Answer, Disconnect
from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.ticket import TicketError
from expo_gateway.settings import Dispatcher, Emulator, Settings
from tests import evidence
from tests.conftest import Server
from tests.waiting import receipts, receipts_async

REQUEST_ID = "9763c6fd-faba-4ee9-9de9-07f84840e362"
REPLAYED_BY_SDK_TESTS = "sdk"

FIXTURES = {name: evidence.load("expo", name) for name in evidence.names("expo")}


def replayed(where: str) -> list[str]:
    return [name for name, fixture in FIXTURES.items() if fixture["replay"] == where]


def test_every_fixture_is_replayed_somewhere() -> None:
    known = {"server", "strict server", "ticket", "errors", "internal error", "provider", REPLAYED_BY_SDK_TESTS}

    assert {fixture["replay"] for fixture in FIXTURES.values()} == known


@pytest.mark.parametrize("folder", ["expo", "home_assistant", "messages", "payloads"])
def test_every_fixture_says_where_it_is_from_and_when_it_was_seen(folder: str) -> None:
    unsourced = [
        name for name in evidence.names(folder) if not {"source", "seen"} <= evidence.load(folder, name).keys()
    ]

    assert unsourced == []


# -- against a server -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", replayed("server"))
def test_the_server_answers_as_its_fixture_says(name: str, server: Server) -> None:
    replay(FIXTURES[name], server)


@pytest.mark.parametrize("name", replayed("strict server"))
def test_the_strict_server_answers_as_its_fixture_says(name: str, strict_server: Server) -> None:
    replay(FIXTURES[name], strict_server)


def replay(fixture: dict[str, Any], server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30.0) as client:
        values = {key: value for step in fixture.get("before", []) for key, value in BEFORE[step](client).items()}
        request = evidence.filled(fixture["request"], values)
        answer = client.request(
            request["method"], request["path"], headers=request["headers"], content=request["body"].encode()
        )
    expected = evidence.filled(fixture.get("ours", fixture["response"]), values)
    assert answer.status_code == expected["status"], answer.text
    assert evidence.pattern(expected["body"]).fullmatch(answer.text), (answer.text, expected["body"])
    check_headers(answer, expected.get("headers", {}))


def check_headers(answer: httpx.Response, expected: dict[str, str]) -> None:
    digest = base64.b64encode(hashlib.sha1(answer.content, usedforsecurity=False).digest()).decode()[:27]
    wanted = {name: value.replace("<etag>", digest) for name, value in expected.items()}
    assert {name: answer.headers.get(name) for name in wanted} == wanted
    assert ("etag" in answer.headers) == (answer.status_code == 200)


def register(client: httpx.Client, *, experience_id: str) -> dict[str, str]:
    device_id = str(uuid.uuid4())
    device = {"type": "apns", "deviceId": device_id, "development": False, "appId": "com.example.app"}
    device |= {"deviceToken": uuid.uuid4().hex * 2, "experienceId": experience_id}
    answer = client.post("/--/api/v2/push/getExpoPushToken", json=device)
    return {"<registered>": answer.json()["data"]["expoPushToken"], "<device id>": device_id}


def register_one(client: httpx.Client) -> dict[str, str]:
    return register(client, experience_id="@emulator/app")


def register_in_two_projects(client: httpx.Client) -> dict[str, str]:
    names = {"<a1>": "@owner/slug-a", "<a2>": "@owner/slug-a", "<b1>": "@owner/slug-b"}
    return {name: register(client, experience_id=project)["<registered>"] for name, project in names.items()}


def send_two(client: httpx.Client) -> dict[str, str]:
    """Both have their receipts when this returns."""
    tokens = [f"ExponentPushToken[replay{number:016d}]" for number in range(2)]
    answer = client.post("/--/api/v2/push/send", json=[{"to": token, "body": "x"} for token in tokens])
    ids = [ticket["id"] for ticket in answer.json()["data"]]
    assert receipts(client, ids).keys() == set(ids)
    return {f"<ticket {place}>": id_ for place, id_ in enumerate(ids)}


BEFORE: dict[str, Callable[[httpx.Client], dict[str, str]]] = {
    "register": register_one,
    "two projects": register_in_two_projects,
    "send two": send_two,
}


# -- against what writes them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", replayed("errors"))
def test_an_error_that_this_server_does_not_answer_by_default_is_written_as_recorded(name: str) -> None:
    response = FIXTURES[name]["response"]
    (error,) = json.loads(response["body"])["errors"]
    refused = RequestRefused(
        error["code"],
        error["message"],
        status=response["status"],
        details=error.get("details"),
        is_transient=error["isTransient"],
    )

    assert errors_json(refused, request_id=REQUEST_ID).decode() == response["body"].replace("<uuid4>", REQUEST_ID)


@pytest.mark.parametrize("name", replayed("internal error"))
def test_an_internal_error_is_written_as_documented(name: str) -> None:
    assert INTERNAL_ERROR_JSON.decode() == FIXTURES[name]["response"]["body"]


@pytest.mark.parametrize("name", replayed("ticket"))
def test_a_ticket_that_this_server_does_not_answer_is_written_as_recorded(name: str) -> None:
    body = FIXTURES[name]["response"]["body"]
    (ticket,) = json.loads(body)["data"]
    details = ticket["details"]

    written = TicketError(message=ticket["message"], error=details["error"], fault=details.get("fault")).to_json()

    assert f'{{"data":[{written.decode()}]}}' == body


# -- receipts: what the provider said, by the emulators at the wire ---------------------------------------------------


@pytest.mark.parametrize("name", replayed("provider"))
async def test_a_refusal_by_the_provider_becomes_the_recorded_receipt(name: str, tmp_path: Path) -> None:
    fixture = FIXTURES[name]
    platform: Literal["ios", "android"] = "ios" if "apns" in fixture["provider"] else "android"
    settings = Settings(emulator=Emulator(platform=platform), dispatcher=Dispatcher(retry_budget_s=0.0))
    async with (
        open_app(settings, tmp_path) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://test") as client,
    ):
        await app.emulators.up()
        refuse(app, fixture["provider"])
        sent = await client.post(
            "/--/api/v2/push/send", json=[{"to": "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]", "body": "x"}]
        )
        id_ = sent.json()["data"][0]["id"]
        await receipts_async(client, [id_])
        answer = await client.post(fixture["request"]["path"], json={"ids": [id_]})

    expected = evidence.filled(fixture.get("ours", fixture["response"]), {"<ticket 0>": id_})
    assert evidence.pattern(expected["body"]).fullmatch(answer.text), (answer.text, expected["body"])


def refuse(app: App, said: dict[str, Any]) -> None:
    """Let the emulator of the provider refuse every push from now on."""
    emulated = app.emulators.opened
    match said:
        case {"apns": {"disconnect": True}}:
            emulated.faults.force(Disconnect(), provider="apns")
        case {"apns": {"status": int(status), "reason": str(reason)}}:
            timestamp_ms = 4_000_000_000_000 if status == 410 else None
            answer = Answer(status=status, reason=reason, timestamp_ms=timestamp_ms)
            emulated.faults.force(answer, provider="apns")
        case {"fcm": {"status": int(status), "errorCode": str(code)}}:
            emulated.faults.force(Answer(status=status, reason=code), provider="fcm")
        case _:
            raise AssertionError(said)
