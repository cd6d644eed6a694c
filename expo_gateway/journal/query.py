"""Which entries are meant, and why another is not: pure, over one entry at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

import msgspec
import orjson
from msgspec import Struct

from expo_gateway.journal.entry import Entry, State
from expo_gateway.protocol.device import Platform
from expo_gateway.protocol.push_token import redacted

# Our choice: an assertion's message stays one screen.
MAX_NEAR_MISSES = 5
# Our choice: a `why` stays one line.
MAX_SHOWN = 120
_MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What an entry must be. What is left out is not asked for; without anything every entry matches."""

    ticket_ids: frozenset[str] | None = None
    """One of these."""
    batch_id: str | None = None
    push_token: str | None = field(default=None, repr=False)
    title: str | None = None
    """The whole of it, as are `subtitle` and `body`."""
    subtitle: str | None = None
    body: str | None = None
    text: str | None = None
    """It stands somewhere in title, subtitle or body. Upper and lower case are the same."""
    data: Mapping[str, object] = field(default_factory=dict)
    """Path -> value. A path goes down by dots and indexes: `order.items.0.id`. See `same_value`."""
    states: frozenset[State] | None = None
    """One of these."""
    platform: Platform | None = None
    project: str | None = None
    """The project's id or its full name."""
    since: float | None = None
    """Accepted at this instant (Unix seconds) or later; to the millisecond, as ticket ids tell it."""


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a condition that an entry fails. Push tokens are redacted: it ends up in a test's log."""

    part: str
    """As the condition calls it; `data.<path>` for data."""
    wanted: object
    got: object
    is_missing: bool = False
    """The entry has nothing there, and `got` is None."""

    @property
    def why(self) -> str:
        got = "missing" if self.is_missing else _shown(self.got)
        return f"{self.part} is {got}, wanted {_shown(self.wanted)}"


class NearMiss(Struct, frozen=True, kw_only=True):
    entry: Entry
    misses: Sequence[Miss]


def matches(condition: Condition, entry: Entry) -> bool:
    return next(misses(condition, entry), None) is None


def near_misses(condition: Condition, entries: Iterable[Entry], *, limit: int = MAX_NEAR_MISSES) -> list[NearMiss]:
    """Those that fail the fewest parts first, and of equal ones the newest. Those that match are left out."""
    failed = (NearMiss(entry=entry, misses=tuple(misses(condition, entry))) for entry in entries)
    return nsmallest(
        limit, (miss for miss in failed if miss.misses), key=lambda miss: (len(miss.misses), -miss.entry.accepted_at)
    )


def misses(condition: Condition, entry: Entry) -> Iterator[Miss]:
    """What of the condition the entry fails, cheap parts first."""
    yield from _address_misses(condition, entry)
    yield from _text_misses(condition, entry)
    if condition.data:
        data = entry.message.data_object()
        for path, wanted in condition.data.items():
            got = value_at(data, path)
            if not same_value(wanted, got):
                yield _miss(f"data.{path}", wanted, got)
    if condition.states is not None and entry.state not in condition.states:
        yield _miss("state", _one_of(condition.states), entry.state.value)


def _address_misses(condition: Condition, entry: Entry) -> Iterator[Miss]:
    device = entry.device
    if condition.ticket_ids is not None and entry.ticket_id not in condition.ticket_ids:
        yield _miss("ticket_ids", _one_of(condition.ticket_ids), entry.ticket_id)
    if condition.batch_id is not None and entry.batch_id != condition.batch_id:
        yield _miss("batch_id", condition.batch_id, entry.batch_id)
    if condition.push_token is not None and entry.push_token != condition.push_token:
        yield _miss("push_token", redacted(condition.push_token), redacted(entry.push_token))
    if condition.platform is not None and (device is None or device.platform is not condition.platform):
        yield _miss("platform", condition.platform.value, _MISSING if device is None else device.platform.value)
    if condition.project is not None:
        names = () if device is None else (device.project.full_name, device.project.project_id)
        if condition.project not in names:
            yield _miss("project", condition.project, _MISSING if device is None else device.project.full_name)
    if condition.since is not None and entry.accepted_at < int(condition.since * 1000) / 1000:
        yield _miss("since", condition.since, entry.accepted_at)


def _text_misses(condition: Condition, entry: Entry) -> Iterator[Miss]:
    message = entry.message
    parts = (
        ("title", condition.title, message.title),
        ("subtitle", condition.subtitle, message.subtitle),
        ("body", condition.body, message.body),
    )
    for part, wanted, got in parts:
        if wanted is not None and wanted != got:
            yield _miss(part, wanted, _MISSING if got is None else got)
    if condition.text is not None:
        texts = [text for text in (message.title, message.subtitle, message.body) if text is not None]
        if not any(condition.text.casefold() in text.casefold() for text in texts):
            yield _miss("text", condition.text, " / ".join(texts) if texts else _MISSING)


def value_at(value: object, path: str) -> object:
    """What stands at the path, or an object that equals nothing. A key that has dots in it is found as a whole."""
    if isinstance(value, dict) and path in value:
        return value[path]
    head, dot, rest = path.partition(".")
    if isinstance(value, dict) and head in value and dot:
        return value_at(value[head], rest)
    if isinstance(value, list) and head.isdecimal() and int(head) < len(value):
        return value_at(value[int(head)], rest) if dot else value[int(head)]
    return _MISSING


def same_value(wanted: object, got: object) -> bool:
    """Whether both are the same JSON value. A wanted string may also be the value's JSON text, as in a query: `7`."""
    if got is _MISSING:
        return False
    if isinstance(wanted, str) and not isinstance(got, str):
        return wanted == _json(got)
    # Python says that True == 1.
    return wanted == got and isinstance(wanted, bool) is isinstance(got, bool)


def _miss(part: str, wanted: object, got: object) -> Miss:
    is_missing = got is _MISSING
    return Miss(part=part, wanted=wanted, got=None if is_missing else got, is_missing=is_missing)


def _one_of(values: Iterable[str]) -> str:
    return " or ".join(sorted(str(value) for value in values))


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _shown(value: object) -> str:
    text = _json(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
