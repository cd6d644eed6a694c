"""The state of a world: exported, and taken in by another, all or nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.doors.control.conftest import ANDROID, IOS, Run


@pytest.fixture
def exported(run: Run) -> Any:
    run.post("/devices", {"push_token": IOS, "platform": "ios", "project": "@acme/shop"})
    run.post("/devices", {"push_token": ANDROID, "platform": "android", "project": "@acme/shop"})
    run.post("/faults", {"match": {"times": 3, "push_token": IOS}, "act": {"type": "refused_stream"}})
    run.post(
        "/faults",
        {
            "id": "used-up",
            "match": {"times": 1, "push_token": ANDROID},
            "act": {"type": "fcm_error", "code": "INVALID_ARGUMENT"},
        },
    )
    run.delivered(
        {"to": "nobody", "title": "Lost"}, {"to": [ANDROID, IOS], "title": "Hi", "data": {"a": [1]}, "ttl": 9}
    )
    run.post(f"/devices/{IOS}/unregister")
    run.post("/devices", {"gone_at": 1700000000})
    run("PUT", "/limits", json={"notifications_per_second": 6})
    run.post("/clock/freeze", {"at": "2027-01-01T00:00:00Z"})
    return run.get("/state")


def test_what_is_exported_comes_back_the_same(exported: Any, new_run: Callable[[], Run]) -> None:
    other = new_run()

    counts = other.post("/state", exported)

    assert [counts["deliveries"][state] for state in ("delivered", "failed", "refused")] == [1, 1, 1]
    assert other.get("/state") == exported
    assert other.get("/deliveries", **{"data.a.0": "1", "to": IOS})["deliveries"][0]["title"] == "Hi"


def test_nothing_that_is_imported_is_sent_again(exported: Any, new_run: Callable[[], Run]) -> None:
    other = new_run()
    other.post("/state", {**exported, "captures": []})

    other.get("/idle/wait")

    assert other.get("/captures")["captures"] == []


def test_a_part_that_is_left_out_stays(run: Run, exported: Any) -> None:
    run.post("/state", {"version": 1, "faults": []})

    assert run.get("/state") == {**exported, "exported_at": run.get("/clock")["now_at"], "faults": []}


def test_a_seed_says_little(run: Run) -> None:
    seed = {"devices": [{"platform": "ios"}, {}], "faults": [{"act": {"type": "hang"}}]}

    counts = run.post("/state", seed)

    assert (counts["devices"], counts["faults"]) == (2, 1)


def test_a_state_needs_a_body(run: Run) -> None:
    assert run.refusal("POST", "/state")[0] == 400


def test_for_s_of_an_imported_fault_begins_at_the_imported_clock(run: Run) -> None:
    fault = {"match": {"for_s": 60}, "act": {"type": "outage"}}
    run.post("/state", {"version": 1, "clock": {"at": 1800000000, "frozen": True}, "faults": [fault]})

    assert run.get("/faults")["faults"][0]["match"] == {"until_at": 1800000060.0}


@pytest.mark.parametrize(
    ("spoilt", "status", "field"),
    [
        ({"version": 2}, 400, "version"),
        ({"things": []}, 400, "things"),
        ({"devices": [{"platform": "ios"}, {"platform": "windows"}]}, 400, "devices[1].platform"),
        ({"devices": [{"push_token": IOS}, {"push_token": IOS}]}, 409, "devices[1].push_token"),
        ({"devices": [{}] * 10_001}, 409, "devices"),
        ({"faults": [{"act": {"type": "no"}}]}, 400, "faults[0].act.type"),
        ({"faults": [{"id": "a", "act": {"type": "hang"}}] * 2}, 409, "faults[1]"),
        ({"clock": {"at": 0}}, 400, "clock.at"),
        ({"limits": {"receipt_delay_s": -1}}, 400, "limits.receipt_delay_s"),
        ({"projects": [{"full_name": "shop"}]}, 400, "projects[0].full_name"),
        ({"deliveries": [{}]}, 400, "deliveries[0].id"),
        ({"captures": [{}]}, 400, "captures[0].id"),
    ],
)
def test_a_state_that_can_not_be_changes_nothing(
    run: Run, exported: Any, spoilt: dict[str, Any], status: int, field: str
) -> None:
    before = {**run.get("/state")}

    assert run.refusal("POST", "/state", json={**exported, **spoilt})[::2] == (status, field)
    assert run.get("/state") == before


def test_a_delivery_whose_message_is_none_is_refused(run: Run, exported: Any) -> None:
    exported["deliveries"][0]["message"] = {"to": 1}

    assert run.refusal("POST", "/state", json=exported)[::2] == (400, "deliveries[0]")
