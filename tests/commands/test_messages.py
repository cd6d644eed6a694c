"""Rows of files: the three readers, and the recipients that they name."""

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest

from expo_gateway.commands.message_csv import csv_rows
from expo_gateway.commands.message_json import json_rows, jsonl_rows
from expo_gateway.commands.message_rows import MAX_ROW_BYTES, BrokenRow, Recipient, Row, chunks_of, items_of
from expo_gateway.errors import SettingsError

Reader = Callable[[BinaryIO], Iterator[Row | BrokenRow]]


def rows(reader: Reader, text: str | bytes) -> list[tuple[int, object]]:
    """(number, fields or what is wrong) of each row."""
    file = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return [(row.number, row.why if isinstance(row, BrokenRow) else row.fields) for row in reader(file)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"to":"a"}\n\n{"to":"b"}', [(1, {"to": "a"}), (3, {"to": "b"})]),
        (b'\xef\xbb\xbf{"to":"a"}\r\n', [(1, {"to": "a"})]),
        ('[1]\n{"to":"b"}', [(1, "it is not a JSON object."), (2, {"to": "b"})]),
        ("", []),
    ],
)
def test_jsonl_is_read_line_by_line(text: str, expected: object) -> None:
    assert rows(jsonl_rows, text) == expected


def test_a_broken_line_of_jsonl_stops_nothing() -> None:
    ((first, why), second) = rows(jsonl_rows, '{"to":\n{"to":"b"}\n')

    assert (first, str(why)[:14]) == (1, "it is not JSON")
    assert second == (2, {"to": "b"})


def test_a_line_that_is_too_long_is_broken_and_the_next_one_is_read() -> None:
    found = rows(jsonl_rows, b'{"to":"' + b"x" * (2 * MAX_ROW_BYTES) + b'"}\n{"to":"b"}\n')

    assert found == [(1, f"it is longer than {MAX_ROW_BYTES} bytes."), (2, {"to": "b"})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"to":"a"}, {"to":"b"} ]\n', [(1, {"to": "a"}), (2, {"to": "b"})]),
        ('\ufeff {"to":\n"a"}', [(1, {"to": "a"})]),
        ("[]", []),
        ('[1, {"to":"b"}]', [(1, "it is not a JSON object."), (2, {"to": "b"})]),
    ],
)
def test_a_json_array_or_object_is_read(text: str, expected: object) -> None:
    assert rows(json_rows, text) == expected


@pytest.mark.parametrize(
    ("text", "number", "said"),
    [
        ('[{"to":"a"},]', 2, "it is not JSON"),
        ('[{"to":"a"} {"to":"b"}]', 2, "wanted a comma"),
        ('[{"to":"a"}', 2, "wanted a comma"),
        ('[{"to":"a"}] []', 2, "follows the end"),
        ('{"to":"a"}\n{"to":"b"}', 1, "--format jsonl"),
        ('[{"badge":NaN}]', 1, "NaN"),
        ("[" * 100_000, 1, "nested too deep"),
    ],
)
def test_a_mistake_in_a_json_array_ends_the_reading(text: str, number: int, said: str) -> None:
    *_, last = json_rows(io.BytesIO(text.encode()))

    assert isinstance(last, BrokenRow)
    assert (last.number, last.last) == (number, True)
    assert said in last.why


@pytest.mark.parametrize("text", ["", " \n", "\ufeff", "to,title", '"a"', "7"])
def test_what_begins_with_neither_an_array_nor_an_object_is_no_json_file(text: str) -> None:
    with pytest.raises(SettingsError, match=r"--file: it .*; wanted a JSON array of messages"):
        rows(json_rows, text)


def test_a_json_array_of_many_megabytes_is_read_through_a_small_window() -> None:
    count, size_bytes = 3_000, 5_000

    class Endless(io.RawIOBase):
        """Written as it is read."""

        def __init__(self) -> None:
            self.parts = iter([b"[", *[b'{"to":"%d","body":"%s"},' % (n, b"x" * size_bytes) for n in range(count)]])

        def read(self, _: int = -1) -> bytes:
            return next(self.parts, b"")

    *found, last = json_rows(Endless())  # type: ignore[arg-type]

    assert [row.number for row in found] == list(range(1, count + 1))
    assert isinstance(last, BrokenRow)


CSV = 'to,title,data,badge,mutableContent\nt1,"Hi, you","{""a"":1}",3,true\nt2,,,,\n'


def test_csv_columns_become_fields_of_their_types() -> None:
    assert rows(csv_rows, CSV) == [
        (2, {"to": "t1", "title": "Hi, you", "data": {"a": 1}, "badge": 3, "mutableContent": True}),
        (3, {"to": "t2"}),
    ]


@pytest.mark.parametrize("text", ["\ufeffTo;Channel ID\nt;c\n", "to\tchannel_id\nt\tc\n", "to,channelId\r\nt,c\r\n"])
def test_csv_of_spreadsheets_is_read(text: str) -> None:
    assert rows(csv_rows, text) == [(2, {"to": "t", "channelId": "c"})]


def test_a_row_of_csv_is_numbered_by_its_first_line() -> None:
    found = rows(csv_rows, 'to,body\na,"two\nlines"\n\nb,one\n')

    assert [number for number, _ in found] == [2, 5]


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ("t,x,{},many,", '"badge": wanted a number.'),
        ("t,x,{},nan,", '"badge": wanted a number.'),
        ("t,x,{oops,,", '"data": wanted JSON.'),
        ("t,x,,,perhaps", '"mutableContent": wanted true or false.'),
        ("t,x,,,,,", "it has 7 cells; the header row has 5."),
    ],
)
def test_a_broken_row_of_csv_stops_nothing(cells: str, why: str) -> None:
    found = rows(csv_rows, f"to,title,data,badge,mutableContent\n{cells}\nlast\n")

    assert found == [(2, why), (3, {"to": "last"})]


