"""Whether there are a control API and runs, and what the default world has for them from the first message on.

Their doors are in `control_doors.py`, which no start loads.
"""

from collections.abc import Callable

from msgspec import Struct

from expo_gateway.clock import RunClock
from expo_gateway.doors.control.guard import is_loopback
from expo_gateway.emulators.world import EmulatedWorld
from expo_gateway.journal.journal import Journal
from expo_gateway.settings import Settings
from expo_gateway.world import owners


class Watched(Struct, frozen=True, kw_only=True):
    """What the default world has when tests may watch it."""

    clock: RunClock
    journal: Journal
    emulated: EmulatedWorld


def is_controlled(settings: Settings, *, has_real: bool) -> bool:
    """Whether there is a control API. `has_real`: projects send to Apple and Google.

    What becomes real later does not end it, but then it needs the token.
    """
    control = settings.control
    if settings.server.workers > 1:
        return False
    if control.enabled is not None:
        return control.enabled
    return bool(control.token) or (is_loopback(settings.server.host) and not has_real)


def watched(settings: Settings, *, clock: Callable[[], float]) -> Watched:
    """`clock` is real time."""
    own = RunClock(real=clock)
    journal = Journal(clock=own.now, max_deliveries=settings.runs.max_deliveries)
    emulated = EmulatedWorld(clock=own.now, magic_devices=settings.emulator.magic_tokens, owner_of=owners(journal))
    return Watched(clock=own, journal=journal, emulated=emulated)
