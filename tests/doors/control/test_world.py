"""Clock, devices, projects, counts, limits, reset: what belongs to the world as a whole."""

from typing import Any

import pytest

from tests.doors.control.conftest import ANDROID, IOS, SEND, Run

NEW_YEAR = 1767225600.0


# -- clock ------------------------------------------------------------------------------------------------------------


def test_the_clock_is_frozen_moved_and_let_go(run: Run) -> None:
    frozen = run.post("/clock/freeze", {"at": "2026-01-01T01:00:00+01:00"})

    assert (frozen["now_at"], frozen["now"], frozen["frozen"]) == (NEW_YEAR, "2026-01-01T00:00:00.000Z", True)
    assert run.post("/clock/advance", {"seconds": 1.5})["now_at"] == NEW_YEAR + 1.5
    assert run.post("/clock/set", {"at": NEW_YEAR})["now_at"] == NEW_YEAR
    going = run.post("/clock/resume")
    assert (going["frozen"], going["now_at"]) == (False, pytest.approx(NEW_YEAR, abs=5))
    assert run.get("/clock")["offset_s"] == pytest.approx(going["offset_s"], abs=5)


def test_the_clock_freezes_where_it_is(run: Run) -> None:
    frozen = run.post("/clock/freeze")

    assert run.get("/clock")["now_at"] == frozen["now_at"]


@pytest.mark.parametrize("path", ["/clock/set", "/clock/freeze"])
@pytest.mark.parametrize(("platform", "token"), [("ios", IOS), ("android", ANDROID)])
def test_what_waits_for_an_instant_does_not_when_the_clock_is_set_back(
    run: Run, path: str, platform: str, token: str
) -> None:
    run.post("/clock/freeze", {"at": NEW_YEAR})
    run.post("/devices", {"push_token": token, "platform": platform})
    run.post("/faults", {"match": {"times": 1}, "act": {"type": "answer", "status": 403}})
    run.delivered({"to": token})

    run.post(path, {"at": NEW_YEAR - 600})
    run.delivered({"to": token})

    states = [delivery["state"] for delivery in run.get("/deliveries")["deliveries"]]
    assert states == ["failed", "delivered"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/clock/freeze", {"at": "noon"}, "at"),
        ("/clock/freeze", {"at": None}, "at"),
        ("/clock/freeze", {"when": 1}, "when"),
        ("/clock/set", {}, "at"),
        ("/clock/set", {"at": -1}, "at"),
        ("/clock/set", {"at": "1767225600"}, "at"),
        ("/clock/set", {"at": True}, "at"),
        ("/clock/advance", {"seconds": -1}, "seconds"),
        ("/clock/advance", {"seconds": 1e12}, "seconds"),
        ("/clock/advance", {}, "seconds"),
        ("/clock/resume", {"at": 1}, "at"),
    ],
)
def test_a_clock_that_can_not_be_so_stays_as_it_is(run: Run, path: str, body: Any, field: str) -> None:
    before = run.post("/clock/freeze")

    assert run.refusal("POST", path, json=body)[::2] == (400, field)
    assert run.get("/clock")["now_at"] == before["now_at"]


# -- devices ----------------------------------------------------------------------------------------------------------


def test_a_device_is_made_up(run: Run) -> None:
    answer = run("POST", "/devices")
    device = answer.json()

    assert answer.status_code == 201
    assert device["virtual"]
    assert run.get(f"/devices/{device['push_token']}") == device
    run.delivered({"to": device["push_token"]})
    assert run.get("/counts")["deliveries"]["delivered"] == 1


def test_a_device_is_made_as_asked(run: Run) -> None:
    asked = {
        "push_token": ANDROID,
        "platform": "android",
        "project": "@acme/shop",
        "device_token": "token:1",
        "app_id": "com.acme.shop",
    }

    device = run.post("/devices", asked)

    assert device.items() >= asked.items()
    assert [one["full_name"] for one in run.get("/projects")["projects"]] == ["@acme/shop", "@emulator/app"]
    run.delivered({"to": ANDROID})
    assert [one["device_token"] for one in run.get("/captures")["captures"]] == ["token:1"]


def test_a_device_that_there_is_already_is_changed(run: Run) -> None:
    run.post("/devices", {"push_token": IOS, "platform": "ios", "app_id": "com.acme"})

    answer = run("POST", "/devices", json={"push_token": IOS, "sandbox": True})

    assert answer.status_code == 200
    assert (answer.json()["platform"], answer.json()["app_id"], answer.json()["sandbox"]) == ("ios", "com.acme", True)


@pytest.mark.parametrize("platform", ["ios", "android"])
def test_an_unregistered_device_is_found_out_and_comes_back(run: Run, platform: str) -> None:
    run.post("/devices", {"push_token": IOS, "platform": platform})
    assert run.post(f"/devices/{IOS}/unregister")["unregistered_at"] is not None

    run.delivered({"to": IOS})
    assert run.send({"to": IOS}) == [""]
    assert run.get(f"/devices/{IOS}")["gone_at"] is not None

    run.post("/devices", {"push_token": IOS})
    (ticket,) = run.delivered({"to": IOS})
    assert run.get(f"/deliveries/{ticket}")["state"] == "delivered"


def test_a_device_may_be_gone_from_the_start(run: Run) -> None:
    run.post("/devices", {"push_token": IOS, "unregistered_at": "2026-01-01T00:00:00Z"})

    (ticket,) = run.delivered({"to": IOS})

    assert run.get(f"/deliveries/{ticket}")["receipt"]["details"]["error"] == "DeviceNotRegistered"
    assert run.send({"to": IOS}) == [""]


