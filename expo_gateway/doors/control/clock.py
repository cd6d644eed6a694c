"""The clock of a world: read, frozen, moved."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from expo_gateway.clock import RunClock
from expo_gateway.doors.control.answers import Reply, invalid
from expo_gateway.doors.control.forms import Nothing, as_text, instant
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.world import World


class _Freeze(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    at: float | str | UnsetType = UNSET


class _Set(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    at: float | str


class _Advance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    seconds: Annotated[float, Meta(ge=0)]


async def get_clock(asked: Asked) -> Reply:
    asked.no_query()
    return _shown(asked)


async def freeze(asked: Asked) -> Reply:
    form = asked.body_as(_Freeze)
    at = None if form.at is UNSET else instant(form.at, "at")
    with no_holds_of_the_future(asked.world):
        asked.world.clock.freeze(at)
    return _shown(asked)


async def advance(asked: Asked) -> Reply:
    form = asked.body_as(_Advance)
    try:
        asked.world.clock.advance(form.seconds)
    except ValueError as error:
        raise invalid(str(error), "seconds") from None
    return _shown(asked)


async def set_clock(asked: Asked) -> Reply:
    at = instant(asked.body_as(_Set).at, "at")
    with no_holds_of_the_future(asked.world):
        asked.world.clock.set(at)
    return _shown(asked)


async def resume(asked: Asked) -> Reply:
    asked.body_as(Nothing)
    asked.world.clock.resume()
    return _shown(asked)


@contextmanager
def no_holds_of_the_future(world: World) -> Iterator[None]:
    """Inside, the clock may be set back: pauses and breakers would last until it is there again, which may be years."""
    before = world.clock.now()
    yield
    if world.clock.now() < before:
        world.holds.clear()


def view(clock: RunClock) -> dict[str, object]:
    now = clock.now()
    return {"now_at": now, "now": as_text(now), "frozen": clock.is_frozen, "offset_s": clock.offset_s}


def _shown(asked: Asked) -> Reply:
    return Reply(value=view(asked.world.clock))


OPERATIONS: Final = (
    Operation(method="GET", path="/clock", answer=get_clock),
    Operation(method="POST", path="/clock/freeze", answer=freeze),
    Operation(method="POST", path="/clock/advance", answer=advance),
    Operation(method="POST", path="/clock/set", answer=set_clock),
    Operation(method="POST", path="/clock/resume", answer=resume),
)
