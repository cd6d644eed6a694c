"""Batches: each request with the tickets that it was answered."""

from typing import Any

from tests.doors.control.conftest import ANDROID, IOS, Run


def test_a_batch_is_a_request_with_its_tickets(run: Run) -> None:
    messages: list[dict[str, Any]] = [{"to": [IOS, "nobody"], "title": "Hello"}, {"to": ANDROID, "data": {"a": 1}}]
    first, refused, last = run.delivered(*messages)

    (batch,) = run.get("/batches")["batches"]
    whole = run.get(f"/batches/{batch['id']}")

    assert [ticket.get("id", "") for ticket in batch["tickets"]] == [first, refused, last]
    assert batch["tickets"][1]["details"]["error"] == "DeviceNotRegistered"
    assert (batch["states"], batch["project"]) == ({"delivered": 2, "refused": 1}, "@emulator/app")
    assert whole["request"] == messages
    assert [one["place"] for one in whole["deliveries"]] == [0, 1, 2]
    assert {name: whole[name] for name in batch} == batch


def test_batches_are_found_by_their_deliveries(run: Run) -> None:
    run.delivered({"to": IOS, "title": "Hello"}, {"to": ANDROID, "title": "World"})
    run.delivered({"to": IOS, "title": "Bye"})
    hello, bye = [batch["id"] for batch in run.get("/batches")["batches"]]

    def found(**wanted: str | int) -> list[str]:
        return [batch["id"] for batch in run.get("/batches", **wanted)["batches"]]

    assert (found(to=IOS), found(title="World"), found(state="refused")) == ([hello, bye], [hello], [])
    assert run.get("/batches", limit=1)["next"] == hello
    assert (found(limit=1), found(after=hello), found(after="forgotten")) == ([hello], [bye], [hello, bye])


def test_a_batch_that_there_is_not_is_a_404(run: Run) -> None:
    assert run.refusal("GET", "/batches/00")[0] == 404
