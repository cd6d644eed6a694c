"""Waiting: for deliveries, for receipts, until idle."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.doors.control.conftest import IOS, Run

HANG = {"act": {"type": "hang"}}


def test_waiting_ends_with_the_delivery_that_was_waited_for(run: Run) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run.get, "/deliveries/wait", title="Hello", state="delivered", timeout_s=20)
        (ticket,) = run.send({"to": IOS, "title": "Hello"})

        assert [one["ticket_id"] for one in waiting.result()["deliveries"]] == [ticket]


def test_waiting_for_what_is_there_answers_at_once(run: Run) -> None:
    run.delivered({"to": IOS}, {"to": IOS})

    assert len(run.get("/deliveries/wait", count=2, timeout_s=0)["deliveries"]) == 2


def test_too_few_deliveries_come_with_the_nearest_misses(run: Run) -> None:
    run.delivered({"to": IOS, "title": "Hallo", "data": {"id": 1}})

    answer = run("GET", "/deliveries/wait", params={"title": "Hello", "data.id": "1", "timeout_s": 0.05})

    assert answer.status_code == 408
    assert answer.json()["nearest"][0]["misses"][0]["why"] == 'title is "Hallo", wanted "Hello"'
    assert 'title is "Hallo", wanted "Hello"' in answer.json()["error"]["message"]


def test_waiting_for_receipts_ends_with_the_last_of_them(run: Run) -> None:
    ids = run.send({"to": IOS}, {"to": IOS})

    found = run.get("/receipts/wait", ids=",".join(ids), timeout_s=20)

    assert found == {"receipts": {ticket: {"status": "ok"} for ticket in ids}}


def test_a_receipt_that_is_delayed_comes_when_the_clock_is_moved(run: Run) -> None:
    run("PUT", "/limits", json={"receipt_delay_s": 900})
    (ticket,) = run.delivered({"to": IOS})
    early = run("GET", "/receipts/wait", params={"ids": ticket, "timeout_s": 0.05}).json()

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run.get, "/receipts/wait", ids=ticket, timeout_s=20)
        run.post("/clock/advance", {"seconds": 900})

        assert waiting.result()["receipts"] == {ticket: {"status": "ok"}}
    (missing,) = early["missing"]
    assert (missing["id"], missing["state"]) == (ticket, "delivered")
    assert missing["due_at"] == pytest.approx(time.time() + 900, abs=60)


def test_missing_receipts_say_how_far_they_are(run: Run) -> None:
    run.post("/faults", HANG)
    (ticket,) = run.send({"to": IOS})

    answer = run("GET", "/receipts/wait", params={"ids": f"{ticket},unknown", "timeout_s": 0.3})

    assert answer.status_code == 408
    assert [(one["id"], one["state"]) for one in answer.json()["missing"]] == [(ticket, "in_flight"), ("unknown", None)]


def test_idle_is_when_every_receipt_is_there(run: Run) -> None:
    assert run.get("/idle/wait", timeout_s=0)["deliveries"]["unsettled"] == 0
    run.send({"to": IOS})
    assert run.get("/idle/wait", timeout_s=20)["deliveries"]["delivered"] == 1


def test_not_idle_says_what_is_left(run: Run) -> None:
    run.post("/faults", HANG)
    (ticket,) = run.send({"to": IOS})

    answer = run("GET", "/idle/wait", params={"timeout_s": 0.05})

    assert (answer.status_code, answer.json()["unsettled"]) == (408, 1)
    assert [one["ticket_id"] for one in answer.json()["nearest"]] == [ticket]


def test_whoever_waits_in_a_run_that_goes_is_told(run: Run, default: Run) -> None:
    run.get("/counts")
    name = run.base_url.rpartition("/")[2]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run, "GET", "/deliveries/wait", params={"timeout_s": 20})
        time.sleep(0.2)
        default("DELETE", f"/runs/{name}")

        assert waiting.result().status_code == 408


def test_a_client_that_leaves_does_not_hold_its_wait(new_run: Callable[[], Run]) -> None:
    run = new_run()
    with pytest.raises(httpx.ReadTimeout):
        run.http.get(f"{run.url}/deliveries/wait?timeout_s=100", timeout=0.1)

    assert run.get("/counts")["deliveries"]["unsettled"] == 0


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/deliveries/wait?timeout_s=121", "timeout_s"),
        ("/deliveries/wait?timeout_s=-1", "timeout_s"),
        ("/deliveries/wait?timeout_s=nan", "timeout_s"),
        ("/deliveries/wait?count=0", "count"),
        ("/deliveries/wait?count=1001", "count"),
        ("/deliveries/wait?count=1.5", "count"),
        ("/deliveries/wait?limit=1", "limit"),
        ("/receipts/wait", "ids"),
        ("/receipts/wait?ids=", "ids[0]"),
        ("/idle/wait?timeout_s=soon", "timeout_s"),
        ("/idle/wait?count=1", "count"),
    ],
)
def test_a_wait_with_a_bad_parameter_is_refused_at_once(run: Run, path: str, field: str) -> None:
    status, _, named = run.refusal("GET", path)

    assert (status, named) == (400, field)
