from datetime import UTC, datetime
from typing import Any, cast

import pytest

from expo_gateway.testing.filters import Filter, query_of


@pytest.mark.parametrize(
    ("wanted", "query"),
    [
        ({}, []),
        ({"title": "Hello", "to": "ExponentPushToken[a]"}, [("title", "Hello"), ("to", "ExponentPushToken[a]")]),
        ({"data": {"order": {"id": 7, "paid": True}}}, [("data.order.id", "7"), ("data.order.paid", "true")]),
        ({"data": {"order.id": "7"}}, [("data.order.id", "7")]),
        ({"data": {"tags": ["ä", 1], "none": None}}, [("data.tags", '["ä",1]'), ("data.none", "null")]),
        ({"data": {"empty": {}}}, [("data.empty", "{}")]),
        ({"data": {}}, []),
        ({"state": "delivered"}, [("state", "delivered")]),
        ({"state": ["delivered", "failed"]}, [("state", "delivered,failed")]),
        ({"since": 1767657694.5}, [("since", "1767657694.5")]),
        ({"since": datetime(2026, 1, 6, tzinfo=UTC)}, [("since", "1767657600.0")]),
    ],
)
def test_what_is_wanted_becomes_a_query(wanted: Filter, query: list[tuple[str, str]]) -> None:
    assert query_of(wanted) == query


def test_an_argument_that_came_out_empty_does_not_match_everything() -> None:
    with pytest.raises(ValueError, match="to is None"):
        query_of(cast(Any, {"to": None}))


def test_an_instant_without_an_offset_is_none() -> None:
    with pytest.raises(ValueError, match="has no offset"):
        query_of({"since": datetime(2026, 1, 6)})
