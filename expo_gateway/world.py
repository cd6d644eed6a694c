"""A world: everything that one run has. The default one is what a gateway serves without a prefix; it has no name.

It is held together here, and made on the roof: where its stores are, and who its providers are, is no matter here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from expo_gateway.admission.desk import Admission
from expo_gateway.admission.limits import Limits
from expo_gateway.clock import LATEST_AT, RunClock
from expo_gateway.dispatcher.holds import Holds
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.emulators.fault_rules import Owner
from expo_gateway.emulators.world import EmulatedWorld
from expo_gateway.gateway import Gateway
from expo_gateway.journal.journal import Journal
from expo_gateway.log_context import bind
from expo_gateway.outbox.base import Outbox
from expo_gateway.protocol.device import Project, ProjectKind
from expo_gateway.registry.base import Registry

if TYPE_CHECKING:  # most starts need nothing of it
    from expo_gateway.home_assistant.parts import HomeAssistant

WORLD: Final = "expo_gateway.world"
"""Key of the scope of a request with a run's prefix: its world."""

# Our choices. Deliveries that a fault holds at a provider are not waited for without end.
SETTLE_S = 2.0
FORGET_AT_ONCE = 1000


async def _nothing() -> None:
    return None


def owners(journal: Journal) -> Callable[[str], Owner | None]:
    """For an `EmulatedWorld`: whose a device token is, told by what was tried in this world."""

    def owner_of(device_token: str) -> Owner | None:
        owner = journal.owner(device_token)
        return None if owner is None else Owner(push_token=owner[0], project=owner[1])

    return owner_of


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class World:
    """Who makes it closes it."""

    name: str | None
    """None: the default world."""
    clock: RunClock
    journal: Journal
    registry: Registry
    outbox: Outbox
    gateway: Gateway
    dispatcher: Dispatcher
    admission: Admission
    holds: Holds
    emulated: EmulatedWorld
    """Captures, virtual devices and faults."""
    project: Project
    """Of push tokens that nobody registered."""
    begin: Callable[[], Awaitable[None]] = field(default=_nothing, repr=False)
    """Puts what a seed says into the empty world, for each reset."""
    home_assistant: "Callable[[], HomeAssistant | None]" = field(default=lambda: None, repr=False)
    """What Home Assistant's doors have of their own, which are the default world's. None: it has none."""
    on_close: Callable[[], Awaitable[None]] = field(default=_nothing, repr=False)
    """Ends what the world was made with."""

    doors: Callable[..., Awaitable[None]] | None = field(default=None, repr=False)
    """Expo's API of a named world as ASGI, once somebody has asked it."""

    @property
    def limits(self) -> Limits:
        return self.admission.limits

    @property
    def is_default(self) -> bool:
        return self.name is None

    async def reset(self) -> None:
        """Begin again, as at the start: no deliveries and captures, nothing to be sent; faults, devices, clock and
        limits of the seed, or none.

        The default world keeps what was registered: only its virtual devices go. StoreUnavailable: it is half done.
        """
        self.emulated.faults.clear()
        self.limits.reset()
        await self.outbox.expire(before=LATEST_AT)
        self.clock.go_by_real_time()
        await self._settle()
        await self._forget_devices()
        self.emulated.apns_devices.clear()
        self.emulated.fcm_devices.clear()
        self.emulated.inbox.clear()
        self.holds.clear()
        self.journal.clear()
        await self.begin()

    async def close(self) -> None:
        """Whoever waits in it is told that it did not come."""
        self.journal.close()
        await self.on_close()

    async def _settle(self) -> None:
        """Wait for deliveries under way; what they come to is for nobody."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self.dispatcher.all_finished()

    async def _forget_devices(self) -> None:
        after = ""
        while devices := await self.registry.list_devices(after=after, limit=FORGET_AT_ONCE):
            for device in devices:
                if device.virtual or (not self.is_default and device.project.kind is ProjectKind.EMULATED):
                    await self.registry.forget_device(device.push_token)
            after = devices[-1].push_token


class LateDispatcher:
    """Runs a dispatcher from its first batch on: a world that nobody sends in costs no task.

    Call it as a gateway's `wake`.
    """

    def __init__(self, dispatcher: Dispatcher, *, name: str) -> None:
        self._dispatcher = dispatcher
        self._name = name
        self._running: asyncio.Task[None] | None = None

    def __call__(self, project_id: str) -> None:
        if self._running is None:
            # A context of its own: the request that starts it is not what its log lines are about.
            context = Context()
            context.run(bind, run=self._name)
            self._running = asyncio.get_running_loop().create_task(
                self._dispatcher.run(), name=f"dispatcher of {self._name}", context=context
            )
        self._dispatcher.accepted(project_id)

    async def close(self) -> None:
        """End at once. What is under way is nobody's any more."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
            if not self._running.cancelled():
                self._running.exception()  # which it has logged
