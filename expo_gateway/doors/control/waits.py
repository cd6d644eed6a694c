"""Waiting: for deliveries, for receipts, until idle. Answers as soon as it is so, or with 408 and what is missing."""

import asyncio
from typing import Annotated, Final

import orjson
from msgspec import Meta, Struct

from expo_gateway.doors.control.answers import ControlRefused, Reply
from expo_gateway.doors.control.conditions import (
    DEFAULT_TIMEOUT_S,
    MAX_LIMIT,
    Ids,
    Sought,
    TimeoutS,
    condition,
)
from expo_gateway.doors.control.counts import count_all
from expo_gateway.doors.control.forms import read_query_and_data
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.journal import views
from expo_gateway.journal.entry import Entry, State
from expo_gateway.journal.query import Condition
from expo_gateway.protocol.receipt import visible_at
from expo_gateway.world import World

MAX_NEAREST: Final = 5
# Our choice: limits may be changed, and deliveries forgotten, while somebody waits; nothing wakes him for that.
LOOK_AGAIN_S: Final = 0.5

_SETTLED: Final = frozenset({State.DELIVERED, State.FAILED})


class _Deliveries(Sought, frozen=True, kw_only=True, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 1
    timeout_s: TimeoutS = DEFAULT_TIMEOUT_S


class _Receipts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ids: Ids
    timeout_s: TimeoutS = DEFAULT_TIMEOUT_S


class _Idle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    timeout_s: TimeoutS = DEFAULT_TIMEOUT_S


# -- deliveries -------------------------------------------------------------------------------------------------------


async def wait_for_deliveries(asked: Asked) -> Reply:
    query, data = read_query_and_data(asked.query, _Deliveries)
    waited = await asked.world.journal.wait(condition(query, data), count=query.count, timeout_s=query.timeout_s)
    found = [views.summary(entry) for entry in sorted(waited.found, key=_age)]
    if waited.is_done:
        return Reply(value={"deliveries": found})
    nearest = [views.near_miss(near) for near in waited.near_misses]
    why = f"; the nearest miss: {'; '.join(miss.why for miss in waited.near_misses[0].misses)}" if nearest else ""
    raise ControlRefused(
        408,
        f"{len(found)} of {query.count} deliveries match after {query.timeout_s:g} s{why}",
        beside={"deliveries": found, "nearest": nearest},
    )


def _age(entry: Entry) -> tuple[float, str, int]:
    return entry.accepted_at, entry.batch_id, entry.place


# -- receipts ---------------------------------------------------------------------------------------------------------


async def wait_for_receipts(asked: Asked) -> Reply:
    query = asked.query_as(_Receipts)
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + query.timeout_s
    ids = list(dict.fromkeys(query.ids))
    while True:
        found = await asked.world.gateway.receipts(ids)
        missing = [ticket for ticket in ids if ticket not in found]
        receipts = {ticket: orjson.loads(receipt) for ticket, receipt in found.items()}
        if not missing:
            return Reply(value={"receipts": receipts})
        left_s = give_up_at - loop.time()
        if left_s <= 0:
            raise ControlRefused(
                408,
                f"{len(missing)} of {len(ids)} receipts are missing after {query.timeout_s:g} s",
                beside={"receipts": receipts, "missing": [_missing(ticket, asked.world) for ticket in missing]},
            )
        await _change(missing, asked.world, timeout_s=min(left_s, LOOK_AGAIN_S))


async def _change(missing: list[str], world: World, *, timeout_s: float) -> None:
    """Until there is something to look at again."""
    entries = [entry for ticket in missing if (entry := world.journal.get(ticket.lower())) is not None]
    if any(entry.receipt is None for entry in entries) or len(entries) < len(missing):
        wanted = Condition(ticket_ids=frozenset(ticket.lower() for ticket in missing), states=_SETTLED)
        await world.journal.wait(wanted, count=len(missing), timeout_s=timeout_s)
    elif (at := max(_visible_at(entry, world) for entry in entries)) > world.clock.now():
        await world.clock.wait_until(at, timeout_s=timeout_s)
    else:
        await asyncio.sleep(timeout_s)  # expired: they are never shown again


def _visible_at(entry: Entry, world: World) -> float:
    """When getReceipts shows it."""
    held = visible_at(entry.receipt) if entry.receipt is not None else 0.0
    return max(held, entry.accepted_at + world.limits.receipt_delay_s)


def _missing(ticket: str, world: World) -> dict[str, object]:
    entry = world.journal.get(ticket.lower())
    if entry is None:
        return {"id": ticket, "state": None, "due_at": None}
    due_at = entry.due_at if entry.receipt is None else _visible_at(entry, world)
    return {"id": ticket, "state": entry.state.value, "due_at": due_at}


# -- idle -------------------------------------------------------------------------------------------------------------


async def wait_until_idle(asked: Asked) -> Reply:
    query = asked.query_as(_Idle)
    journal = asked.world.journal
    if await journal.wait_until_idle(timeout_s=query.timeout_s):
        return Reply(value=await count_all(asked.world))
    waiting = [entry for entry in journal if entry.refusal is None and entry.receipt is None]
    due = [entry.due_at for entry in waiting if entry.due_at is not None]
    raise ControlRefused(
        408,
        f"{journal.unsettled} deliveries have no receipt after {query.timeout_s:g} s",
        beside={
            "unsettled": max(1, journal.unsettled),
            "next_due_at": min(due, default=None),
            "nearest": [views.summary(entry) for entry in waiting[:MAX_NEAREST]],
        },
    )


OPERATIONS: Final = (
    Operation(method="GET", path="/deliveries/wait", answer=wait_for_deliveries, waits=True),
    Operation(method="GET", path="/receipts/wait", answer=wait_for_receipts, waits=True),
    Operation(method="GET", path="/idle/wait", answer=wait_until_idle, waits=True),
)
