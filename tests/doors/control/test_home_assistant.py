"""Home Assistant's doors through a whole server, and looked at from behind."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import pytest

from tests.conftest import Server, running_server
from tests.doors.control.conftest import Run
from tests.doors.home_assistant.scene import PHONE, TOKEN, Socket
from tests.running import command

ASKS = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def home() -> Iterator[Server]:
    with running_server(EXPO_GATEWAY_HOME_ASSISTANT__TOKENS=TOKEN) as server:
        yield server


@pytest.fixture
def run(home: Server) -> Iterator[Run]:
    """Of the default world, without registrations."""
    with httpx.Client(timeout=30, trust_env=False) as http:
        run = Run(http, home.url)
        yield run
        for one in run.get("/home_assistant/registrations")["registrations"]:
            run("DELETE", f"/home_assistant/registrations/{one['registration_id']}")


def register(run: Run, **changed: object) -> str:
    """The webhook's id."""
    body = {**PHONE, "device_id": "phone", **changed}
    answer = run.http.post(f"{run.base_url}/api/mobile_app/registrations", json=body, headers=ASKS)
    return str(answer.raise_for_status().json()["webhook_id"])


def call(run: Run, service: str, value: object) -> httpx.Response:
    return run.http.post(f"{run.base_url}/api/services/{service}", json=value, headers=ASKS)


@asynccontextmanager
async def listening(run: Run, webhook_id: str) -> AsyncIterator[Socket]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{run.base_url}/api/websocket") as wire,
    ):
        socket = Socket(wire)
        await socket.heard()
        await socket.say({"type": "auth", "access_token": TOKEN})
        await socket.heard()
        assert registration(run)["status"] == "establishing"
        await socket.say(
            {
                "id": 1,
                "type": "mobile_app/push_notification_channel",
                "webhook_id": webhook_id,
                "support_confirm": True,
            }
        )
        await socket.hears({"id": 1, "type": "result", "success": True, "result": None})
        yield socket


def registration(run: Run) -> dict[str, Any]:
    (one,) = run.get("/home_assistant/registrations")["registrations"]
    found: dict[str, Any] = one
    return found


async def test_a_notification_reaches_the_client_that_listens_and_is_a_delivery_like_any(run: Run) -> None:
    webhook_id = register(run)
    async with listening(run, webhook_id) as socket:
        assert call(run, "notify/mobile_app_bob_s_phone", {"message": "Hello", "title": "T"}).text == "[]"
        event = await socket.wire.receive_json(timeout=10)
        confirm_id = event["event"].pop("hass_confirm_id")
        assert event == {"id": 1, "type": "event", "event": {"message": "Hello", "title": "T"}}
        await socket.say(
            {
                "id": 2,
                "type": "mobile_app/push_notification_confirm",
                "webhook_id": webhook_id,
                "confirm_id": confirm_id,
            }
        )
        await socket.hears({"id": 2, "type": "result", "success": True, "result": None})
        run.get("/idle/wait", timeout_s=20)
        one = registration(run)
        assert (one["status"], one["messages"], one["has_cloud"]) == ("available", 1, False)

    (delivery,) = run.get("/deliveries", to=one["push_token"])["deliveries"]
    assert (delivery["title"], delivery["body"], delivery["device"]["platform"]) == ("T", "Hello", "local")
    assert delivery["receipt"] == {"status": "ok"}


def test_a_registration_is_listed_without_its_webhook(run: Run) -> None:
    webhook_id = register(run)

    text = run("GET", "/home_assistant/registrations").text

    assert webhook_id not in text
    one = registration(run)
    assert (one["service"], one["status"], one["messages"]) == ("notify.mobile_app_bob_s_phone", "unavailable", 0)


@pytest.mark.parametrize(
    ("app_data", "status"),
    [({}, "unsupported"), ({"push_websocket_channel": False}, "disabled"), (PHONE["app_data"], "unavailable")],
)
def test_a_status_says_why_nobody_listens(run: Run, app_data: dict[str, object], status: str) -> None:
    register(run, app_data=app_data)

    assert registration(run)["status"] == status


def test_registrations_are_listed_page_by_page(run: Run) -> None:
    for name in ("one", "two", "three"):
        register(run, device_id=name, device_name=name)
    ids = [one["registration_id"] for one in run.get("/home_assistant/registrations")["registrations"]]

    first = run.get("/home_assistant/registrations", limit=2)
    second = run.get("/home_assistant/registrations", limit=2, after=first["next"])

    pages = [*first["registrations"], *second["registrations"]]
    assert (len(ids), [one["registration_id"] for one in pages], second["next"]) == (3, ids, None)


def test_a_registration_that_was_deleted_answers_as_gone(run: Run) -> None:
    webhook_id = register(run)

    assert run("DELETE", f"/home_assistant/registrations/{registration(run)['registration_id']}").json() == {
        "deleted": 1
    }
    assert run.http.post(f"{run.base_url}/api/webhook/{webhook_id}", json={"type": "get_config"}).status_code == 410


