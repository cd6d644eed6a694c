"""A request body read as Google's front end reads JSON into a proto message: names, types, one error text for each.

Rules of the mapping: https://protobuf.dev/programming-guides/json/. What the front end forgives (either spelling of a
name, enums in any case, numbers as strings, null for absent) is forgiven here; what it does not (a number where a
string belongs) is refused in its words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import orjson

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Answer
from expo_gateway.emulators.fcm_errors import Violation
from expo_gateway.emulators.fcm_fields import (
    SEND_REQUEST,
    Enum,
    FieldType,
    Message,
    Repeated,
    Scalar,
    StringMap,
)

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
TRUE_WORDS = frozenset(("true", "t", "yes", "y", "1"))
BOOL_WORDS = TRUE_WORDS | frozenset(("false", "f", "no", "n", "0"))
# The front end quotes this many characters on either side of the place where it stopped.
EXCERPT_CHARACTERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRequest:
    """A body whose names and types are right. `message` has proto names; null fields are gone."""

    validate_only: bool
    message: Mapping[str, object]


def read_send_request(body: bytes) -> SendRequest | Answer:
    """The request, or the 400 that names every wrong field. An empty body is an empty request, as in proto."""
    try:
        value = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        return fcm_errors.bad_json(_syntax_error(error))
    if not isinstance(value, dict):
        return fcm_errors.bad_json('Unknown name "": Root element must be a message.')
    reader = _Reader()
    request = reader.message(value, SEND_REQUEST, "")
    if reader.violations:
        return fcm_errors.bad_fields(reader.violations)
    return SendRequest(
        validate_only=is_true(request.get("validate_only", False)),
        message=cast(Mapping[str, object], request.get("message", {})),
    )


def is_true(value: object) -> bool:
    """A value that passed as a bool: `true`, 1 or one of the words for it."""
    return str(value).lower() in TRUE_WORDS


def value_text(value: object) -> str:
    """A value as the front end quotes it: strings in double quotes with nothing escaped."""
    if isinstance(value, str):
        return f'"{value}"'
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _syntax_error(error: orjson.JSONDecodeError) -> str:
    text, at = error.doc, error.pos
    if at >= len(text):
        return "Unexpected end of string. Expected a value.\n\n^"
    start = max(0, at - EXCERPT_CHARACTERS)
    return f"Unexpected token.\n{text[start : at + EXCERPT_CHARACTERS]}\n{' ' * (at - start)}^"


class _Reader:
    """One pass over one body; `violations` are in the order of the body."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def message(self, value: dict[str, object], schema: Message, at: str) -> dict[str, object]:
        read: dict[str, object] = {}
        for name, child in value.items():
            proto_name = schema.spellings.get(name)
            if proto_name is None:
                self._unknown_name(name, at, "Cannot find field.")
            elif child is not None and self._oneof_is_free(schema, proto_name, name, read, at):
                read[proto_name] = self._field(child, schema.fields[proto_name], proto_name, name, at)
        return read

    def _oneof_is_free(self, schema: Message, proto_name: str, name: str, read: dict[str, object], at: str) -> bool:
        if proto_name not in schema.oneof or schema.oneof.isdisjoint(read):
            return True
        self._invalid(at, "oneof", f"oneof field '{schema.oneof_name}' is already set. Cannot set '{name}'")
        return False

    def _field(self, value: object, kind: FieldType, proto_name: str, name: str, parent: str) -> object:
        at = f"{parent}.{proto_name}" if parent else proto_name
        if isinstance(value, list) and not isinstance(kind, Repeated):
            self._unknown_name(name, parent, "Proto field is not repeating, cannot start list.")
            return None
        if isinstance(kind, Repeated):
            return self._list(value, kind.element, proto_name, name, parent)
        if isinstance(kind, Scalar | Enum):
            self._scalar(value, kind, name, at, parent, proto_name)
            return value
        if not isinstance(value, dict):
            self._invalid(at, kind.type_name, value_text(value))
            return None
        if isinstance(kind, Message):
            return self.message(value, kind, at)
        if isinstance(kind, StringMap):
            self._string_map(value, at)
        return value

    def _list(self, value: object, element: Scalar, proto_name: str, name: str, parent: str) -> list[object]:
        """A single value counts as a list of one."""
        at = f"{parent}.{proto_name}"
        if not isinstance(value, list):
            self._scalar(value, element, name, at, parent, proto_name)
            return [value]
        for index, item in enumerate(value):
            self._scalar(item, element, "", f"{at}[{index}]", parent, proto_name)
        return value

    def _string_map(self, value: dict[str, object], at: str) -> None:
        for index, item in enumerate(value.values()):
            if isinstance(item, list):
                self._unknown_name("value", f"{at}[{index}]", "Proto field is not repeating, cannot start list.")
            elif isinstance(item, dict):
                self._invalid(f"{at}[{index}]", "value", "Starting an object on a scalar field")
            elif not isinstance(item, str):
                self._invalid(f"{at}[{index}].value", "TYPE_STRING", value_text(item))

    def _scalar(self, value: object, kind: Scalar | Enum, name: str, at: str, parent: str, proto_name: str) -> None:
        if isinstance(value, dict):
            self._invalid(parent, proto_name, "Starting an object on a scalar field")
        elif (complaint := _complaint(value, kind, name)) is not None:
            self._invalid(at, kind.type_name, complaint)

    def _invalid(self, at: str, type_name: str, text: str) -> None:
        where = f" at '{at}'" if at else ""
        self.violations.append(Violation(at, f"Invalid value{where} ({type_name}), {text}"))

    def _unknown_name(self, name: str, at: str, text: str) -> None:
        where = f" at '{at}'" if at else ""
        description = f'Invalid JSON payload received. Unknown name "{name}"{where}: {text}'
        self.violations.append(Violation(at, description))


