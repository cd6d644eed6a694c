"""Deliveries: listed, searched, shown whole, forgotten."""

from typing import Final

from expo_gateway.doors.control.answers import Reply, deleted, no_such
from expo_gateway.doors.control.conditions import DEFAULT_LIMIT, Id, Limit, Sought, condition, page
from expo_gateway.doors.control.forms import read_query_and_data
from expo_gateway.doors.control.joins import Deliveries, captures_of
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.journal import views
from expo_gateway.journal.entry import Entry
from expo_gateway.journal.journal import Journal
from expo_gateway.journal.query import matches
from expo_gateway.world import World


class _List(Sought, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = DEFAULT_LIMIT
    after: Id | None = None


async def list_deliveries(asked: Asked) -> Reply:
    query, data = read_query_and_data(asked.query, _List)
    wanted = condition(query, data)
    found: list[Entry] = []
    for entry in _after(asked.world.journal, query.after):
        if matches(wanted, entry):
            found.append(entry)
            if len(found) > query.limit:
                break
    values: list[object] = [views.summary(entry) for entry in found]
    return page("deliveries", values, [entry.id for entry in found], limit=query.limit)


async def get_delivery(asked: Asked) -> Reply:
    asked.no_query()
    return Reply(value=life(_delivery(asked), asked.world))


async def forget_deliveries(asked: Asked) -> Reply:
    query, data = read_query_and_data(asked.query, Sought)
    wanted = condition(query, data)
    _forget_captures(asked.world.journal.find(wanted), asked.world)
    return deleted(asked.world.journal.delete(wanted))


async def forget_delivery(asked: Asked) -> Reply:
    asked.no_query()
    entry = _delivery(asked)
    _forget_captures([entry], asked.world)
    asked.world.journal.forget(entry.id)
    return deleted(1)


def life(entry: Entry, world: World) -> views.Json:
    """With the numbers of its captures."""
    captures = captures_of(entry, world.emulated.inbox.numbered())
    return {**views.life(entry), "captures": [str(number) for number, _ in captures]}


def _delivery(asked: Asked) -> Entry:
    entry_id = asked.parameters["id"]
    entry = asked.world.journal.get(entry_id) or asked.world.journal.get(entry_id.lower())
    if entry is None:
        raise no_such("delivery; a run remembers the newest ones only")
    return entry


def _after(journal: Journal, entry_id: str | None) -> list[Entry]:
    """What follows. One that is not remembered was the oldest once, and what followed it is now the oldest."""
    entries = list(journal)
    if entry_id is None or journal.get(entry_id) is None:
        return entries
    place = next(number for number, entry in enumerate(entries, 1) if entry.id == entry_id)
    return entries[place:]


def _forget_captures(entries: list[Entry], world: World) -> None:
    inbox, deliveries = world.emulated.inbox, Deliveries(entries)
    inbox.remove(number for number, capture in inbox.numbered() if deliveries.of(capture) is not None)


OPERATIONS: Final = (
    Operation(method="GET", path="/deliveries", answer=list_deliveries),
    Operation(method="DELETE", path="/deliveries", answer=forget_deliveries),
    Operation(method="GET", path="/deliveries/{id}", answer=get_delivery),
    Operation(method="DELETE", path="/deliveries/{id}", answer=forget_delivery),
)
