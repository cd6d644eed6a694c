"""Places of a batch: the pure part of every outbox. What stores do with it is in the contracts."""

import pytest

from expo_gateway.outbox import places
from expo_gateway.outbox.base import Pending
from expo_gateway.outbox.places import BrokenRow, Places
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON

ERROR_JSON = b'{"status": "error"}'


@pytest.fixture
def some() -> Places:
    """Pending, ok, failed, refused, and pending after a try."""
    fresh = places.fresh(5, refused=[3])
    settled = places.settled(fresh, {1: RECEIPT_OK_JSON, 2: ERROR_JSON})
    return places.postponed(settled, [Pending(place=4, attempts=2, due_at=60.0)])


def test_a_place_is_one_byte(some: Places) -> None:
    assert some.states == b"\0\1\2\3\0"


def test_only_ok_and_failed_places_have_a_receipt(some: Places) -> None:
    assert [places.receipt(some, place) for place in range(6)] == [
        None,
        RECEIPT_OK_JSON,
        ERROR_JSON,
        None,
        None,
        None,
    ]


def test_pending_places_come_in_order_with_their_attempts(some: Places) -> None:
    assert places.pending(some) == [Pending(place=0), Pending(place=4, attempts=2, due_at=60.0)]


def test_a_place_that_was_never_tried_is_due_since_the_batch_was_accepted(some: Places) -> None:
    assert places.next_due_at(some, accepted_at=10.0) == 10.0


def test_with_all_places_tried_the_earliest_retry_is_due_next(some: Places) -> None:
    tried = places.postponed(some, [Pending(place=0, attempts=1, due_at=70.0)])

    assert places.next_due_at(tried, accepted_at=10.0) == 60.0


def test_with_no_place_pending_nothing_is_due(some: Places) -> None:
    done = places.settled(some, {0: ERROR_JSON, 4: ERROR_JSON})

    assert places.is_done(done)
    assert done.retries == {}
    assert places.next_due_at(done, accepted_at=10.0) is None


def test_places_survive_their_columns(some: Places) -> None:
    columns = {"receipts": places.encoded_receipts(some), "retries": places.encoded_retries(some)}

    assert columns == {"receipts": '{"2":{"status": "error"}}', "retries": '{"4":[2,60.0]}'}
    assert places.decoded(count=5, states=some.states, **columns) == some


def test_columns_without_anything_special_are_null() -> None:
    ok = places.settled(places.fresh(2), {0: RECEIPT_OK_JSON})

    assert places.encoded_receipts(ok) is None
    assert places.encoded_retries(ok) is None
    assert places.decoded(count=2, states=ok.states) == ok


def test_a_failed_place_without_its_receipt_is_a_broken_row() -> None:
    with pytest.raises(BrokenRow, match="not those of its places"):
        places.decoded(count=2, states=b"\0\2")


@pytest.mark.parametrize("place", [-1, 5])
def test_a_refused_place_that_the_batch_does_not_have_is_a_mistake(place: int) -> None:
    with pytest.raises(ValueError, match="refused"):
        places.fresh(5, refused=[place])
