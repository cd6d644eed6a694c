"""Rows of CSV files: the header row names Expo's fields, an empty cell is an absent field.

`to`, `title`, `body` are text; `data` and `richContent` are JSON; `badge`, `ttl`, … are numbers. Commas, semicolons
(spreadsheets of half of Europe) or tabs, told by the header row. Source: RFC 4180.
"""

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO

import orjson

from expo_gateway.commands.message_fields import BOOLEANS, FIELDS, JSON, NUMBERS, nearest, plain
from expo_gateway.commands.message_rows import MAX_ROW_BYTES, SAVE_AS_UTF8, BrokenRow, Row, readable_recipients
from expo_gateway.errors import SettingsError
from expo_gateway.protocol.push_token import mistaken, passes_sdk_check

_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def csv_rows(file: BinaryIO) -> Iterator[Row | BrokenRow]:
    """SettingsError: the header row names a field that Expo's messages don't have, or no `to`."""
    lines = _lines(file)
    first = next(lines, "")
    header = first.removeprefix("\ufeff")
    if wrong := not_utf8(header):
        raise SettingsError(f"--file: line 1: {wrong} (Excel calls that CSV UTF-8)")
    if not header.strip():
        what = "the first line" if first else "the file"
        raise SettingsError(f"--file: {what} is empty; it is to name the columns, and one of them is `to`")
    delimiter = max(",;\t", key=header.count)
    columns = columns_of(next(csv.reader([header], delimiter=delimiter), []))
    # Strict: else a quote that is never closed takes the rest of the file for text.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 2
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BrokenRow(number=number, why=f"it is not CSV: {error} (a quote that is not closed?).")
            continue
        if cells:
            yield _row(cells, columns, number)


def _lines(file: BinaryIO) -> Iterator[str]:
    """Not by TextIOWrapper, which knows no limit for a line."""
    while line := file.readline(MAX_ROW_BYTES):
        yield line.decode("utf-8", "surrogateescape")


def columns_of(header: Sequence[str]) -> list[str]:
    """The fields that the header row names: `channelId`, also as `channel_id`, `Channel ID`."""
    known = {plain(name): name for name in FIELDS}
    columns = []
    for cell in header:
        name = known.get(plain(cell))
        if name is None:
            meant = nearest(cell)
            hint = f"did you mean {meant}?" if meant else f"wanted some of {', '.join(FIELDS)}"
            raise SettingsError(f"--file: the header row has a column {mistaken(cell)[:40]!r}; {hint}")
        columns.append(name)
    if len(set(columns)) < len(columns):
        raise SettingsError("--file: the header row names a column twice")
    if "to" not in columns:
        raise SettingsError("--file: the first row is to name the columns, and one of them is `to`")
    return columns


def not_utf8(text: str) -> str:
    """Which byte of the text, read with surrogateescape, was not UTF-8, and what to do; "" when all were."""
    if text.isascii() or (found := re.search("[\udc80-\udcff]", text)) is None:
        return ""
    place = len(text[: found.start()].encode("utf-8", "surrogateescape")) + 1
    return f"byte {place} is 0x{ord(found[0]) - 0xDC00:02X}, which is not UTF-8; {SAVE_AS_UTF8}"


def _row(cells: Sequence[str], columns: Sequence[str], number: int) -> Row | BrokenRow:
    if len(cells) > len(columns):
        why = f"it has {len(cells)} cells; the header row has {len(columns)}."
        return BrokenRow(number=number, why=why, to=_recipient(cells, columns, is_shifted=True))
    fields: dict[str, object] = {}
    for name, cell in zip(columns, cells, strict=False):
        if not cell.strip():
            continue
        why = not_utf8(cell)
        try:
            fields[name] = _READ.get(name, str)(cell)
        except ValueError:
            why = why or f"wanted {_wanted(name)}"
        if why:
            return BrokenRow(number=number, why=f'"{name}": {why}.', to=_recipient(cells, columns))
    return Row(number=number, fields=fields)


def _recipient(cells: Sequence[str], columns: Sequence[str], *, is_shifted: bool = False) -> str | None:
    """Who is named under `to`. With a cell too many that column may hold another's text: then only a push token."""
    place = columns.index("to")
    found = readable_recipients(cells[place].strip()) if place < len(cells) else []
    return found[0] if found and (not is_shifted or passes_sdk_check(found[0])) else None


def _number(cell: str) -> int | float:
    if re.fullmatch(r"\s*-?\d{1,15}\s*", cell, re.ASCII):
        return int(cell)
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(cell: str) -> bool:
    truth = _TRUTHS.get(cell.strip().lower())
    if truth is None:
        raise ValueError
    return truth


def _sound(cell: str) -> object:
    """A name, or the object of a critical alert."""
    return orjson.loads(cell) if cell.lstrip().startswith("{") else cell


_READ: Mapping[str, Callable[[str], object]] = {
    "to": str.strip,
    "sound": _sound,
    **dict.fromkeys(NUMBERS, _number),
    **dict.fromkeys(BOOLEANS, _boolean),
    **dict.fromkeys(JSON, orjson.loads),
}


def _wanted(name: str) -> str:
    if name in NUMBERS:
        return "a number"
    return "true or false" if name in BOOLEANS else "JSON"
