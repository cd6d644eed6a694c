"""Faults: added, listed, removed; and those of the Expo API, which the doors act out."""

import time
from typing import Any

import httpx
import pytest

from tests.doors.control.conftest import ANDROID, IOS, SEND, Run


def send(run: Run, *tokens: str, **options: Any) -> httpx.Response:
    return run.http.post(f"{run.base_url}{SEND}", json=[{"to": token} for token in tokens or (IOS,)], **options)


def test_a_fault_is_added_listed_and_removed(run: Run) -> None:
    added = run.post(
        "/faults", {"match": {"push_token": IOS}, "act": {"type": "apns_reason", "reason": "Unregistered"}}
    )

    assert added == run.get(f"/faults/{added['id']}")
    assert run.get("/faults")["faults"] == [added]
    assert run("DELETE", f"/faults/{added['id']}").json() == {"deleted": 1}
    assert run.refusal("DELETE", f"/faults/{added['id']}")[0] == 404
    assert run.refusal("GET", f"/faults/{added['id']}")[0] == 404
    assert run("DELETE", "/faults").json() == {"deleted": 0}


def test_a_fault_acts_and_counts(run: Run) -> None:
    platform = run.post("/devices", {"push_token": IOS, "platform": "ios"})["platform"]
    fault = run.post("/faults", {"match": {"push_token": IOS}, "act": {"type": "apns_reason", "reason": "BadTopic"}})

    (ticket,) = run.delivered({"to": IOS})

    assert platform == "ios"
    assert run.get(f"/deliveries/{ticket}")["receipt"]["details"]["apns"]["reason"] == "BadTopic"
    assert run.get(f"/faults/{fault['id']}")["acted"] == 1


def test_a_name_that_is_taken_is_a_conflict(run: Run) -> None:
    fault = {"id": "mine", "act": {"type": "hang"}}
    run.post("/faults", fault)

    assert run.refusal("POST", "/faults", json=fault)[::2] == (409, "id")


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({}, "act"),
        ([], None),
        ({"act": {"type": "none"}}, "act.type"),
        ({"act": {"type": "hang"}, "match": {"every": 0}}, "match.every"),
        ({"act": {"type": "hang"}, "match": {"evry": 2}}, "match.evry"),
        ({"act": {"type": "hang"}, "when": 1}, "when"),
        ({"act": {"type": "apns_reason", "reason": "Nope"}}, "act.reason"),
        ({"act": {"type": "goaway"}, "match": {"platform": "android", "provider": "apns"}}, "match.provider"),
    ],
)
def test_a_fault_that_is_none_is_refused_by_name(run: Run, fault: Any, field: str | None) -> None:
    assert run.refusal("POST", "/faults", json=fault)[::2] == (400, field)
    assert run.get("/faults")["faults"] == []


def test_the_nearest_key_is_named(run: Run) -> None:
    fault = {"act": {"type": "hang"}, "match": {"evry": 2}}

    assert "did you mean every?" in run.refusal("POST", "/faults", json=fault)[1]


# -- of the Expo API --------------------------------------------------------------------------------------------------


def test_a_send_is_refused_as_expo_does_it_so_often(run: Run) -> None:
    run.post("/faults", {"match": {"times": 1}, "act": {"type": "expo", "status": 429, "retry_after_s": 3}})

    first, second = send(run), send(run)

    assert (first.status_code, first.headers["retry-after"]) == (429, "3")
    assert first.json()["errors"][0]["code"] == "TOO_MANY_REQUESTS"
    assert second.status_code == 200
    assert len(run.get("/deliveries")["deliveries"]) == 1


@pytest.mark.parametrize(
    ("act", "code", "message"),
    [
        ({"status": 500}, "INTERNAL_SERVER_ERROR", "An unknown error occurred."),
        ({"status": 504}, "INTERNAL_SERVER_ERROR", "An unknown error occurred."),
        ({"status": 403}, "UNAUTHORIZED", "The request was refused."),
        ({"status": 400, "code": "MINE", "message": "No."}, "MINE", "No."),
    ],
)
def test_a_refusal_has_the_code_and_text_of_its_status_or_its_own(
    run: Run, act: dict[str, Any], code: str, message: str
) -> None:
    run.post("/faults", {"act": {"type": "expo", **act}})

    (error,) = send(run).json()["errors"]

    assert (error["code"], error["message"]) == (code, message)


def test_a_refusal_may_be_plain_text(run: Run) -> None:
    run.post("/faults", {"act": {"type": "expo", "status": 503, "text": "upstream connect error", "retry_after_s": 1}})

    answer = send(run)

    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "upstream connect error", "1")
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_slow_send_is_accepted_late(run: Run) -> None:
    run.post("/faults", {"act": {"type": "slow", "delay_s": 0.2}})
    began_at = time.monotonic()

    assert send(run).status_code == 200
    assert time.monotonic() - began_at >= 0.2


@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("http2", [False, True])
def test_a_connection_is_cut_before_or_after_the_batch_is_accepted(
    run: Run, when: str, accepted: int, http2: bool
) -> None:
    run.post("/faults", {"match": {"times": 1}, "act": {"type": "cut", "when": when}})

    with httpx.Client(http1=not http2, http2=http2, timeout=10) as http, pytest.raises(httpx.TransportError):
        http.post(f"{run.base_url}{SEND}", json={"to": IOS})

    assert len(run.get("/deliveries")["deliveries"]) == accepted
    assert send(run).status_code == 200


def test_a_fault_of_the_expo_api_is_for_its_push_token_and_project_only(run: Run) -> None:
    act = {"type": "expo", "status": 500}
    run.post("/devices", {"push_token": ANDROID, "project": "@acme/shop"})
    run.post("/faults", {"match": {"push_token": IOS}, "act": act})
    run.post("/faults", {"match": {"project": "@acme/shop"}, "act": act})

    answers = [send(run, IOS), send(run, ANDROID), send(run, "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]")]

    assert [answer.status_code for answer in answers] == [500, 500, 200]
