"""What `send` reads: rows of a file, and the recipients that they name.

A row is one message: a line of JSONL or CSV, or an element of a JSON array. Its fields are Expo's, checked here in
Expo's words, for the server refuses all hundred messages of a request when one of them is wrong.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.message import MAX_RECIPIENTS, decode_send_request

# Our choice: a payload is refused above 4 KiB; this bounds what a file without line ends takes of memory.
MAX_ROW_BYTES = 1024 * 1024
SAVE_AS_UTF8 = "save the file as UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    number: int
    """Of its line, from 1; of its element in a JSON array."""
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRow:
    number: int
    why: str
    to: str | None = field(default=None, repr=False)
    """The recipient; None when it can't be read. A row of several comes as several of these."""
    last: bool = False
    """What follows can't be told from it, so nothing more is read."""
    ends_row: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One push token of a row, and the message for it."""

    row: int
    to: str = field(repr=False)
    content: bytes = field(repr=False)
    """The message without its `to`, as JSON."""
    ends_row: bool = True
    """It is the last one of its row."""

    @property
    def message(self) -> bytes:
        rest = b"," + self.content[1:] if self.content != b"{}" else b"}"
        return b'{"to":' + orjson.dumps(self.to) + rest


Item = Recipient | BrokenRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one request takes: up to 100 recipients, with the broken rows among them."""

    items: list[Item]
    read_bytes: int
    """How far the file was read by then."""

    @property
    def recipients(self) -> list[Recipient]:
        return [item for item in self.items if isinstance(item, Recipient)]

    @property
    def through_row(self) -> int:
        """The last row that ends in here."""
        last = self.items[-1]
        number = last.row if isinstance(last, Recipient) else last.number
        return number if last.ends_row else number - 1


def items_of(rows: Iterable[Row | BrokenRow], *, defaults: Mapping[str, object]) -> Iterator[Item]:
    """Every recipient in order; of a row that can't be sent each comes as a BrokenRow.

    `defaults` are for absent fields.
    """
    for row in rows:
        if isinstance(row, BrokenRow):
            yield row
        else:
            yield from recipients_of(row, defaults=defaults)


def recipients_of(row: Row, *, defaults: Mapping[str, object]) -> Iterator[Item]:
    fields = {**defaults, **row.fields}
    to = fields.pop("to", None)
    tokens = [to] if isinstance(to, str) else to
    why = _why_unknown(tokens)
    content = b"{}"
    if not why:
        try:
            content = orjson.dumps(fields)
            # With one recipient, as it will be sent: the length of `to` is no limit of a row.
            decode_send_request(b"[" + Recipient(row=row.number, to="", content=content).message + b"]")
        except RequestRefused as refused:
            why = refused.message.replace('"0.', '"')
        except TypeError as error:
            # Surrogates, which stand for bytes that were not UTF-8, or a number of more than 64 bits.
            why = f"it is not UTF-8; {SAVE_AS_UTF8}." if "UTF-8" in str(error) else f"it is no JSON of Expo's: {error}."
    readable = readable_recipients(tokens)
    if why and not readable:
        yield BrokenRow(number=row.number, why=why)
    for place, token in enumerate(readable, 1):
        ends_row = place == len(readable)
        if why:
            yield BrokenRow(number=row.number, why=why, to=token, ends_row=ends_row)
        else:
            yield Recipient(row=row.number, to=token, content=content, ends_row=ends_row)


def readable_recipients(to: object) -> list[str]:
    """Those that a row's `to` names, as far as it is text."""
    tokens = to if isinstance(to, list) else [to]
    return [token for token in tokens if isinstance(token, str) and token.strip() and _is_text(token)]


def _why_unknown(tokens: object) -> str:
    """Why nobody can be sent this, "" when somebody can. Whether they are push tokens the server says."""
    if tokens is None:
        return '"to": Required.'
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        return '"to": wanted a push token, or a list of them.'
    if not tokens or not all(token.strip() for token in tokens):
        return '"to": it is empty.'
    if not all(_is_text(token) for token in tokens):
        return f'"to": it is not UTF-8; {SAVE_AS_UTF8}.'
    return ""


def _is_text(token: str) -> bool:
    """Surrogates stand for bytes that were not UTF-8."""
    return token.isascii() or not any("\ud800" <= character <= "\udfff" for character in token)


def chunks_of(items: Iterable[Item], *, read_bytes: Iterable[int]) -> Iterator[Chunk]:
    """Cut into requests. `read_bytes` tells, each time it is asked, how far the file was read."""
    positions = iter(read_bytes)
    waiting: list[Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == MAX_RECIPIENTS:
            yield Chunk(items=waiting, read_bytes=next(positions))
            waiting = []
    if waiting:
        yield Chunk(items=waiting, read_bytes=next(positions))
