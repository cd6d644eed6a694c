"""Which deliveries are meant, as keyword arguments, and the query that says so. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeAlias, TypedDict, cast

Instant: TypeAlias = float | datetime
"""Unix seconds, or a datetime that knows its offset."""


class Filter(TypedDict, total=False):
    """Deliveries for which every part is so."""

    to: str
    """The push token."""
    title: str
    """The whole of it, as are `subtitle` and `body`."""
    subtitle: str
    body: str
    text: str
    """It stands somewhere in title, subtitle or body; upper and lower case are the same."""
    data: Mapping[str, object]
    """These keys have these values, whatever others there are: `{"order": {"id": 7}}` or `{"order.id": 7}`."""
    state: str | Iterable[str]
    """One of: pending, in_flight, retrying, delivered, failed, refused."""
    platform: str
    project: str
    """Its full name, `@owner/slug`, or its id."""
    batch: str
    ticket: str | Iterable[str]
    """The id of one of these tickets."""
    since: Instant
    """Accepted at this instant or later, by the clock of the run."""


def query_of(wanted: Filter) -> list[tuple[str, str]]:
    """ValueError: a part is None, which is nothing to look for; an argument that came out empty must not match all."""
    return [pair for name, value in wanted.items() for pair in _pairs(name, value)]


def described(wanted: Filter) -> str:
    """As it was written, on one line; push tokens are left to the gateway, which cuts them."""
    return ", ".join(f"{name}={'…' if name == 'to' else repr(value)}" for name, value in wanted.items())


def unix_seconds(at: Instant) -> float:
    """ValueError: a datetime without an offset, which is another instant on another machine."""
    if not isinstance(at, datetime):
        return at
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no offset; wanted Unix seconds or a datetime with a tzinfo")
    return at.timestamp()


def _pairs(name: str, value: object) -> Iterator[tuple[str, str]]:
    if value is None:
        raise ValueError(f"{name} is None; leave it out if anything will do")
    if name == "data":
        yield from _data_pairs("data", cast(Mapping[str, object], value))
    elif name == "since":
        yield name, str(unix_seconds(cast(Instant, value)))
    else:
        yield name, value if isinstance(value, str) else ",".join(cast(Iterable[str], value))


def _data_pairs(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _data_pairs(f"{path}.{key}", inner)
    elif path != "data":
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
