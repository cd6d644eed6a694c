"""The doors that a start does not load: who opens them, and how. One function each, which `app.py` puts in the chain.

To add one: a function like these, whose `open_door` does the imports. What has to be closed is entered on `stack`,
which is the app's own. What must see the first message already is no part of a door: it is made in `app.py`, in a
module that imports little, and handed in here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from starlette.types import ASGIApp

from expo_gateway.doors.late import LateDoor
from expo_gateway.exposition import Exposition
from expo_gateway.gateway import TokenPolicy
from expo_gateway.late_emulated import LateEmulated
from expo_gateway.settings import Settings
from expo_gateway.world import World

# As `doors/runs.py` has them, of which a start needs nothing else.
_CONTROL = ("/r", "/_gateway")

Checks = Mapping[str, Callable[[], Awaitable[str]]]
"""As `doors/health.py` has it."""


def operators(settings: Settings, *, checks: Checks, exposition: Exposition, otherwise: ASGIApp) -> LateDoor:
    """Health and metrics. They are Starlette's, a tenth of a start."""

    async def open_door() -> ASGIApp:
        from starlette.applications import Starlette

        from expo_gateway.doors import health, metrics

        app = Starlette(
            routes=[*health.routes(checks), *(metrics.routes(exposition.render) if settings.server.metrics else ())]
        )
        app.router.default = otherwise
        app.router.redirect_slashes = False
        return app

    return LateDoor(open_door, under=("/health", "/metrics"), otherwise=otherwise)


def no_control(settings: Settings, *, otherwise: ASGIApp) -> LateDoor:
    """In place of the control API and the runs, where there are none."""

    async def open_door() -> ASGIApp:
        from expo_gateway.control_doors import uncontrolled

        return uncontrolled(settings, otherwise)

    return LateDoor(open_door, under=_CONTROL, otherwise=otherwise)


def control(
    settings: Settings,
    *,
    stack: AsyncExitStack,
    default: World,
    policy: TokenPolicy,
    emulators: LateEmulated,
    stopping: asyncio.Event,
    clock: Callable[[], float],
    otherwise: ASGIApp,
) -> LateDoor:
    """The control API and the runs. `clock` is real time."""

    async def open_door() -> ASGIApp:
        from expo_gateway.control_doors import open_control

        door = open_control(
            settings,
            default=default,
            policy=policy,
            emulators=emulators,
            stopping=stopping,
            otherwise=otherwise,
            clock=clock,
        )
        return await stack.enter_async_context(door)

    return LateDoor(open_door, under=_CONTROL, otherwise=otherwise)
