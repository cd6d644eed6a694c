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
