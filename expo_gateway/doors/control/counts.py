"""A world as a whole: how many there are of everything, its limits, and beginning again."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from expo_gateway.doors.control.answers import Reply, invalid
from expo_gateway.doors.control.forms import Nothing
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.journal.entry import State
from expo_gateway.world import World

MAX_RECEIPT_DELAY_S: Final = 86_400.0


class NewLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out is as at the start."""

    notifications_per_second: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType | None = UNSET
    receipt_delay_s: Annotated[float, Meta(ge=0, le=MAX_RECEIPT_DELAY_S)] | UnsetType = UNSET


async def get_counts(asked: Asked) -> Reply:
    asked.no_query()
    return Reply(value=await count_all(asked.world))


async def reset(asked: Asked) -> Reply:
    asked.body_as(Nothing)
    await asked.world.reset()
    return Reply(value=await count_all(asked.world))


async def get_limits(asked: Asked) -> Reply:
    asked.no_query()
    return Reply(value=view_limits(asked.world))


async def set_limits(asked: Asked) -> Reply:
    if not asked.body.strip():
        raise invalid("the body is missing; {} sets all limits to what they are at the start")
    use_limits(asked.world, asked.body_as(NewLimits))
    return Reply(value=view_limits(asked.world))


async def count_all(world: World) -> dict[str, object]:
    counts = world.journal.counts()
    deliveries: dict[str, int] = {state.value: counts[state] for state in State}
    return {
        "deliveries": {**deliveries, "unsettled": world.journal.unsettled},
        "captures": len(world.emulated.inbox),
        "captures_dropped": world.emulated.inbox.dropped,
        "devices": await world.registry.count_devices(),
        "faults": len(world.emulated.faults),
    }


def view_limits(world: World) -> dict[str, object]:
    limits = world.limits
    return {
        "notifications_per_second": limits.notifications_per_second,
        "receipt_delay_s": limits.receipt_delay_s,
    }


def use_limits(world: World, new: NewLimits) -> None:
    world.limits.reset()
    if new.notifications_per_second is not UNSET:
        world.limits.notifications_per_second = new.notifications_per_second
    if new.receipt_delay_s is not UNSET:
        world.limits.receipt_delay_s = new.receipt_delay_s


OPERATIONS: Final = (
    Operation(method="GET", path="/counts", answer=get_counts),
    Operation(method="POST", path="/reset", answer=reset),
    Operation(method="GET", path="/limits", answer=get_limits),
    Operation(method="PUT", path="/limits", answer=set_limits),
)
