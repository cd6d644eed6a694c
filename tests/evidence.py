"""Reading fixtures/: wire examples as data, each with its source and the date when it was seen.

Bodies are exact text with placeholders where the wire has something new each time: `<uuid7>`, `<unix s>` and so on.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "fixtures"

_PLACEHOLDERS = {
    "<uuid7>": r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "<uuid4>": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "<unix s>": r"[0-9]{10}",
    "<push token>": r"ExponentPushToken\[[A-Za-z0-9_-]{22}\]",
    "<anything>": r"(?:[^\"\\]|\\.)*",
    # What FCM said, in the details of a receipt: seen there, and seen missing.
    "<fcm>": r"(?:\"fcm\":\{[^{}]*\},)?",
}
_PLACEHOLDER = re.compile("|".join(map(re.escape, _PLACEHOLDERS)))


def names(folder: str) -> list[str]:
    """The fixtures of a folder, as parameters of a test."""
    return sorted(path.stem for path in (FIXTURES / folder).glob("*.json"))


def load(folder: str, name: str) -> dict[str, Any]:
    fixture: dict[str, Any] = json.loads((FIXTURES / folder / f"{name}.json").read_text(encoding="utf-8"))
    return fixture


def pattern(body: str) -> re.Pattern[str]:
    """A regular expression for the whole of an answer: exact text but for the placeholders."""
    exact = _PLACEHOLDER.split(body)
    holes = [_PLACEHOLDERS[hole] for hole in _PLACEHOLDER.findall(body)]
    return re.compile("".join(re.escape(text) + hole for text, hole in zip(exact, [*holes, ""], strict=True)))


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """The JSON value with these placeholders replaced, in keys' values at any depth."""
    if isinstance(value, dict):
        return {name: filled(inner, values) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, values) for inner in value]
    if isinstance(value, str):
        for hole, text in values.items():
            value = value.replace(hole, text)
    return value
