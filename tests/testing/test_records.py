from types import SimpleNamespace

import pytest

from expo_gateway.testing import Delivery, Receipt
from expo_gateway.testing.records import read, ticket_id

TOKEN = "ExponentPushToken[abcdefghijklmnopqrstuv]"


def delivery(**changes: object) -> Delivery:
    told: dict[str, object] = {
        **dict.fromkeys(field for field in Delivery.__dataclass_fields__),
        "id": "t-1",
        "ticket_id": "t-1",
        "state": "delivered",
        "title": "Hello",
        "push_token": TOKEN,
    }
    return read(Delivery, told | changes)


@pytest.mark.parametrize(
    "ticket", ["t-1", {"status": "ok", "id": "t-1"}, SimpleNamespace(status="ok", id="t-1"), delivery()]
)
def test_a_ticket_may_come_from_anywhere(ticket: object) -> None:
    assert ticket_id(ticket) == "t-1"


@pytest.mark.parametrize(
    "ticket", ["", None, {"status": "error"}, SimpleNamespace(id=""), delivery(id="batch-0", ticket_id=None)]
)
def test_a_ticket_that_is_an_error_has_no_id(ticket: object) -> None:
    with pytest.raises(ValueError, match="this ticket has no id"):
        ticket_id(ticket)


def test_a_delivery_shows_what_it_says_and_no_whole_token() -> None:
    assert repr(delivery()) == "<Delivery 'Hello' to ExponentPushToken[abcd…uv], delivered>"


def test_what_a_newer_gateway_tells_beyond_that_is_left_out() -> None:
    assert delivery(colour="red") == delivery()


def test_a_receipt_is_ok_or_has_an_error() -> None:
    refused = {"status": "error", "message": "gone", "details": {"error": "DeviceNotRegistered"}}

    assert read(Receipt, {"status": "ok"}).ok
    assert read(Receipt, {"status": "ok"}).error is None
    assert not read(Receipt, refused).ok
    assert read(Receipt, refused).error == "DeviceNotRegistered"