def test_a_deleted_device_is_nobodys(run: Run) -> None:
    run.post("/devices", {"push_token": IOS})
    run.post(f"/devices/{IOS}/unregister")

    assert run("DELETE", f"/devices/{IOS}").json() == {"deleted": 1}
    assert run.refusal("GET", f"/devices/{IOS}")[0] == 404
    assert run.refusal("DELETE", f"/devices/{IOS}")[0] == 404
    assert run.refusal("POST", f"/devices/{IOS}/unregister")[0] == 404
    run.delivered({"to": IOS})
    assert run.get("/counts")["deliveries"]["delivered"] == 1


def test_brackets_of_a_push_token_may_be_encoded(run: Run) -> None:
    run.post("/devices", {"push_token": IOS})

    answer = run.http.get(f"{run.url}/devices/{IOS.replace('[', '%5B').replace(']', '%5D')}")

    assert answer.json()["push_token"] == IOS


def test_devices_are_listed_by_platform_project_and_page(run: Run) -> None:
    for number in range(5):
        token = f"ExponentPushToken[{number:022}]"
        run.post("/devices", {"push_token": token, "platform": "ios" if number % 2 else "android"})
    run.post("/devices", {"project": "@acme/shop"})

    pages: list[list[str]] = []
    after = None
    while after is not None or not pages:
        page = run.get(
            "/devices", platform="android", project="@emulator/app", limit=2, **({"after": after} if after else {})
        )
        pages.append([one["push_token"][-2] for one in page["devices"]])
        after = page["next"]

    assert pages == [["0", "2"], ["4"]]
    assert len(run.get("/devices", project="@acme/shop")["devices"]) == 1
    assert run.get("/devices", project="@no/body")["devices"] == []


@pytest.mark.parametrize(
    ("device", "field"),
    [
        ({"push_token": "xxx"}, "push_token"),
        ({"push_token": ""}, "push_token"),
        ({"platform": "windows"}, "platform"),
        ({"platform": None}, "platform"),
        ({"project": "shop"}, "project"),
        ({"project": "@acme/shop\n"}, "project"),
        ({"platform": "ios", "device_token": "xyz"}, "device_token"),
        ({"platform": "android", "device_token": "a b"}, "device_token"),
        ({"app_id": "com.acme\r\nx: y"}, "app_id"),
        ({"sandbox": 1}, "sandbox"),
        ({"unregistered_at": "once"}, "unregistered_at"),
        ({"tokn": "x"}, "tokn"),
    ],
)
def test_a_device_that_can_not_be_is_refused_by_name(run: Run, device: Any, field: str) -> None:
    assert run.refusal("POST", "/devices", json=device)[::2] == (400, field)
    assert run.get("/devices")["devices"] == []


# -- the whole --------------------------------------------------------------------------------------------------------


def test_counts_count(run: Run) -> None:
    run.post("/faults", {"act": {"type": "hang"}, "match": {"times": 1, "from_at": 4e9}})
    run.delivered({"to": IOS}, {"to": "nobody"})

    counts = run.get("/counts")

    assert (counts["deliveries"]["delivered"], counts["deliveries"]["refused"]) == (1, 1)
    assert (counts["captures"], counts["devices"], counts["faults"]) == (1, 1, 1)


def test_limits_are_set_and_left_out_ones_are_as_at_the_start(run: Run) -> None:
    new = {"notifications_per_second": 2, "receipt_delay_s": 5.0}

    assert run("PUT", "/limits", json=new).json() == run.get("/limits") == new
    answers = [run.http.post(f"{run.base_url}{SEND}", json=[{"to": IOS}] * 2) for _ in range(3)]
    assert answers[-1].status_code == 429
    assert run("PUT", "/limits", json={}).json() == {"notifications_per_second": None, "receipt_delay_s": 0.0}


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"notifications_per_second": 0}, "notifications_per_second"),
        ({"receipt_delay_s": 86401}, "receipt_delay_s"),
        ({"receipt_delay_s": None}, "receipt_delay_s"),
        ({"rate": 1}, "rate"),
    ],
)
def test_limits_that_are_none_are_refused(run: Run, limits: Any, field: str) -> None:
    assert run.refusal("PUT", "/limits", json=limits)[::2] == (400, field)


def test_limits_need_a_body(run: Run) -> None:
    assert run.refusal("PUT", "/limits")[0] == 400


def test_reset_begins_again(run: Run) -> None:
    before = run.get("/counts")
    run.delivered({"to": IOS})
    run.post("/faults", {"act": {"type": "hang"}})
    run.post("/clock/freeze", {"at": NEW_YEAR})
    run("PUT", "/limits", json={"receipt_delay_s": 5})

    assert run.post("/reset") == before
    assert not run.get("/clock")["frozen"]
    assert run.get("/limits")["receipt_delay_s"] == 0


def test_a_device_may_be_known_to_be_gone(run: Run) -> None:
    made = run.post("/devices", {"push_token": IOS, "gone_at": NEW_YEAR})

    (ticket,) = run.http.post(f"{run.base_url}{SEND}", json=[{"to": IOS}]).json()["data"]
    again = run.post("/devices", {"push_token": IOS})

    assert (made["gone_at"], again["gone_at"]) == (NEW_YEAR, None)
    assert ticket["details"]["error"] == "DeviceNotRegistered"


def test_a_device_is_found_by_its_push_token(run: Run) -> None:
    for token in (IOS, ANDROID):
        run.post("/devices", {"push_token": token, "platform": "ios", "project": "@acme/shop"})

    def found(**wanted: str) -> list[str]:
        return [one["push_token"] for one in run.get("/devices", push_token=IOS, **wanted)["devices"]]

    assert found() == found(platform="ios", project="@acme/shop") == [IOS]
    assert found(platform="android") == found(project="@acme/other") == []
    assert run.get("/devices", push_token="ExponentPushToken[x]") == {"devices": [], "next": None}
