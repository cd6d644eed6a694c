import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from expo_gateway.app import App, open_app
from expo_gateway.emulators.faults import Answer
from expo_gateway.log_context import bind
from expo_gateway.logs import set_up_logs
from expo_gateway.settings import Logs, Settings
from tests.waiting import receipts_async

API = "/--/api/v2/push"
BEARER = "thisIsAnAccessTokenOfSomebody42"
# Told apart in the middle: the first four and last two characters of a token may be shown.
DEVICE_TOKENS = [
    "5e" * 8 + "c0ffee" + "5e" * 21,
    "7d" * 8 + "decaf0" + "7d" * 21,
    "fcmSecret:" + "APA91bSecretOfAPhone" * 5,
]
PUSH_TOKENS = [f"ExponentPushToken[aaaa{place:02d}SecretOfAnApp{place}zz]" for place in range(6)]
# Nobody asked for them before, so they are looked up in the store.
UNSEEN_PUSH_TOKENS = [f"ExponentPushToken[aaaa{place:02d}SecretOfAnApp{place}zz]" for place in range(6, 9)]
SECRETS = [
    *(token[18:-1] for token in [*PUSH_TOKENS, *UNSEEN_PUSH_TOKENS]),
    *DEVICE_TOKENS,
    "queryWithASecret",
    BEARER,
    "ya29.",
    "PRIVATE KEY",
]
# A provider token of ours, or a service account's assertion.
JWT = re.compile(r"eyJ[\w-]{10,}\.")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_away_from_a_terminal_a_line_is_one_json_object() -> None:
    stream = io.StringIO()
    set_up_logs(Logs(), stream=stream)

    logging.getLogger("expo_gateway.x").warning("%d batches", 3, extra={"project": "@a/b"})

    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "3 batches", "level": "warning", "logger": "expo_gateway.x", "project": "@a/b"}


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    set_up_logs(Logs(), stream=stream)

    try:
        raise ValueError("no\nway")
    except ValueError:
        logging.getLogger("expo_gateway.x").exception("it failed")

    (line,) = stream.getvalue().splitlines()
    assert "ValueError: no\nway" in json.loads(line)["exception"]


def test_for_people_it_is_plain_text() -> None:
    stream = io.StringIO()
    set_up_logs(Logs(format="console"), stream=stream)

    logging.getLogger("expo_gateway.x").info("hello")

    assert "[info     ] hello" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_libraries_are_heard_from_warnings_up_and_once() -> None:
    stream = io.StringIO()
    set_up_logs(Logs(level="debug"), stream=stream)

    for name in ("aioapns", "hypercorn.error", "h2", "asyncio"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")

    assert stream.getvalue().count("trouble") == 4
    assert "chatter" not in stream.getvalue()


@pytest.mark.parametrize(("access", "lines"), [(True, 1), (False, 0)])
def test_requests_are_logged_when_asked_for(access: bool, lines: int) -> None:
    stream = io.StringIO()
    set_up_logs(Logs(access=access), stream=stream)

    logging.getLogger("expo_gateway.access").info("GET /")

    assert stream.getvalue().count("\n") == lines


def test_a_line_says_which_request_or_delivery_it_is_about() -> None:
    stream = io.StringIO()
    set_up_logs(Logs(), stream=stream)

    async def task() -> None:
        bind(batch_id="b")
        await asyncio.create_task(delivery())
        logging.getLogger("expo_gateway.x").info("batch")

    async def delivery() -> None:
        bind(ticket_id="t")
        logging.getLogger("expo_gateway.x").info("delivery")

    asyncio.run(task())

    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["batch_id"], first["ticket_id"]) == ("b", "t")
    assert second["batch_id"] == "b"
    assert "ticket_id" not in second


async def test_the_access_line_has_the_id_that_the_caller_got(tmp_path: Path) -> None:
    stream = io.StringIO()
    set_up_logs(Logs(access=True), stream=stream)

    async with open_app(Settings(), tmp_path) as app, client_of(app) as client:
        answer = await client.post(f"{API}/send?accessToken=secret", json={"to": 1})

    (line,) = lines(stream, "expo_gateway.access")
    assert line.pop("ms") > 0
    assert {key: line[key] for key in ("method", "path", "status", "bytes", "code", "request_id")} == {
        "method": "POST",
        "path": f"{API}/send",
        "status": 400,
        "bytes": len(answer.content),
        "code": "VALIDATION_ERROR",
        "request_id": answer.json()["errors"][0]["requestId"],
    }
    assert "secret" not in stream.getvalue()


async def test_lines_written_while_a_request_is_served_carry_its_id(tmp_path: Path) -> None:
    stream = io.StringIO()
    set_up_logs(Logs(access=True), stream=stream)

    async with open_app(Settings(), tmp_path) as app, client_of(app) as client:
        await break_the_store(tmp_path / "gateway.db", client)

    failed, access = lines(stream)[:2]
    assert (failed["logger"], access["status"]) == ("expo_gateway.sqlite_file", 503)
    assert failed["request_id"] == access["request_id"]


async def test_a_path_can_not_play_tricks_on_a_terminal(tmp_path: Path) -> None:
    stream = io.StringIO()
    set_up_logs(Logs(access=True, format="console"), stream=stream)

    async with open_app(Settings(), tmp_path) as app, client_of(app) as client:
        await client.get("/%1b%5b2J%0afaked: line/" + "x" * 1000)

    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1
    assert "x" * 201 not in stream.getvalue()


