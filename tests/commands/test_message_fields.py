"""Names in files that are no fields of Expo's messages."""

import msgspec
import pytest

from expo_gateway.commands.message_fields import FIELDS, MAX_NAMES, UnknownKeys, nearest, unknown_keys
from expo_gateway.commands.message_rows import Row
from expo_gateway.protocol.message import PushMessage


def test_the_fields_are_those_that_the_gateway_reads() -> None:
    assert set(FIELDS) == {field.encode_name for field in msgspec.structs.fields(PushMessage)}


@pytest.mark.parametrize(
    ("name", "field"), [("titel", "title"), ("channel_id", "channelId"), ("Title", "title"), ("order", ""), ("", "")]
)
def test_the_nearest_field_is_the_one_that_was_meant(name: str, field: str) -> None:
    assert nearest(name) == field


def test_keys_of_a_row_are_compared_as_expo_does() -> None:
    assert unknown_keys(Row(number=1, fields={"to": "a", "Title": 1, "_contentAvailable": True, "x" * 50: 1})) == [
        "Title",
        "x" * 40,
    ]


def test_a_push_token_for_a_key_is_not_shown_whole() -> None:
    row = Row(number=1, fields={"ExponentPushToken[abcdefghijklmnopqrstuv]": "Hello"})

    assert unknown_keys(row) == ["ExponentPushToken[abcd…uv]"]


def test_a_name_is_warned_of_once_and_counted_always() -> None:
    unknown = UnknownKeys()

    unknown.look(Row(number=1, fields={"titel": 1}))
    first = list(unknown.warnings())
    unknown.look(Row(number=2, fields={"titel": 1}))

    assert len(first) == 1
    assert list(unknown.warnings()) == []
    assert "'titel' 2" in unknown.summary()


def test_names_without_end_are_counted_together() -> None:
    unknown = UnknownKeys()

    for number in range(1000):
        unknown.look(Row(number=number, fields={f"user {number}": 1}))

    assert len(list(unknown.warnings())) == MAX_NAMES
    assert "others 980;" in unknown.summary()


def test_without_unknown_keys_there_is_nothing_to_say() -> None:
    unknown = UnknownKeys()

    unknown.look(Row(number=1, fields={"to": "a"}))

    assert (list(unknown.warnings()), unknown.summary()) == ([], "")
