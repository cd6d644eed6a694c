"""Rows of JSON and JSONL files, read as they come: what is held in memory is one row.

A JSON array is cut into its elements by the standard library's decoder over a buffer that grows only as far as one
element needs; a library for that (ijson) would be one more dependency for these few lines.
"""

import codecs
import json
import re
from collections.abc import Iterator
from json.decoder import JSONDecoder
from typing import BinaryIO, NoReturn

import orjson

from expo_gateway.commands.message_rows import MAX_ROW_BYTES, SAVE_AS_UTF8, BrokenRow, Row
from expo_gateway.errors import SettingsError

READ_BYTES = 64 * 1024
_BOM = codecs.BOM_UTF8
_TOO_LONG = f"it is longer than {MAX_ROW_BYTES} bytes."
_SPACE = re.compile(r"[ \t\r\n]*")


def jsonl_rows(file: BinaryIO) -> Iterator[Row | BrokenRow]:
    """One JSON object a line. Empty lines are passed over."""
    number = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES:
            while not line.endswith(b"\n") and (line := file.readline(MAX_ROW_BYTES)):
                pass
            yield BrokenRow(number=number, why=_TOO_LONG)
        elif text := line.removeprefix(_BOM if number == 1 else b"").strip():
            yield _line(text, number)


def _line(text: bytes, number: int) -> Row | BrokenRow:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            text.decode()
        except UnicodeDecodeError as wrong:
            why = f"byte {wrong.start + 1} is 0x{text[wrong.start]:02X}, which is not UTF-8; {SAVE_AS_UTF8}."
            return BrokenRow(number=number, why=why)
        # The error also has the text; its message has the position only.
        return BrokenRow(number=number, why=f"it is not JSON: {error.msg} at column {error.colno}.")
    return _row(value, number)


def _row(value: object, number: int) -> Row | BrokenRow:
    if not isinstance(value, dict):
        return BrokenRow(number=number, why="it is not a JSON object.")
    return Row(number=number, fields=value)


def json_rows(file: BinaryIO) -> Iterator[Row | BrokenRow]:
    """A JSON array of objects, or one object. After a mistake in the JSON itself nothing more can be read.

    SettingsError: the file begins with neither.
    """
    text = _Text(file)
    begins = text.peek()
    if begins not in ("[", "{"):
        what = f"begins with {begins!r}" if begins else "is empty"
        raise SettingsError(f"--file: it {what}; wanted a JSON array of messages, [ … ], or one message, {{ … }}")
    if begins == "{":
        yield from _only(text)
        return
    text.skip()
    number = 0
    while text.peek() != "]" or number:
        number += 1
        value, why = text.value()
        if why:
            yield BrokenRow(number=number, why=why, last=True)
            return
        yield _row(value, number)
        following = text.peek()
        text.skip()
        if following == "]":
            break
        if following != ",":
            yield BrokenRow(number=number + 1, why="it is not JSON: wanted a comma or ].", last=True)
            return
    else:
        text.skip()
    if text.peek():
        yield BrokenRow(number=number + 1, why="something follows the end of the array.", last=True)


def _only(text: "_Text") -> Iterator[Row | BrokenRow]:
    value, why = text.value()
    if not why and text.peek():
        why = "wanted one JSON array or object; one object a line is JSONL (--format jsonl)."
    yield BrokenRow(number=1, why=why, last=True) if why else _row(value, 1)


class _Text:
    """The text of a file behind a window of one value."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape")
        self._json = JSONDecoder(parse_constant=_no_constant)
        self._text = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def skip(self) -> None:
        self._at += 1

    def value(self) -> tuple[object, str]:
        """(the next value, ""), or (None, why there is none)."""
        self.peek()
        while True:
            why = "it ends too early."
            try:
                value, end = self._json.raw_decode(self._text, self._at)
                # A number may go on in what was not read yet; an object or array can't.
                if end < len(self._text) or self._ended or isinstance(value, dict | list):
                    self._at = end
                    return value, ""
            except RecursionError:
                return None, "it is nested too deep."
            except ValueError as error:
                why = f"it is not JSON: {error.msg if isinstance(error, json.JSONDecodeError) else error}."
            if len(self._text) - self._at > MAX_ROW_BYTES:
                return None, f"{why[:-1]}, or {_TOO_LONG}"
            if not self._more():
                return None, why

    def _more(self) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        chunk = self._file.read(READ_BYTES)
        self._ended = not chunk
        self._text = self._text[self._at :] + self._utf8.decode(chunk, final=self._ended)
        self._at = 0
        return not self._ended


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
