"""Faults: added, listed, removed; and what the Expo doors ask of those that are theirs."""

from typing import Final

import msgspec

from expo_gateway.doors.control.answers import Reply, conflict, deleted, invalid, no_such
from expo_gateway.doors.control.forms import unknown
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.emulators.fault_json import InvalidFault, decode_rule, encode_rule
from expo_gateway.emulators.fault_rules import FaultRule, Match
from expo_gateway.world import World

_KEYS: Final = ("id", "match", "act", "for_s", *(field.encode_name for field in msgspec.structs.fields(Match)))


async def list_faults(asked: Asked) -> Reply:
    asked.no_query()
    faults = asked.world.emulated.faults
    return Reply(value={"faults": [view(rule, asked.world) for rule in faults]})


async def add_fault(asked: Asked) -> Reply:
    rule = read_rule(asked.json(), now=asked.world.clock.now())
    try:
        added = asked.world.emulated.faults.add(rule)
    except ValueError as error:
        raise conflict(str(error), "id" if rule.id else None) from None
    return Reply(value=view(added, asked.world), status=201)


async def get_fault(asked: Asked) -> Reply:
    asked.no_query()
    rule = asked.world.emulated.faults.get(asked.parameters["id"])
    if rule is None:
        raise no_such("fault")
    return Reply(value=view(rule, asked.world))


async def remove_fault(asked: Asked) -> Reply:
    asked.no_query()
    if not asked.world.emulated.faults.remove(asked.parameters["id"]):
        raise no_such("fault")
    return deleted(1)


async def remove_faults(asked: Asked) -> Reply:
    asked.no_query()
    faults = asked.world.emulated.faults
    count = len(faults)
    faults.clear()
    return deleted(count)


def read_rule(value: object, *, now: float, inside: str = "") -> FaultRule:
    """`inside`: where in the body it stands. Raises ControlRefused (400)."""
    try:
        return decode_rule(value, now=now)
    except InvalidFault as error:
        where = ".".join(part for part in (inside, error.field) if part)
        if "unknown field" in error.message:
            raise unknown(where, kind="key", known=_KEYS) from None
        raise invalid(f"{where or 'the body'}: {error.message}", where or None) from None


def view(rule: FaultRule, world: World) -> dict[str, object]:
    counts = world.emulated.faults.counts(rule.id)
    return {**encode_rule(rule), "seen": counts.seen, "acted": counts.acted, "is_used_up": counts.is_used_up}


OPERATIONS: Final = (
    Operation(method="GET", path="/faults", answer=list_faults),
    Operation(method="POST", path="/faults", answer=add_fault),
    Operation(method="DELETE", path="/faults", answer=remove_faults),
    Operation(method="GET", path="/faults/{id}", answer=get_fault),
    Operation(method="DELETE", path="/faults/{id}", answer=remove_fault),
)