async def test_at_debug_what_is_accepted_and_what_is_delivered_has_a_line(tmp_path: Path) -> None:
    stream = io.StringIO()
    set_up_logs(Logs(level="debug", access=True), stream=stream)

    async with open_app(Settings(), tmp_path) as app, client_of(app) as client:
        answer = await client.post(f"{API}/send", json={"to": [PUSH_TOKENS[0], "nope"], "title": "x"})
        ticket_id = answer.json()["data"][0]["id"]
        await receipts_async(client, [ticket_id])

    (accepted,) = lines(stream, "expo_gateway.gateway")
    (access,) = [line for line in lines(stream, "expo_gateway.access") if line["path"].endswith("/send")]
    assert (accepted["event"], accepted["level"]) == ("accepted", "debug")
    assert accepted["request_id"] == access["request_id"]
    assert (accepted["project"], accepted["count"], accepted["refused"]) == ("@emulator/app", 1, 1)
    (delivered,) = lines(stream, "expo_gateway.dispatcher.sender")
    assert delivered["event"] == f"delivery {ticket_id} to ExponentPushToken[aaaa…zz]: ok"
    assert (delivered["ticket_id"], delivered["batch_id"]) == (ticket_id, accepted["batch_id"])


async def test_at_info_a_delivery_that_goes_well_has_no_line(tmp_path: Path) -> None:
    stream = io.StringIO()
    set_up_logs(Logs(), stream=stream)

    async with open_app(Settings(), tmp_path) as app, client_of(app) as client:
        answer = await client.post(f"{API}/send", json={"to": PUSH_TOKENS[0], "title": "x"})
        await receipts_async(client, [answer.json()["data"]["id"]])

    assert lines(stream) == []


async def test_no_log_has_a_secret_or_a_whole_token(tmp_path: Path) -> None:
    stream = io.StringIO()
    set_up_logs(Logs(level="debug", access=True), stream=stream)

    async with open_app(Settings(), tmp_path) as app, client_of(app) as client:
        client.headers["authorization"] = f"Bearer {BEARER}"
        issued = await play_every_part(app, client)
        await break_the_store(tmp_path / "gateway.db", client)

    logged = stream.getvalue()
    about = {(line.get("ticket_id", "") != "", line["logger"]) for line in lines(stream)}
    assert (True, "expo_gateway.dispatcher.sender") in about
    assert (False, "expo_gateway.sqlite_file") in about
    secrets = [*SECRETS, *(token[18:-1] for token in issued)]
    assert [secret for secret in secrets if secret in logged] == []
    assert JWT.search(logged) is None


async def play_every_part(app: App, client: httpx.AsyncClient) -> list[str]:
    """Registrations; sends taken, refused, answered with errors, retried; nonsense with tokens in it.

    Returns the push tokens that were issued.
    """
    tokens = [await registered(client, token) for token in DEVICE_TOKENS]
    await app.emulators.up()
    for kind in ("BadDeviceToken", "Unregistered", "InvalidProviderToken", "MadeUp"):
        app.emulators.opened.faults.force(Answer(status=400, reason=kind), device_token=DEVICE_TOKENS[0], times=1)
    app.emulators.opened.faults.force(Answer(status=410, reason="Unregistered"), device_token=DEVICE_TOKENS[1])
    app.emulators.opened.faults.force(Answer(status=404, reason="UNREGISTERED"), device_token=DEVICE_TOKENS[2])
    await client.post(f"{API}/updateDeviceToken", json=device(DEVICE_TOKENS[0]))
    ids = []
    for token in [*tokens, *PUSH_TOKENS, *tokens, tokens[0], tokens[0]]:
        answer = await client.post(f"{API}/send", json={"to": token, "title": "x"})
        ids += [ticket["id"] for ticket in [answer.json()["data"]] if ticket["status"] == "ok"]
    await receipts_async(client, ids)
    for body in (b"[", f'{{"to":"{PUSH_TOKENS[0]}"'.encode(), f'{{"to":["{PUSH_TOKENS[0]}",1]}}'.encode()):
        await client.post(f"{API}/send", content=body)
    await client.post(f"{API}/getExpoPushToken", json={**device(DEVICE_TOKENS[0]), "deviceToken": [DEVICE_TOKENS[0]]})
    await client.get(f"/{PUSH_TOKENS[0]}?token=queryWithASecret")
    return tokens


async def registered(client: httpx.AsyncClient, device_token: str) -> str:
    fields = {**device(device_token), "experienceId": "@emulator/app"}
    answer = await client.post(f"{API}/getExpoPushToken", json=fields)
    return str(answer.json()["data"]["expoPushToken"])


def device(device_token: str) -> dict[str, Any]:
    kind = "fcm" if ":" in device_token else "apns"
    return {"type": kind, "deviceId": device_token[:6], "appId": "com.example.app", "deviceToken": device_token}


async def break_the_store(path: Path, client: httpx.AsyncClient) -> None:
    """The table of devices goes, so that statements with tokens in them fail."""
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE devices RENAME TO lost")
    connection.close()
    for token in UNSEEN_PUSH_TOKENS:
        assert (await client.post(f"{API}/send", json={"to": token})).status_code == 503
    assert (await client.post(f"{API}/getExpoPushToken", json=device(DEVICE_TOKENS[0]))).status_code >= 400


def client_of(app: App) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://gateway")


def lines(stream: io.StringIO, logger: str = "") -> list[dict[str, Any]]:
    found = (json.loads(line) for line in stream.getvalue().splitlines())
    return [line for line in found if line["logger"].startswith(logger)]
