"""Expo's message, and the body of /push/send.

Source: https://docs.expo.dev/push-notifications/sending-notifications/#message-request-format and the types of
expo-server-sdk-node 7.2. Unknown fields are ignored, null means absent.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NoReturn

import msgspec
import orjson

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.schema import issue_in_messages

MAX_RECIPIENTS = 100  # https://docs.expo.dev/push-notifications/sending-notifications/#http2-api
MAX_TO = 100  # recorded: a longer `to` is a VALIDATION_ERROR

# Our choice: 4,096 bytes fit in here even with each character escaped and much white space.
MAX_DATA_BYTES = 64 * 1024
# orjson writes 254 levels; Expo's own limit is not known.
MAX_DEPTH = 200
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_OBJECT_OR_NULL = (b"", b"{", b"n")
_APART = b"\x1f"
# Brackets that open or close, and strings as a whole, so that brackets in text don't count.
_BRACKETS = re.compile(rb'[\[\]{}]|"(?:[^"\\]|\\.)*"', re.DOTALL)

_ABSENT = msgspec.Raw(b"")

# A longer integer goes the slow way, where it is read as the double that JavaScript makes of it.
_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float


class CriticalSound(msgspec.Struct, frozen=True, gc=False):
    critical: bool | None = None
    name: str | None = None
    volume: _Number | None = None


class RichContent(msgspec.Struct, frozen=True, gc=False):
    image: str | None = None


class PushMessage(msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True):
    """One message of a request. `to` names one recipient or up to 100."""

    to: str | Annotated[list[str], msgspec.Meta(max_length=MAX_TO)]
    title: str | None = None
    subtitle: str | None = None
    body: str | None = None
    data: msgspec.Raw = _ABSENT
    """The JSON object as the client wrote it; empty or `null` when absent. Read it through `data_object`."""
    ttl: _Number | None = None
    expiration: _Number | None = None
    priority: Literal["default", "normal", "high"] | None = None
    sound: str | CriticalSound | None = None
    badge: _Number | None = None
    interruption_level: Literal["active", "critical", "passive", "time-sensitive"] | None = None
    channel_id: str | None = None
    icon: str | None = None
    rich_content: RichContent | None = None
    category_id: str | None = None
    mutable_content: bool | None = None
    collapse_id: str | None = None
    tag: str | None = None
    thread_id: str | None = None
    target_content_id: str | None = None
    relevance_score: _Number | None = None
    filter_criteria: str | None = None
    content_available: bool | None = None
    legacy_content_available: bool | None = msgspec.field(default=None, name="_contentAvailable")

    @property
    def recipients(self) -> list[str]:
        return [self.to] if isinstance(self.to, str) else self.to

    @property
    def largest_bytes(self) -> int:
        """Size of what a client may write at any length."""
        return len(memoryview(self.data))

    @property
    def is_too_big(self) -> bool:
        """No provider takes it, however its data is written: such data is never decoded."""
        return self.largest_bytes > MAX_DATA_BYTES

    @property
    def wakes_app(self) -> bool:
        """`contentAvailable`; it wins over the deprecated `_contentAvailable`."""
        if self.content_available is not None:
            return self.content_available
        return bool(self.legacy_content_available)

    def data_object(self) -> dict[str, object] | None:
        """`data`, or None when the message has none."""
        raw = bytes(self.data)
        if not raw or raw == b"null":
            return None
        try:
            decoded: dict[str, object] = orjson.loads(raw)
        except orjson.JSONDecodeError:  # 1e400, which JavaScript reads as Infinity and writes as null
            decoded = json.loads(raw, parse_int=_integer)
        return decoded


class SendRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of one /push/send body."""

    messages: list[PushMessage]
    tokens: list[str]
    """The push token of every place of the batch, in ticket order: messages in order, within each its `to` in order."""
    answers_object: bool
    """A bare message with a string `to` is answered by one ticket, everything else by an array."""

    def recipients(self) -> Iterator[tuple[PushMessage, str]]:
        """Every place of the batch with its message, in ticket order."""
        for message in self.messages:
            for token in message.recipients:
                yield message, token


_decoder: msgspec.json.Decoder[list[PushMessage] | PushMessage] = msgspec.json.Decoder(list[PushMessage] | PushMessage)


