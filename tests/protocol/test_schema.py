"""What is wrong with a JSON body, in zod's words. The two texts that were recorded are marked so."""

import pytest

from expo_gateway.protocol.schema import (
    boolean,
    issue_in_messages,
    issue_in_object,
    non_empty,
    number,
    one_of,
    optional,
    string,
    strings,
    uuid,
)

KINDS = {"string": "x", "number": 1, "boolean": True, "array": [], "object": {}}
FIELDS = {
    "string": "title subtitle body channelId icon categoryId collapseId tag threadId targetContentId filterCriteria",
    "number": "ttl expiration badge relevanceScore",
    "boolean": "mutableContent contentAvailable _contentAvailable",
    "object": "data richContent",
}
WRONG = [
    (field, kind, got) for kind, fields in FIELDS.items() for field in fields.split() for got in KINDS if got != kind
]


@pytest.mark.parametrize(("field", "kind", "got"), WRONG)
def test_a_field_of_another_type_is_named_with_both_types(field: str, kind: str, got: str) -> None:
    issue = issue_in_messages([{"to": "x", field: KINDS[got]}])

    assert issue == f'"0.{field}": Expected {kind}, received {got}.'


def test_a_bare_message_has_no_index_in_its_paths() -> None:
    assert issue_in_messages({"to": "x", "title": 1}) == '"title": Expected string, received number.'


def test_a_missing_to_is_required() -> None:
    assert issue_in_messages([{"to": "x"}, {}]) == '"1.to": Required.'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (None, "Expected object, received null."),
        (1, "Expected object, received number."),
        ("x", "Expected object, received string."),
        (True, "Expected object, received boolean."),
        ([None], '"0": Expected object, received null.'),
        ([[]], '"0": Expected object, received array.'),
        ([{"to": None}], '"0.to": Expected string, received null.'),
        ([{"to": 1}], '"0.to": Expected string, received number.'),
        ([{"to": {}}], '"0.to": Expected string, received object.'),
        ([{"to": ["x", 1]}], '"0.to.1": Expected string, received number.'),
        ([{"to": ["x", ["y"]]}], '"0.to.1": Expected string, received array.'),
        ([{"to": "x", "richContent": {"image": 1}}], '"0.richContent.image": Expected string, received number.'),
        ([{"to": "x", "sound": 1}], '"0.sound": Expected object, received number.'),
        ([{"to": "x", "sound": {"critical": 1}}], '"0.sound.critical": Expected boolean, received number.'),
        ([{"to": "x", "sound": {"volume": "1"}}], '"0.sound.volume": Expected number, received string.'),
        ([{"to": "x", "badge": float("inf")}], '"0.badge": Number must be finite.'),
    ],
)
def test_an_issue_has_the_path_of_what_is_wrong(body: object, text: str) -> None:
    assert issue_in_messages(body) == text


def test_a_to_of_101_has_the_recorded_text() -> None:
    """Recorded 2026-01-06: characters, although it is an array."""
    assert issue_in_messages([{"to": ["x"] * 101}]) == '"0.to": String must contain at most 100 character(s).'


def test_a_project_id_that_is_no_uuid_has_the_recorded_text() -> None:
    assert issue_in_object({"projectId": "x"}, {"projectId": uuid}) == '"projectId": Invalid uuid.'


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("priority", "'default' | 'normal' | 'high'"),
        ("interruptionLevel", "'active' | 'critical' | 'passive' | 'time-sensitive'"),
    ],
)
def test_a_word_outside_the_list_is_told_with_the_list(field: str, words: str) -> None:
    issue = issue_in_messages([{"to": "x", field: "urgent"}])

    assert issue == f"\"0.{field}\": Invalid enum value. Expected {words}, received 'urgent'."


def test_another_type_than_a_word_is_told_with_the_list() -> None:
    issue = issue_in_messages([{"to": "x", "priority": 1}])

    assert issue == "\"0.priority\": Expected 'default' | 'normal' | 'high', received number."


@pytest.mark.parametrize(
    "body", [[], {"to": "x"}, [{"to": []}], [{"to": "x", "sound": {}, "priority": "high", "x": 1}]]
)
def test_a_valid_body_has_no_issue(body: object) -> None:
    assert issue_in_messages(body) is None


@pytest.mark.parametrize("check", [string, boolean, number, strings, non_empty, uuid, one_of("a")])
def test_a_field_that_is_missing_is_required(check: object) -> None:
    assert issue_in_object({}, {"field": check}) == '"field": Required.'  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [{}, {"field": None}])
def test_an_optional_field_may_be_missing_or_null(value: object) -> None:
    assert issue_in_object(value, {"field": optional(string)}) is None


@pytest.mark.parametrize("ids", [["x", 1], ["x", None]])
def test_every_item_of_a_list_of_strings_is_looked_at(ids: list[object]) -> None:
    assert (issue_in_object({"ids": ids}, {"ids": strings}) or "").startswith('"ids.1": Expected string, received ')


def test_an_empty_string_where_there_must_be_one_is_told() -> None:
    issue = issue_in_object({"deviceId": ""}, {"deviceId": non_empty})

    assert issue == '"deviceId": String must contain at least 1 character(s).'


@pytest.mark.parametrize(
    "text",
    [
        "51092087-87a4-4b12-8008-14562547743",
        "{51092087-87a4-4b12-8008-145625477434}",
        "5109208787a44b128008145625477434",
        "",
    ],
)
def test_only_the_hyphened_form_is_a_uuid(text: str) -> None:
    assert issue_in_object({"id": text}, {"id": uuid}) == '"id": Invalid uuid.'
