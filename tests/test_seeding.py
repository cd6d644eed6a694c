"""`serve --seed`: what stands in the file is there at the first request, and again after a restart."""

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from expo_gateway.protocol.device import project_id_of
from tests.outside import Outside
from tests.running import command, gateway
from tests.test_real_projects import config_of, outside, shop
from tests.waiting import receipts

__all__ = ["outside"]
SEEDS = Path(__file__).parent.parent / "fixtures" / "seeds"
ANNA, DORA = "ExponentPushToken[anna-0000000000000000_]", "ExponentPushToken[dora-removed-the-app1_]"
SEND = "/--/api/v2/push/send"


def client_of(ready: dict[str, Any]) -> httpx.Client:
    return httpx.Client(base_url=ready["url"], timeout=10.0)


def asked(client: httpx.Client, path: str) -> Any:
    return client.get(f"/_gateway/v1/{path}").raise_for_status().json()


def sent(client: httpx.Client, *tokens: str) -> dict[str, Any]:
    """The receipt of each push token."""
    tickets = client.post(SEND, json={"to": list(tokens), "title": "Hello"}).raise_for_status().json()["data"]
    found = receipts(client, [ticket["id"] for ticket in tickets])
    return {token: found[ticket["id"]] for token, ticket in zip(tokens, tickets, strict=True)}


def written(tmp_path: Path, **seed: object) -> str:
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(seed))
    return str(path)


def test_projects_and_devices_are_there_at_the_first_request() -> None:
    with gateway("--seed", str(SEEDS / "shop.yaml")) as (_, ready), client_of(ready) as client:
        devices = {one["push_token"]: one for one in asked(client, "devices")["devices"]}
        projects = {one["full_name"]: one for one in asked(client, "projects")["projects"]}
        found = sent(client, DORA)
        again = client.post(SEND, json={"to": DORA}).json()["data"]

    assert (len(devices), devices[ANNA]["platform"], devices[ANNA]["app_id"]) == (4, "ios", "com.acme.shop")
    assert {one["sandbox"] for one in devices.values()} == {True, False}
    assert projects["@acme/shop"]["project_id"] == "d3a7c0de-0000-4000-8000-000000000001"
    assert projects["@acme/desk"]["project_id"] == project_id_of("@acme/desk")
    assert projects["@acme/desk"]["notifications_per_second"] == 100
    assert found[DORA]["details"]["error"] == "DeviceNotRegistered"
    assert again["details"]["error"] == "DeviceNotRegistered"


def test_faults_and_limits_act_at_the_first_request() -> None:
    with gateway("--seed", str(SEEDS / "bad-day.yaml")) as (_, ready), client_of(ready) as client:
        faults = [one["id"] for one in asked(client, "faults")["faults"]]
        limits = asked(client, "limits")
        answers = [client.post(SEND, json={"to": ANNA}).status_code for _ in range(5)]

    assert faults == ["busy-at-the-door", "apple-is-slow", "google-has-no-time", "apple-says-goodbye"]
    assert limits == {"notifications_per_second": 600, "receipt_delay_s": 2.0}
    assert answers == [200, 200, 200, 200, 429]


def test_after_a_reset_all_is_as_at_the_start(tmp_path: Path) -> None:
    seed = {
        "projects": [{"full_name": "@acme/shop"}],
        "devices": [{"push_token": ANNA, "project": "@acme/shop"}, {"push_token": DORA, "gone_at": 1767657600}],
        "faults": [{"act": {"type": "expo", "status": 503}, "match": {"every": 9}}],
        "clock": {"at": "2026-01-06T12:00:00Z", "frozen": True},
        "limits": {"receipt_delay_s": 9},
    }
    with gateway("--seed", written(tmp_path, **seed)) as (_, ready), client_of(ready) as client:
        before = [asked(client, path) for path in ("devices", "limits", "faults", "clock", "projects")]
        gone = client.post(SEND, json={"to": DORA}).json()["data"]
        client.post("/_gateway/v1/clock/advance", json={"seconds": 60}).raise_for_status()
        client.put("/_gateway/v1/limits", json={"receipt_delay_s": 0}).raise_for_status()
        client.delete("/_gateway/v1/faults").raise_for_status()
        client.post(SEND, json={"to": "ExponentPushToken[somebody-else-00000000]"}).raise_for_status()
        client.post("/_gateway/v1/reset").raise_for_status()
        after = [asked(client, path) for path in ("devices", "limits", "faults", "clock", "projects")]

    for one in (*before[0]["devices"], *after[0]["devices"]):
        del one["registered_at"]
    del before[2]["faults"][0]["id"], after[2]["faults"][0]["id"], before[3]["offset_s"], after[3]["offset_s"]
    before[2]["faults"][0]["seen"] = 0
    assert after == before
    assert gone["details"]["error"] == "DeviceNotRegistered"


