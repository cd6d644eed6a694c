"""Loose values, as JavaScript reads them."""

import pytest

from expo_gateway.protocol.home_assistant.javascript import (
    float_of,
    integer_of,
    is_truthy,
    number_of,
    string_of,
    text_of,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [([], True), ({}, True), ("0", True), (0, False), ("", False), (None, False), (0.0, False), (False, False)],
)
def test_only_lists_and_objects_differ_in_truth(value: object, expected: bool) -> None:
    assert is_truthy(value) is expected


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("text", "text"),
        (None, "null"),
        (True, "true"),
        (1.0, "1"),
        (1.5, "1.5"),
        (-3, "-3"),
        ([1, None, [True, "a"]], "1,,true,a"),
        ({"a": 1}, "[object Object]"),
    ],
)
def test_a_value_is_written_as_string_does(value: object, written: str) -> None:
    assert string_of(value) == written


@pytest.mark.parametrize(("value", "written"), [([1, "a"], '[1,"a"]'), ({"a": None}, '{"a":null}'), (2.0, "2")])
def test_what_is_to_be_read_again_is_json(value: object, written: str) -> None:
    assert text_of(value) == written


@pytest.mark.parametrize(
    ("value", "read"),
    [("0.8", 0.8), (" 1e2x", 100), (".5", 0.5), ("1.0", 1), (2, 2), ("loud", None), (True, None), ({}, None)],
)
def test_a_float_is_what_a_text_begins_with(value: object, read: float | None) -> None:
    assert float_of(value) == read


@pytest.mark.parametrize(("value", "read"), [("1", 1), ("12px", 12), (1.9, 1), ("very", None), (None, None)])
def test_an_integer_is_what_a_text_begins_with(value: object, read: int | None) -> None:
    assert integer_of(value) == read


@pytest.mark.parametrize(("value", "read"), [("5", 5), ("5 ", 5), ("5x", None), (True, 1), ("many", None), (0, 0)])
def test_a_number_is_all_of_a_text_or_none(value: object, read: float | None) -> None:
    assert number_of(value) == read
