"""How JavaScript reads loosely typed values: the official relay is written in it, and its clients count on that.

Source: ECMA-262, ToBoolean, ToString, parseFloat and parseInt.
"""

import re
from typing import Final

import orjson

_FLOAT: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_INTEGER: Final = re.compile(r"\s*([+-]?\d{1,18})", re.ASCII)


def is_truthy(value: object) -> bool:
    """Empty lists and objects are, unlike Python's."""
    return isinstance(value, list | dict) or bool(value)


def string_of(value: object) -> str:
    """`String(value)`: an object says nothing of what is in it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, list):
        return ",".join("" if item is None else string_of(item) for item in value)
    return "[object Object]" if isinstance(value, dict) else str(value)


def text_of(value: object) -> str:
    """The same, but lists and objects as JSON, which their reader can make something of."""
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else string_of(value)


def float_of(value: object) -> float | None:
    """`parseFloat`: what a text begins with. None where JavaScript has NaN, which it writes as null."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    found = _FLOAT.match(value) if isinstance(value, str) else None
    return _plain(float(found[1])) if found is not None else None


def integer_of(value: object) -> int | None:
    """`parseInt(value, 10)`. None for NaN."""
    found = _INTEGER.match(string_of(value))
    return int(found[1]) if found is not None else None


def number_of(value: object) -> float | None:
    """`Number(value)`: the whole of a text, or nothing. None for NaN."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and (found := _FLOAT.match(value)) is not None and found.end() < len(value.rstrip()):
        return None
    return float_of(value)


def _plain(value: float) -> float:
    """As JavaScript writes it: 1.0 is 1."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