@pytest.mark.parametrize(
    ("header", "said"),
    [("to,titel", "did you mean title?"), ("title,body", "one of them is `to`"), ("to,To", "twice"), ("", "`to`")],
)
def test_a_header_row_that_is_wrong_is_refused(header: str, said: str) -> None:
    with pytest.raises(SettingsError, match="--file") as refused:
        rows(csv_rows, f"{header}\nt,x\n")

    assert said in str(refused.value)


def test_a_file_without_a_header_row_is_refused_without_a_whole_token() -> None:
    with pytest.raises(SettingsError) as refused:
        rows(csv_rows, "ExponentPushToken[abcdefghijklmnopqrstuv],Hello\n")

    assert "a column 'ExponentPushToken[abcd…uv]'" in str(refused.value)


# -- recipients -------------------------------------------------------------------------------------------------------


def test_a_row_has_a_message_for_each_of_its_recipients() -> None:
    items = list(items_of([Row(number=7, fields={"to": ["a", "b"], "title": "x"})], defaults={"title": "y", "ttl": 1}))

    assert [item.message for item in items if isinstance(item, Recipient)] == [
        b'{"to":"a","title":"x","ttl":1}',
        b'{"to":"b","title":"x","ttl":1}',
    ]


def test_a_message_may_have_nothing_but_a_recipient() -> None:
    (item,) = items_of([Row(number=1, fields={"to": "a"})], defaults={})

    assert isinstance(item, Recipient)
    assert item.message == b'{"to":"a"}'


@pytest.mark.parametrize(
    ("fields", "to", "why"),
    [
        ({}, None, '"to": Required.'),
        ({"to": []}, None, '"to": it is empty.'),
        ({"to": " "}, None, '"to": it is empty.'),
        ({"to": ["a", 1]}, "a", '"to": wanted a push token, or a list of them.'),
        ({"to": "\udcff"}, None, '"to": it is not UTF-8; save the file as UTF-8.'),
        ({"to": "a", "title": 1}, "a", '"title": Expected string, received number.'),
        ({"to": "a", "data": [1]}, "a", '"data": Expected object, received array.'),
        ({"to": "a", "title": "\udcff"}, "a", "it is not UTF-8; save the file as UTF-8."),
        ({"to": "a", "badge": 1 << 64}, "a", "it is no JSON of Expo's: Integer exceeds 64-bit range."),
    ],
)
def test_a_row_that_the_server_would_refuse_is_broken(fields: dict[str, object], to: str | None, why: str) -> None:
    assert list(items_of([Row(number=3, fields=fields)], defaults={})) == [BrokenRow(number=3, why=why, to=to)]


def test_a_broken_row_has_one_for_each_of_its_recipients() -> None:
    items = list(items_of([Row(number=3, fields={"to": ["a", "b"], "title": 1})], defaults={}))

    assert [(item.to, item.ends_row) for item in items] == [("a", False), ("b", True)]


@pytest.mark.parametrize(
    ("row", "to", "said"),
    [
        (b"t1,Hi,x", "t1", '"badge": wanted a number.'),
        (b"t1,Caf\xe9,1", "t1", '"title": byte 4 is 0xE9, which is not UTF-8; save the file as UTF-8.'),
        ("t1,Né".encode() + b"\xe9,1", "t1", '"title": byte 4 is 0xE9'),
        (b"\xe9,Hi,1", None, '"to": byte 1 is 0xE9'),
        (b"t1,Hi, you,1", None, "it has 4 cells"),
        (b"ExponentPushToken[a],Hi, you,1", "ExponentPushToken[a]", "it has 4 cells"),
    ],
)
def test_a_broken_row_of_csv_says_where_and_for_whom(row: bytes, to: str | None, said: str) -> None:
    (broken,) = csv_rows(io.BytesIO(b"to,title,badge\n" + row + b"\n"))

    assert isinstance(broken, BrokenRow)
    assert (broken.number, broken.to) == (2, to)
    assert said in broken.why


def test_a_header_row_that_is_not_utf_8_says_which_byte() -> None:
    with pytest.raises(SettingsError, match="line 1: byte 5 is 0xEF, which is not UTF-8; save the file as UTF-8"):
        list(csv_rows(io.BytesIO(b"to,T\xeftle\na,b\n")))


def test_a_line_of_jsonl_that_is_not_utf_8_says_which_byte() -> None:
    ((number, why),) = rows(jsonl_rows, b'{"to":"\xe9"}\n')

    assert (number, why) == (1, "byte 8 is 0xE9, which is not UTF-8; save the file as UTF-8.")


def test_chunks_have_a_hundred_recipients_at_most() -> None:
    items = items_of([Row(number=1, fields={"to": [str(n) for n in range(250)]})], defaults={})

    chunks = list(chunks_of(items, read_bytes=iter(range(9))))

    assert [len(chunk.recipients) for chunk in chunks] == [100, 100, 50]
    assert [chunk.through_row for chunk in chunks] == [0, 0, 1]


def test_a_quote_that_is_never_closed_is_not_taken_for_text() -> None:
    (row,) = csv_rows(io.BytesIO(b'to,title\nExponentPushToken[a],"Hi\nExponentPushToken[b],x\n'))

    assert isinstance(row, BrokenRow)
    assert "not closed" in row.why
