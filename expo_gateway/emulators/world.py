"""What belongs to one world at the emulators, and how they tell worlds apart: by the credential of each request.

A credential that nobody made known is that of somebody's own client: it belongs to the default world.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from expo_gateway.emulators.fault_rules import Faults, Occasion, Owner
from expo_gateway.emulators.faults import Answer, Outage
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.emulators.virtual_devices import VirtualDevices

# Our choice: a credential of a world that is gone is remembered for as long as 10,000 others go; some 2 MB.
MAX_REMOVED = 10_000


def nobody(_device_token: str) -> Owner | None:
    return None


@dataclass(slots=True, kw_only=True, eq=False)
class EmulatedWorld:
    """One world's phones, faults and captures. All of it is memory, and nothing needs closing."""

    clock: Callable[[], float]
    inbox: Inbox = field(default_factory=Inbox)
    apns_devices: VirtualDevices = field(default_factory=VirtualDevices)
    fcm_devices: VirtualDevices = field(default_factory=VirtualDevices)
    faults: Faults = field(default_factory=Faults)
    magic_devices: bool = True
    """Whether the device tokens of `magic_devices.py` are refused."""
    owner_of: Callable[[str], Owner | None] = nobody
    """Device token -> whose it is; for faults that name a push token or a project."""

    def occasion(self, device_token: str, *, now: float) -> Occasion:
        return Occasion(now=now, device_token=device_token, owner_of=self.owner_of)


def removed_world(clock: Callable[[], float]) -> EmulatedWorld:
    """Where the late requests of worlds that are gone end: refused, and seen by nobody."""
    world = EmulatedWorld(clock=clock, inbox=Inbox(max_captures=1))
    world.faults.force(Answer(status=403, reason="InvalidProviderToken"), provider="apns")
    world.faults.force(Outage())
    return world


Side = TypeVar("Side")


class Worlds(Generic[Side]):
    """What an emulator keeps for each world, by credential."""

    def __init__(self, *, default: Side, removed: Side, max_removed: int = MAX_REMOVED) -> None:
        self.default = default
        self._removed = removed
        self._max_removed = max_removed
        self._named: dict[str, Side] = {}
        self._gone: dict[str, None] = {}

    @property
    def is_only_default(self) -> bool:
        return not self._named and not self._gone

    def of(self, credential: str) -> Side:
        side = self._named.get(credential)
        if side is None:
            return self._removed if credential in self._gone else self.default
        return side

    def add(self, credential: str, side: Side) -> None:
        """ValueError: another world has the credential."""
        if credential in self._named:
            raise ValueError(f"there is a world with the credential {credential} already")
        self._gone.pop(credential, None)
        self._named[credential] = side

    def remove(self, credential: str) -> Side | None:
        """What was kept for it. Its late requests are not the default world's."""
        side = self._named.pop(credential, None)
        if side is not None:
            self._gone[credential] = None
            if len(self._gone) > self._max_removed:
                del self._gone[next(iter(self._gone))]
        return side

    def __len__(self) -> int:
        """Without the default one."""
        return len(self._named)
