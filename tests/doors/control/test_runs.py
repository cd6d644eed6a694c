"""Runs: made, listed, deleted, through the default run only."""

import uuid
from typing import Any

import pytest

from tests.doors.control.conftest import IOS, Run


def test_a_run_is_made_listed_and_deleted(default: Run) -> None:
    name = uuid.uuid4().hex
    made = default("POST", "/runs", json={"name": name})

    assert made.status_code == 201
    assert made.json()["base_url"] == f"{default.base_url}/r/{name}"
    assert default("POST", "/runs", json={"name": name}).status_code == 200
    assert name in [one["name"] for one in default.get("/runs")["runs"]]
    assert default.get(f"/runs/{name}")["name"] == name
    assert default("DELETE", f"/runs/{name}").json() == {"deleted": 1}
    assert default.refusal("GET", f"/runs/{name}")[0] == 404
    assert default.refusal("DELETE", f"/runs/{name}")[0] == 404


def test_a_run_gets_a_name(default: Run) -> None:
    made = default.post("/runs")

    inside = Run(default.http, made["base_url"])
    inside.delivered({"to": IOS})
    assert default.get(f"/runs/{made['name']}")["deliveries"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [({"name": "a/b"}, "name"), ({"name": ""}, "name"), ({"name": None}, "name"), ({"nam": 1}, "nam")],
)
def test_a_name_that_is_none_is_refused(default: Run, body: Any, field: str) -> None:
    assert default.refusal("POST", "/runs", json=body)[::2] == (400, field)


def test_a_run_knows_nothing_of_others(run: Run) -> None:
    assert run.refusal("GET", "/runs")[0] == 404


def test_runs_are_apart(default: Run) -> None:
    one, other = (Run(default.http, default.post("/runs")["base_url"]) for _ in range(2))
    one.post("/clock/freeze", {"at": 1800000000})
    one.delivered({"to": IOS})

    assert other.get("/counts")["deliveries"]["delivered"] == 0
    assert not other.get("/clock")["frozen"]


# -- with a seed ------------------------------------------------------------------------------------------------------

SEED = {
    "clock": {"at": 1800000000, "frozen": True},
    "limits": {"notifications_per_second": 1},
    "devices": [{"push_token": IOS, "platform": "ios"}],
    "faults": [{"id": "no", "act": {"type": "apns_reason", "reason": "BadTopic"}}],
}


def test_a_run_begins_with_its_seed_and_again_after_each_reset(default: Run) -> None:
    made = default("POST", "/runs", json={"seed": SEED})
    inside = Run(default.http, made.json()["base_url"])

    def there() -> Any:
        limits, (device,), (fault,) = (
            inside.get("/limits"),
            inside.get("/devices")["devices"],
            inside.get("/faults")["faults"],
        )
        return inside.get("/clock")["now_at"], limits["notifications_per_second"], device["push_token"], fault["id"]

    at_first = there()
    inside.post("/clock/advance", {"seconds": 5})
    inside("PUT", "/limits", json={"notifications_per_second": None})
    inside("DELETE", "/faults")
    inside.delivered({"to": IOS})
    inside.post("/reset")

    assert made.status_code == 201
    assert at_first == there() == (1800000000, 1, IOS, "no")
    assert inside.get("/deliveries")["deliveries"] == []


def test_a_seed_that_can_not_be_makes_no_run(default: Run) -> None:
    name = uuid.uuid4().hex
    spoilt = {"name": name, "seed": {**SEED, "devices": [{"platfrom": "ios"}]}}

    assert default.refusal("POST", "/runs", json=spoilt)[::2] == (400, "devices[0].platfrom")
    assert default.refusal("GET", f"/runs/{name}")[0] == 404


def test_a_seed_is_for_a_new_run(default: Run) -> None:
    name = default.post("/runs")["name"]

    assert default.refusal("POST", "/runs", json={"name": name, "seed": SEED})[::2] == (409, "seed")
