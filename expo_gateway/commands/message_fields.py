"""The fields of Expo's messages, and what names in a file are none of them.

Expo ignores what it does not know, so a misspelt field goes missing without a word. In a header row that is refused;
keys of JSON rows are sent as they are, and warned of, for they may be there on purpose.
Source: https://docs.expo.dev/push-notifications/sending-notifications/#message-request-format
"""

import difflib
import re
from collections import Counter, deque
from collections.abc import Iterator

from expo_gateway.commands.message_rows import Row
from expo_gateway.protocol.push_token import mistaken

NUMBERS = ("ttl", "expiration", "badge", "relevanceScore")
BOOLEANS = ("mutableContent", "contentAvailable", "_contentAvailable")
JSON = ("data", "richContent")
TEXTS = (
    *("to", "title", "subtitle", "body", "priority", "sound", "channelId", "icon", "categoryId", "collapseId", "tag"),
    *("threadId", "targetContentId", "filterCriteria", "interruptionLevel"),
)
FIELDS = (*TEXTS, *NUMBERS, *BOOLEANS, *JSON)
_KNOWN = frozenset(FIELDS)

# Our choice: more names than fields are no misspellings; they are counted together.
MAX_NAMES = 20
MAX_NAME_CHARS = 40


def plain(name: str) -> str:
    """`channel_id` and `Channel ID` are `channelId`, where a header row may be written by hand."""
    return re.sub(r"[\s_-]", "", name).lower()


def nearest(name: str) -> str:
    """The field that was probably meant; "" when none is like it."""
    known = {plain(field): field for field in FIELDS}
    found = difflib.get_close_matches(plain(name[:MAX_NAME_CHARS]), known, n=1)
    return known[found[0]] if found else ""


def unknown_keys(row: Row) -> list[str]:
    """Those of a row that are no fields, as they may be shown."""
    if row.fields.keys() <= _KNOWN:
        return []
    return [mistaken(name)[:MAX_NAME_CHARS] for name in row.fields if name not in _KNOWN]


def advice(name: str) -> str:
    field = nearest(name)
    return f"did you mean {field}?" if field else "what is for the app goes under data"


class UnknownKeys:
    """Of all rows of a run. A thread may `look` while another takes the `warnings`."""

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()
        self._rows_of_others = 0
        self._new: deque[tuple[int, str]] = deque()

    def look(self, row: Row) -> None:
        for name in unknown_keys(row):
            if name not in self._rows and len(self._rows) == MAX_NAMES:
                self._rows_of_others += 1
                continue
            if name not in self._rows:
                self._new.append((row.number, name))
            self._rows[name] += 1

    def warnings(self) -> Iterator[str]:
        """One for each name that was met since they were last taken."""
        while self._new:
            number, name = self._new.popleft()
            yield f"row {number}: {name!r} is no field of Expo's messages and is ignored; {advice(name)}"

    def summary(self) -> str:
        """How many rows have which; "" when there are none."""
        found = [f"{name!r} {count:,}" for name, count in self._rows.most_common()]
        if self._rows_of_others:
            found.append(f"others {self._rows_of_others:,}")
        return f"unknown keys, in so many rows: {', '.join(found)}; --strict-input refuses them" if found else ""