def decode_send_request(body: bytes) -> SendRequest:
    """Read a plain JSON body. Raises RequestRefused with Expo's words for the first thing that is wrong.

    The typed decoder says yes or no at the cost of parsing; only a no is looked at again, for its exact text.
    """
    try:
        decoded = _decoder.decode(_utf8(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = _decode_slowly(body)
    messages = decoded if isinstance(decoded, list) else [decoded]
    if not _are_decent([message.data for message in messages if message.data is not _ABSENT]):
        raise _complaint(body)
    tokens: list[str] = []
    for message in messages:
        if isinstance(message.to, str):
            tokens.append(message.to)
        else:
            tokens += message.to
    if len(tokens) > MAX_RECIPIENTS:
        raise RequestRefused(
            "PUSH_TOO_MANY_NOTIFICATIONS",
            f"You can send a maximum of {MAX_RECIPIENTS} notifications per request (received {len(tokens)}); "
            "divide your requests.",
        )
    answers_object = not isinstance(decoded, list) and isinstance(decoded.to, str)
    return SendRequest(messages=messages, tokens=tokens, answers_object=answers_object)


def decode_json(body: bytes) -> object:
    """Any JSON text, read as leniently as JavaScript's JSON.parse: lone surrogates and broken UTF-8 become U+FFFD.

    Raises RequestRefused when it is not JSON, or nested deeper than our parsers go (about a thousand levels).
    """
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=_integer)
        if _SURROGATE.search(text) is None:
            return value
        # Surrogates that have no partner can't be written as UTF-8; JavaScript writes U+FFFD for them.
        return json.loads(_without_lone_surrogates(json.dumps(value, ensure_ascii=False)))
    except RecursionError:
        raise too_deep() from None
    except ValueError as error:
        raise RequestRefused("VALIDATION_ERROR", f"The request body is not valid JSON: {error}.") from None


def too_deep() -> RequestRefused:
    return RequestRefused("VALIDATION_ERROR", f"The request body is nested too deep (more than {MAX_DEPTH} levels).")


def _are_decent(datas: Sequence[msgspec.Raw]) -> bool:
    """What the decoder does not see to: each `data` is an object or null, and can be written again."""
    # They are looked at as one text: no JSON has this character as it is. Few brackets can't be nested deep.
    text = _APART.join([b"", *datas])
    if text.count(_APART + b"{") == len(datas) and text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return True
    return all(_is_decent(bytes(data)) for data in datas)


def _is_decent(raw: bytes) -> bool:
    if raw[:1] not in _OBJECT_OR_NULL:
        return False
    # So many levels take two brackets each, and what is too big is never written.
    return len(raw) < 2 * MAX_DEPTH or len(raw) > MAX_DATA_BYTES or _depth(raw) <= MAX_DEPTH


def _complaint(body: bytes) -> RequestRefused:
    """What is wrong with a body that is not decent."""
    issue = issue_in_messages(decode_json(body))
    return too_deep() if issue is None else RequestRefused("VALIDATION_ERROR", issue)


def _depth(raw: bytes) -> int:
    """How deep it is nested, at the most: the exact look is for those that may be too deep."""
    brackets = raw.count(b"[") + raw.count(b"{")
    if brackets <= MAX_DEPTH:
        return brackets
    deepest = depth = 0
    for bracket in _BRACKETS.findall(raw):
        depth += 1 if bracket in b"[{" else -1 if bracket in b"]}" else 0
        deepest = max(deepest, depth)
    return deepest


def _integer(digits: str) -> int | float:
    """JavaScript has doubles only; so many digits are Infinity there and an error in Python."""
    return int(digits) if len(digits) < 19 else float(digits)


def _utf8(body: bytes) -> bytes:
    """The decoder passes `data` over unread, so broken UTF-8 in it has to be found here."""
    if not body.isascii():
        body.decode()
    return body


def _decode_slowly(body: bytes) -> list[PushMessage] | PushMessage:
    value = decode_json(body)
    refuse_invalid(value)
    try:
        return _decoder.decode(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestRefused("VALIDATION_ERROR", f"The request body can't be read: {error}.") from None


def refuse_invalid(value: object) -> None:
    """Raise RequestRefused with the first issue of a decoded body, if it has one."""
    issue = issue_in_messages(value)
    if issue is not None:
        raise RequestRefused("VALIDATION_ERROR", issue)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _without_lone_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