def _complaint(value: object, kind: Scalar | Enum, name: str) -> str | None:
    """What follows the type in the error text, None when the value will do."""
    if isinstance(kind, Enum):
        return None if _is_enum(value, kind) else value_text(value)
    if kind.kind == "duration":
        return _duration_complaint(value, name)
    if kind.kind == "timestamp":
        return _timestamp_complaint(value, name)
    return None if SCALAR_CHECKS[kind.kind](value) else value_text(value)


def _is_enum(value: object, kind: Enum) -> bool:
    """By name in any case, `-` for `_`; a number passes whether or not the enum has it."""
    if isinstance(value, str):
        return value.upper().replace("-", "_") in kind.values
    return _is_int32(value)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return str(value).lower() in BOOL_WORDS or value in (0.0, 1.0)


def _is_int32(value: object) -> bool:
    number = _number(value)
    return number is not None and number.is_integer() and INT32_MIN <= number <= INT32_MAX


def _is_float(value: object) -> bool:
    return _number(value) is not None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", value, re.ASCII):
        return None
    return float(value) if isinstance(value, int | float | str) else None


SCALAR_CHECKS = {"string": _is_string, "bool": _is_bool, "int32": _is_int32, "float": _is_float}


def _duration_complaint(value: object, name: str) -> str | None:
    """Seconds with an `s`, up to nine decimals: "3.5s"."""
    if not isinstance(value, str):
        return f"Field '{name}', Invalid data type for duration, value is {value_text(value)}"
    if not value.endswith("s"):
        return f"Field '{name}', Illegal duration format; duration must end with 's'"
    if not re.fullmatch(r"-?\d{1,12}(\.\d{1,9})?s", value, re.ASCII):
        return f"Field '{name}', Invalid duration format, failed to parse seconds"
    return None


def _timestamp_complaint(value: object, name: str) -> str | None:
    """RFC 3339."""
    if not isinstance(value, str):
        return f"Field '{name}', Invalid data type for timestamp, value is {value_text(value)}"
    shape = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", value, re.ASCII)
    return None if shape and _is_a_date(value[:19]) else f"Field '{name}', Invalid time format: {value}"


def _is_a_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