def test_a_persistent_notification_is_listed_and_dismissed(run: Run) -> None:
    call(run, "persistent_notification/create", {"message": "m", "title": "T", "notification_id": "a/b"})

    (note,) = run.get("/home_assistant/notifications")["notifications"]
    assert (note["notification_id"], note["title"], note["message"]) == ("a/b", "T", "m")
    assert run("DELETE", "/home_assistant/notifications/a/b").json() == {"deleted": 1}
    assert run.get("/home_assistant/notifications") == {"notifications": []}


@pytest.mark.parametrize("thing", ["registrations", "notifications"])
def test_what_is_not_there_can_not_go(run: Run, thing: str) -> None:
    assert run.refusal("DELETE", f"/home_assistant/{thing}/x")[0] == 404


def test_all_of_it_is_there_on_the_command_line(run: Run) -> None:
    register(run)
    call(run, "persistent_notification/create", {"message": "m", "title": "T", "notification_id": "x y"})
    env, control = {"EXPO_BASE_URL": run.base_url}, ("control", "home-assistant")
    id_ = registration(run)["registration_id"]

    listed = command(*control, "registrations", env=env).stdout
    assert listed == f"{id_}\tBob's phone\tnotify.mobile_app_bob_s_phone\tunavailable\t0\n"
    assert command(*control, "notifications", env=env).stdout == "x y\tT\tm\n"
    assert command(*control, "forget", id_, env=env).returncode == 0
    assert command(*control, "dismiss", "x y", env=env).returncode == 0
    assert command(*control, "notifications", "--json", env=env).stdout.split() == ["{", '"notifications":', "[]", "}"]


def test_a_run_has_none_of_it(home: Server) -> None:
    with httpx.Client(timeout=30, trust_env=False) as http:
        assert http.get(f"{home.url}/r/some/_gateway/v1/home_assistant/registrations").status_code == 404
        assert http.get(f"{home.url}/r/some/api/", headers=ASKS).status_code == 404


def test_a_running_server_takes_a_new_token_at_once(tmp_path: Any) -> None:
    with running_server("--data", str(tmp_path)) as server, httpx.Client(trust_env=False) as http:
        made = command("home-assistant", "token", "--data", str(tmp_path), "--name", "phone")
        token = made.stdout.splitlines()[-1]
        asks = {"authorization": f"Bearer {token}"}

        assert http.get(f"{server.url}/api/", headers=asks).json() == {"message": "API running."}
        command("home-assistant", "revoke", "phone", "--data", str(tmp_path))
        assert http.get(f"{server.url}/api/", headers=asks).status_code == 401


def test_a_webhook_is_in_no_log(tmp_path: Any) -> None:
    with (
        running_server(EXPO_GATEWAY_HOME_ASSISTANT__TOKENS=TOKEN, EXPO_GATEWAY_LOGS__ACCESS="true") as server,
        httpx.Client(timeout=30, trust_env=False) as http,
    ):
        run = Run(http, server.url)
        webhook_id = register(run)
        http.post(f"{server.url}/api/webhook/{webhook_id}", json={"type": "get_config"})
        http.post(f"{server.url}/api//webhook/{webhook_id}/", json={"type": "get_config"})
        log = server.stderr()

    assert "/api/webhook/" in log
    assert webhook_id not in log
    assert TOKEN not in log


async def test_with_several_workers_local_push_is_refused_with_the_reason() -> None:
    env = {"EXPO_GATEWAY_HOME_ASSISTANT__TOKENS": TOKEN}
    with running_server("--workers", "2", **env) as server:
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"{server.url}/api/websocket")
            assert refused.value.status == 501
            async with http.get(f"{server.url}/api/", headers=ASKS) as answer:
                assert answer.status == 200


async def test_under_granian_local_push_is_refused_with_the_reason() -> None:
    with running_server("--server", "granian", EXPO_GATEWAY_HOME_ASSISTANT__TOKENS=TOKEN) as server:
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"{server.url}/api/websocket")
            assert refused.value.status == 501


async def test_channels_and_answers_are_counted(run: Run) -> None:
    webhook_id = register(run, device_id="counted")
    async with listening(run, webhook_id) as socket:
        assert call(run, "notify/mobile_app_bob_s_phone", {"message": "Hello"}).status_code == 200
        await socket.heard()
        open_now = run.http.get(f"{run.base_url}/metrics").text
    run.http.post(f"{run.base_url}/api/webhook/{webhook_id}", json={"type": "get_config"})
    text = run.http.get(f"{run.base_url}/metrics").text

    assert 'expo_gateway_home_assistant_channels{status="available"} 1.0' in open_now
    assert "expo_gateway_home_assistant_messages 1.0" in open_now
    assert "expo_gateway_home_assistant_messages 0.0" in text
    assert 'expo_gateway_home_assistant_channels{status="unavailable"}' in text
    assert 'expo_gateway_requests_total{endpoint="/api/webhook/{webhook_id}",status="200"}' in text
    assert webhook_id not in text
