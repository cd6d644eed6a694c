"""What a request says, read strictly: an unknown parameter or key is an error that names it, and the nearest known."""

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin
from urllib.parse import unquote_plus

import msgspec
from msgspec import Struct

from expo_gateway.clock import EARLIEST_AT, LATEST_AT
from expo_gateway.doors.control.answers import ControlRefused, invalid

T = TypeVar("T", bound=Struct)

# Our choice: far more than there are parameters; the rest are conditions on `data`.
MAX_PARAMETERS: Final = 200
DATA: Final = "data."

_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
# RFC 3339, section 5.6.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_AT = re.compile(r"(?P<text>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_KEY = re.compile(r"Object (?:contains unknown|missing required) field `(?P<key>[^`]*)`")


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """Neither parameters nor keys."""


# -- queries ----------------------------------------------------------------------------------------------------------


def read_query(query: bytes, form: type[T]) -> T:
    """Raises ControlRefused (400)."""
    return convert(_typed(parameters(query), form), form, is_query=True)


def read_query_and_data(query: bytes, form: type[T]) -> tuple[T, dict[str, object]]:
    """The same, with the conditions `data.<path>=<value>` apart, by their paths."""
    given = parameters(query)
    data: dict[str, object] = {
        name.removeprefix(DATA): unquote_plus(value)
        for name, value in given.items()
        if name.startswith(DATA) and name != DATA
    }
    plain = {name: value for name, value in given.items() if name.removeprefix(DATA) not in data or name == DATA}
    return convert(_typed(plain, form), form, is_query=True), data


def parameters(query: bytes) -> dict[str, str]:
    """Values are still percent-encoded. Each parameter is given once at most."""
    pairs = [pair.partition("=") for pair in query.decode("latin-1").split("&") if pair]
    if len(pairs) > MAX_PARAMETERS:
        raise invalid(f"the query has more than {MAX_PARAMETERS} parameters")
    found: dict[str, str] = {}
    for raw_name, _, value in pairs:
        name = unquote_plus(raw_name)
        if name in found:
            raise invalid(f"{name} is given more than once", name)
        found[name] = value
    return found


def _typed(given: Mapping[str, str], form: type[Struct]) -> dict[str, object]:
    """Decoded, and numbers and lists as the form wants them."""
    wanted = {one.encode_name: _plain(one.type) for one in msgspec.structs.fields(form)}
    return {name: _value(raw, wanted.get(name)) for name, raw in given.items()}


def _value(raw: str, wanted: object) -> object:
    text = unquote_plus(raw)
    if wanted is int and _INTEGER.fullmatch(text):
        return int(text)
    if wanted is float and _NUMBER.fullmatch(text):
        return float(text)
    if wanted is list:
        # A comma that separates is not encoded; but most clients encode it like any other.
        return [unquote_plus(part) for part in raw.split(",")] if "," in raw else text.split(",")
    return text


def _plain(kind: Any) -> object:
    """`Annotated[int, …] | None` -> int; `list[str]` -> list."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(one for one in get_args(kind) if one is not NoneType)
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return get_origin(kind) or kind


# -- bodies -----------------------------------------------------------------------------------------------------------


def read_json(body: bytes) -> object:
    """An empty body is `{}`. Raises ControlRefused (400)."""
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise invalid(f"the body is no JSON: {error}") from None


def convert(value: object, form: type[T], *, is_query: bool = False, inside: str = "") -> T:
    """`inside`: where in the body the value stands, for the error. Raises ControlRefused (400)."""
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise _wrong(str(error), value, form, is_query=is_query, inside=inside) from None


def _wrong(text: str, value: object, form: type[Struct], *, is_query: bool, inside: str) -> ControlRefused:
    at = _AT.fullmatch(text)
    message, path = (at["text"], at["path"] or "") if at else (text, "")
    key = _KEY.match(message)
    name = ".".join(part for part in (inside, path, key and key["key"]) if part)
    kind = "parameter" if is_query else "key"
    if key is not None and "unknown" in key[0]:
        known = [one.encode_name for one in msgspec.structs.fields(form)]
        return unknown(name, kind=kind, known=known if not path else ())
    if key is not None:
        return invalid(f"the {kind} {name} is missing", name)
    got = _shown(value, path)
    return invalid(f"{name or 'the body'} is {got}: {message[:1].lower()}{message[1:]}", name or None)


def unknown(name: str, *, kind: str, known: Iterable[str]) -> ControlRefused:
    near = difflib.get_close_matches(name.rpartition(".")[2], known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return invalid(f"there is no {kind} {name[:100]}{hint}", name)


def _shown(value: object, path: str) -> str:
    """What stands at a plain path, unless it may be a token or long."""
    got = value.get(path, value) if isinstance(value, dict) else value
    if "token" not in path and isinstance(got, str | int | float | None):
        text = msgspec.json.encode(got).decode()
        return text if len(text) <= 80 else "wrong"
    return "wrong"


# -- instants ---------------------------------------------------------------------------------------------------------


def instant(value: float | str, name: str, *, is_query: bool = False) -> float:
    """Unix seconds, of a number or of RFC 3339 text. Raises ControlRefused (400)."""
    if isinstance(value, str) and is_query:
        return _instant_asked_for(value, name)
    at = _instant_of(value) if isinstance(value, str) else value
    if at is None or not EARLIEST_AT <= at <= LATEST_AT:
        wanted = "Unix seconds or RFC 3339 text with an offset or Z, from 1971 to 2200"
        raise invalid(f"{name} is no instant; wanted {wanted}", name)
    return at


def _instant_asked_for(text: str, name: str) -> float:
    """To compare with: a date of any year will do."""
    if _NUMBER.fullmatch(text):
        return instant(float(text), name)
    at = _instant_of(text)
    return instant(text if at is None else min(max(at, EARLIEST_AT), LATEST_AT), name)


def _instant_of(text: str) -> float | None:
    if _DATE_TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):
        return None


def as_text(at: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