def test_the_clock_stands_where_the_seed_says() -> None:
    with gateway("--seed", str(SEEDS / "standstill.json")) as (_, ready), client_of(ready) as client:
        clock = asked(client, "clock")
        toobig = "ExponentPushToken[magic-toobig-000000001]"
        ticket = client.post(SEND, json={"to": toobig}).raise_for_status().json()["data"]["id"]
        asked(client, "idle/wait")
        hidden = client.post("/--/api/v2/push/getReceipts", json={"ids": [ticket]}).json()["data"]
        client.post("/_gateway/v1/clock/advance", json={"seconds": 900}).raise_for_status()
        shown = receipts(client, [ticket])

    assert (clock["now"], clock["frozen"]) == ("2026-01-06T00:00:00.000Z", True)
    assert hidden == {}
    assert shown == {ticket: {"status": "ok"}}, "magic tokens are switched off"


def test_a_second_start_over_the_same_data_changes_nothing(tmp_path: Path) -> None:
    options = ("--seed", str(SEEDS / "shop.yaml"), "--data", str(tmp_path / "data"))
    with gateway(*options) as (process, ready), client_of(ready) as client:
        sent(client, DORA, DORA)
        before = asked(client, "devices"), asked(client, "projects")
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)

    with gateway(*options) as (_, ready), client_of(ready) as client:
        after = asked(client, "devices"), asked(client, "projects")

    assert after == before
    assert [one["push_token"] for one in after[0]["devices"] if one["gone_at"] is not None] == [DORA]


def test_a_device_that_the_seed_wants_otherwise_by_now_is_made_anew(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    for platform in ("ios", "android"):
        seed = written(tmp_path, devices=[{"push_token": ANNA, "platform": platform}])
        with gateway("--seed", seed, *data) as (process, ready), client_of(ready) as client:
            (device,) = asked(client, "devices")["devices"]
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)

        assert device["platform"] == platform


def test_devices_with_a_project_are_known_where_others_are_refused() -> None:
    anna = {"push_token": ANNA, "platform": "ios"}
    nobody = "ExponentPushToken[nobodysnobodysnobody12]"
    with gateway("--strict", "--seed", str(SEEDS / "shop.yaml")) as (_, ready), client_of(ready) as client:
        tickets = client.post(SEND, json={"to": [ANNA, nobody]}).json()["data"]
        # Made without a project, it is like one that was enrolled.
        client.post("/_gateway/v1/devices", json=anna | {"push_token": nobody}).raise_for_status()
        again = client.post(SEND, json={"to": nobody}).json()["data"]

    assert [ticket["status"] for ticket in tickets] == ["ok", "error"]
    assert again["details"]["error"] == "DeviceNotRegistered"


def test_an_exported_state_without_its_history_is_a_seed(tmp_path: Path) -> None:
    toobig = "ExponentPushToken[magic-toobig-000000001]"
    with gateway("--seed", str(SEEDS / "shop.yaml")) as (_, ready), client_of(ready) as client:
        client.post("/_gateway/v1/faults", json={"act": {"type": "latency", "delay": {"shape": "fixed", "delay_s": 0}}})
        sent(client, toobig)
        state = asked(client, "state")
    seed = {key: value for key, value in state.items() if key not in ("deliveries", "captures", "clock")}

    with gateway("--seed", written(tmp_path, **seed)) as (_, ready), client_of(ready) as client:
        again = asked(client, "state")
        found = sent(client, toobig)

    assert {key: again[key] for key in seed if key != "exported_at"} == {
        key: value for key, value in seed.items() if key != "exported_at"
    }
    assert len(again["devices"]) == 5
    assert found[toobig]["details"]["error"] == "MessageTooBig"


@pytest.mark.parametrize(
    ("seed", "part"),
    [
        ({"faults": [{"act": {"type": "hang"}}]}, "faults"),
        ({"clock": {"frozen": True}}, "clock"),
        ({"limits": {"receipt_delay_s": 1}}, "limits"),
        ({"devices": [{"push_token": ANNA, "unregistered_at": 1767657600}]}, "devices[].unregistered_at"),
    ],
)
def test_what_nobody_would_heed_ends_the_start(tmp_path: Path, seed: dict[str, object], part: str) -> None:
    ended = command("serve", "--seed", written(tmp_path, **seed), env={"EXPO_GATEWAY_CONTROL__ENABLED": "false"})

    assert ended.returncode == 2
    assert f"got {part}, which needs the control API" in ended.stderr


@pytest.mark.parametrize("project", [{"full_name": "@acme/shop"}, {"full_name": "@acme/new", "project_id": "real"}])
async def test_a_real_project_is_never_made_an_emulated_one(
    outside: Outside, tmp_path: Path, project: dict[str, str]
) -> None:
    config = config_of(outside, tmp_path, **shop(outside))
    real_id = {"real": project_id_of("@acme/shop").upper()}
    seed = written(tmp_path, projects=[{key: real_id.get(value, value) for key, value in project.items()}])

    ended = command("serve", "--config", str(config), "--seed", seed)

    assert ended.returncode == 2
    assert f"projects[0] is {project['full_name']}, which sends to Apple and Google" in ended.stderr


def test_a_mistake_ends_the_start_with_the_line_that_it_is_in(tmp_path: Path) -> None:
    path = tmp_path / "seed.yaml"
    path.write_text("devices:\n- platform: ios\n")

    ended = command("serve", "--seed", str(path))

    assert ended.returncode == 2
    assert f"{path}:2: devices[0]: object missing required field `push_token`" in ended.stderr
