"""Deliveries and captures: listed, searched, paged, shown whole, forgotten."""

import pytest

from tests.doors.control.conftest import ANDROID, IOS, Run

ORDER = {"order": {"id": 7, "items": [{"name": "tea"}]}}


def titles(run: Run, **parameters: object) -> list[str]:
    return [one["title"] for one in run.get("/deliveries", **parameters)["deliveries"]]


@pytest.fixture
def three(run: Run) -> list[str]:
    return run.delivered(
        {"to": IOS, "title": "Ready", "body": "Your tea is ready", "data": ORDER},
        {"to": ANDROID, "title": "Late", "subtitle": "Sorry"},
        {"to": "nobody", "title": "Lost"},
    )


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["Ready", "Late", "Lost"]),
        ({"to": IOS}, ["Ready"]),
        ({"title": "Late"}, ["Late"]),
        ({"subtitle": "Sorry"}, ["Late"]),
        ({"body": "Your tea is ready"}, ["Ready"]),
        ({"text": "TEA"}, ["Ready"]),
        ({"data.order.id": "7"}, ["Ready"]),
        ({"data.order.items.0.name": "tea"}, ["Ready"]),
        ({"data.order.id": "8"}, []),
        ({"state": "delivered"}, ["Ready", "Late"]),
        ({"state": "refused,failed"}, ["Lost"]),
        ({"project": "@emulator/app"}, ["Ready", "Late"]),
        ({"platform": "ios", "title": "Lost"}, []),
        ({"since": "2199-01-01T00:00:00Z"}, []),
        ({"since": "1971-01-02T00:00:00Z"}, ["Ready", "Late", "Lost"]),
        ({"since": "40000000"}, ["Ready", "Late", "Lost"]),
        ({"title": "null"}, []),
    ],
)
def test_a_list_has_those_for_which_every_part_is_so(
    run: Run, three: list[str], parameters: dict[str, str], expected: list[str]
) -> None:
    assert titles(run, **parameters) == expected


def test_deliveries_are_found_by_ticket_and_batch(run: Run, three: list[str]) -> None:
    first = run.get("/deliveries", ticket=three[0].upper())["deliveries"]

    assert [one["id"] for one in first] == [three[0]]
    assert len(run.get("/deliveries", batch=first[0]["batch_id"])["deliveries"]) == 3
    for both in (",".join(three[:2]), "%2C".join(three[:2])):
        assert [one["id"] for one in run("GET", f"/deliveries?ticket={both}").json()["deliveries"]] == three[:2]


def test_a_list_is_read_page_by_page(run: Run, three: list[str]) -> None:
    first = run.get("/deliveries", limit=2)
    second = run.get("/deliveries", limit=2, after=first["next"])

    assert [one["title"] for one in first["deliveries"] + second["deliveries"]] == ["Ready", "Late", "Lost"]
    assert second["next"] is None


def test_a_delivery_shows_its_whole_life(run: Run, three: list[str]) -> None:
    ios, android = (run.get(f"/deliveries/{ticket}") for ticket in three[:2])

    assert ios["message"] == {"to": IOS, "title": "Ready", "body": "Your tea is ready", "data": ORDER}
    assert [event["event"] for event in ios["events"]] == [
        "accepted",
        "claimed",
        "attempt_started",
        "attempt_ended",
        "receipt",
    ]
    (attempt,) = ios["attempts"]
    assert attempt["answer"]["outcome"] == "accepted"
    captures = [run.get(f"/captures/{one['captures'][0]}") for one in (ios, android)]
    assert captures[0]["body"] == attempt["request"]["payload"] or captures[0]["provider"] == "fcm"
    assert [one["delivery_id"] for one in captures] == three[:2]
    assert [one["push_token"] for one in captures] == [IOS, ANDROID]


def test_a_refused_place_has_a_life_too(run: Run, three: list[str]) -> None:
    (lost,) = run.get("/deliveries", title="Lost")["deliveries"]

    assert run.get(f"/deliveries/{lost['id']}")["ticket_error"]["details"]["error"] == "DeviceNotRegistered"


def test_forgetting_takes_the_captures_along(run: Run, three: list[str]) -> None:
    assert run("DELETE", "/deliveries", params={"title": "Ready"}).json() == {"deleted": 1}
    assert titles(run) == ["Late", "Lost"]
    assert [one["delivery_id"] for one in run.get("/captures")["captures"]] == [three[1]]

    assert run("DELETE", f"/deliveries/{three[1]}").json() == {"deleted": 1}
    assert run.get("/captures")["captures"] == []
    assert run("DELETE", "/deliveries").json() == {"deleted": 1}


def test_a_delivery_that_there_is_not_is_404(run: Run) -> None:
    assert run.refusal("GET", "/deliveries/nothing")[0] == 404
    assert run.refusal("DELETE", "/deliveries/nothing")[0] == 404


def test_captures_are_filtered_and_paged(run: Run, three: list[str]) -> None:
    everything = run.get("/captures")["captures"]
    first = run.get("/captures", limit=1)

    assert run.get("/captures", to=IOS)["captures"] == [one for one in everything if one["push_token"] == IOS]
    assert run.get("/captures", device_token=everything[0]["device_token"])["captures"] == [everything[0]]
    assert first["captures"] + run.get("/captures", after=first["next"])["captures"] == everything
    assert run.get("/captures", since="2199-01-01T00:00:00Z")["captures"] == []
    assert {one["status"] for one in everything} == {200}
    assert run("DELETE", "/captures").json() == {"deleted": 2}
    assert run.refusal("GET", f"/captures/{everything[0]['id']}")[0] == 404


@pytest.mark.parametrize("path", ["/deliveries", "/captures"])
@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"since": "1e999"}, "since"),
        ({"since": "nan"}, "since"),
        ({"after": ""}, "after"),
        ({"titel": "x"}, "titel"),
        ({"data.": "x"}, "data."),
    ],
)
def test_a_bad_parameter_is_named(run: Run, path: str, parameters: dict[str, str], field: str) -> None:
    status, message, named = run.refusal("GET", path, params=parameters)

    assert (status, named) == (400, field)
    assert field in message


def test_the_nearest_parameter_is_named(run: Run) -> None:
    assert "did you mean title?" in run.refusal("GET", "/deliveries?titel=x")[1]


def test_a_parameter_that_is_given_twice_is_refused(run: Run) -> None:
    assert run.refusal("GET", "/deliveries?title=x&title=y")[::2] == (400, "title")


def test_an_unknown_state_is_refused(run: Run) -> None:
    assert run.refusal("GET", "/deliveries?state=delivered,gone")[0] == 400


def test_more_ticket_ids_than_fit_are_refused(run: Run) -> None:
    assert run.refusal("GET", f"/deliveries?ticket={','.join(['x'] * 301)}")[::2] == (400, "ticket")
