"""Which entries a condition means, and why not the others."""

from typing import Any

import pytest

from expo_gateway.journal.entry import State
from expo_gateway.journal.journal import Journal
from expo_gateway.journal.query import Condition, matches, misses, near_misses, same_value, value_at
from expo_gateway.protocol.device import Platform
from expo_gateway.protocol.ticket import ticket_id
from tests.journal.entries import OTHER, PROJECT, START, TOKEN, Clock, accept, accept_one

DATA: dict[str, Any] = {
    "order": {"id": 7, "items": [{"sku": "a"}, {"sku": "b"}]},
    "paid": True,
    "none": None,
    "a.b": "dotted",
}


@pytest.fixture
def journal() -> Journal:
    return Journal(clock=Clock())


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"push_token": TOKEN},
        {"title": "Order 7"},
        {"body": "It is paid."},
        {"subtitle": "Shop"},
        {"text": "PAID"},
        {"data": {"order.id": 7, "order.items.1.sku": "b", "paid": True, "a.b": "dotted"}},
        {"data": {"order.id": "7", "paid": "true", "none": "null"}},
        {"states": frozenset({State.PENDING, State.DELIVERED})},
        {"platform": Platform.IOS},
        {"project": PROJECT.full_name},
        {"project": PROJECT.project_id},
        {"since": START},
        {"since": START + 0.0009},
    ],
)
def test_an_entry_that_is_so_matches(wanted: dict[str, Any], journal: Journal) -> None:
    accept_one(journal, title="Order 7", subtitle="Shop", body="It is paid.", data=DATA)

    assert [matches(Condition(**wanted), entry) for entry in journal] == [True]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"title": "order 7"}, 'title is "Order 7", wanted "order 7"'),
        ({"subtitle": "Shop"}, 'subtitle is missing, wanted "Shop"'),
        ({"body": "It is"}, 'body is "It is paid.", wanted "It is"'),
        ({"text": "refund"}, 'text is "Order 7 / It is paid.", wanted "refund"'),
        ({"data": {"order.id": 8}}, "data.order.id is 7, wanted 8"),
        ({"data": {"paid": 1}}, "data.paid is true, wanted 1"),
        ({"data": {"order.items.2.sku": "b"}}, 'data.order.items.2.sku is missing, wanted "b"'),
        ({"states": frozenset({State.FAILED, State.DELIVERED})}, 'state is "pending", wanted "delivered or failed"'),
        ({"platform": Platform.ANDROID}, 'platform is "ios", wanted "android"'),
        ({"project": "@acme/other"}, 'project is "@acme/shop", wanted "@acme/other"'),
        ({"since": START + 0.001}, "since is 1700000000.25, wanted 1700000000.251"),
        ({"push_token": OTHER}, f'push_token is "{TOKEN[:22]}…aa]", wanted "{OTHER[:22]}…bb]"'),
        ({"batch_id": "00"}, 'wanted "00"'),
        ({"ticket_ids": frozenset({"x"})}, 'wanted "x"'),
    ],
)
def test_an_entry_that_is_not_says_why(wanted: dict[str, Any], why: str, journal: Journal) -> None:
    accept_one(journal, title="Order 7", body="It is paid.", data=DATA)

    (miss,) = misses(Condition(**wanted), next(iter(journal)))

    assert miss.why.endswith(why)


def test_a_refused_place_without_a_device_has_neither_platform_nor_project(journal: Journal) -> None:
    accept(journal, {"to": TOKEN}, refuse=frozenset({TOKEN}))
    condition = Condition(platform=Platform.IOS, project="@acme/shop", ticket_ids=frozenset({"x"}))

    assert [miss.is_missing for miss in misses(condition, next(iter(journal)))][1:] == [True, True]


def test_tickets_are_found_by_their_ids_and_batches_by_theirs(journal: Journal) -> None:
    first = accept(journal, {"to": [TOKEN, OTHER]})
    accept_one(journal)

    by_ticket = journal.find(Condition(ticket_ids=frozenset({ticket_id(first, 1)})))
    assert [entry.push_token for entry in by_ticket] == [OTHER]
    assert len(journal.find(Condition(batch_id=first.hex()))) == 2


def test_a_message_without_data_misses_every_path(journal: Journal) -> None:
    accept_one(journal)

    assert journal.find(Condition(data={"order": "null"})) == []


def test_the_nearest_misses_fail_least_and_are_newest_and_five_at_most(journal: Journal) -> None:
    for second in range(6):
        accept_one(journal, at=START + second, title="no", body="no")
    close = accept_one(journal, at=START, title="yes", body="no")
    accept_one(journal, title="yes", body="yes", seed=1)

    near = near_misses(Condition(title="yes", body="yes"), journal)

    assert near[0].entry.id == close
    assert [miss.entry.accepted_at - START for miss in near[1:]] == [5, 4, 3, 2]


def test_what_a_miss_says_of_a_long_text_is_one_line(journal: Journal) -> None:
    accept_one(journal, title="x" * 4000)

    (miss,) = misses(Condition(title="y"), next(iter(journal)))

    assert len(miss.why) < 200


def test_a_condition_does_not_show_its_push_token() -> None:
    assert TOKEN not in repr(Condition(push_token=TOKEN))


@pytest.mark.parametrize(
    ("wanted", "got", "is_same"),
    [
        (1, 1.0, True),
        ("1", 1, True),
        ("1", "1", True),
        (1, "1", False),
        (1, True, False),
        (False, 0, False),
        (None, None, True),
        ('{"a":[1]}', {"a": [1]}, True),
        ({"a": 1}, {"a": 1}, True),
    ],
)
def test_values_are_compared_as_json(wanted: object, got: object, is_same: bool) -> None:
    assert same_value(wanted, got) is is_same


@pytest.mark.parametrize("path", ["b", "a.b", "a.0.b", "list.1", "list.-1", "list.x", "list.0.y", ""])
def test_a_path_that_leads_nowhere_equals_nothing(path: str) -> None:
    found = value_at({"a": 1, "list": [{"x": 1}]}, path)

    assert not any(same_value(wanted, found) for wanted in (None, "", "null", 1))
