"""Batches: what came in each request, the tickets that it was answered, and what became of it."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import orjson

from expo_gateway.doors.control.answers import Reply, no_such
from expo_gateway.doors.control.conditions import DEFAULT_LIMIT, Id, Limit, Sought, condition, page
from expo_gateway.doors.control.forms import read_query_and_data
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.journal import views
from expo_gateway.journal.entry import Entry
from expo_gateway.journal.query import matches
from expo_gateway.protocol.body import inflate
from expo_gateway.protocol.message import decode_json


class _List(Sought, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Batches of which a delivery is so."""

    limit: Limit = DEFAULT_LIMIT
    after: Id | None = None


async def list_batches(asked: Asked) -> Reply:
    query, data = read_query_and_data(asked.query, _List)
    wanted = condition(query, data)
    batches = _by_batch(asked.world.journal)
    ids = [id_ for id_, entries in batches.items() if any(matches(wanted, entry) for entry in entries)]
    # As with deliveries: what followed one that is forgotten is now the oldest.
    if query.after in batches:
        order = list(batches)
        later = set(order[order.index(query.after) + 1 :])
        ids = [id_ for id_ in ids if id_ in later]
    found = ids[: query.limit + 1]
    values: list[object] = [_summary(id_, batches[id_]) for id_ in found]
    return page("batches", values, found, limit=query.limit)


async def get_batch(asked: Asked) -> Reply:
    asked.no_query()
    id_ = asked.parameters["id"].lower().replace("-", "")
    entries = [entry for entry in asked.world.journal if entry.batch_id == id_]
    if not entries:
        raise no_such("batch; a run remembers the newest deliveries only")
    whole = {
        **_summary(id_, entries),
        "request": decode_json(inflate(entries[0].body)),
        "deliveries": [views.summary(entry) for entry in entries],
    }
    return Reply(value=whole)


def _by_batch(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.batch_id, []).append(entry)
    return found


def _summary(batch_id: str, entries: list[Entry]) -> views.Json:
    return {
        "id": batch_id,
        "accepted_at": entries[0].accepted_at,
        "project": next((one.device.project.full_name for one in entries if one.device is not None), None),
        "states": Counter(entry.state.value for entry in entries),
        "tickets": [_ticket(entry) for entry in entries],
    }


def _ticket(entry: Entry) -> object:
    """As it was answered."""
    if entry.refusal is not None:
        return orjson.loads(entry.refusal.to_json())
    return {"status": "ok", "id": entry.ticket_id}


OPERATIONS: Final = (
    Operation(method="GET", path="/batches", answer=list_batches),
    Operation(method="GET", path="/batches/{id}", answer=get_batch),
)
