"""The doors of the control API and of the runs, wired. Imported by the first who asks for one of them (`app.py`)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from expo_gateway.doors import device_tokens, expo
from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.control.door import MAX_BODY_BYTES, MAX_STATE_BYTES, ControlDoor
from expo_gateway.doors.control.guard import Guard, is_loopback
from expo_gateway.doors.control.request_faults import request_faults
from expo_gateway.doors.http import Direct
from expo_gateway.doors.requests import request_id
from expo_gateway.doors.runs import NoRuns, RunsDoor
from expo_gateway.gateway import TokenPolicy
from expo_gateway.late_emulated import LateEmulated
from expo_gateway.run_worlds import open_run_maker
from expo_gateway.runs import open_runs
from expo_gateway.settings import Settings
from expo_gateway.world import World


def uncontrolled(settings: Settings, otherwise: ASGIApp) -> ASGIApp:
    """The doors where there is no control API."""
    if settings.server.workers > 1:
        why = "Runs and the control API are in one process: they need server.workers = 1."
        return NoRuns(why, status=501, otherwise=otherwise, request_id=request_id)
    why = "There are no runs and no control API here; control.enabled (EXPO_GATEWAY_CONTROL__ENABLED) turns them on."
    return NoRuns(why, status=403, otherwise=otherwise, request_id=request_id)


@asynccontextmanager
async def open_control(
    settings: Settings,
    *,
    default: World,
    policy: TokenPolicy,
    emulators: LateEmulated,
    stopping: asyncio.Event,
    otherwise: ASGIApp,
    clock: Callable[[], float],
) -> AsyncIterator[ASGIApp]:
    """The doors of runs and of the control API, before `otherwise`. At the end all runs are closed; `default` is its
    maker's."""
    timeout_s = settings.server.body_timeout_s
    bodies = Bodies(timeout_s=timeout_s)

    def expo_of(world: World) -> ASGIApp:
        gateway = world.gateway
        routes = [
            *expo.routes(gateway, request_id=request_id, bodies=bodies, fault_of=request_faults(world)),
            *device_tokens.routes(gateway, request_id=request_id, bodies=bodies),
        ]
        return Direct(routes, otherwise=otherwise)

    async with (
        open_run_maker(settings, emulators=emulators, policy=policy) as maker,
        open_runs(
            default=default,
            make=maker.make,
            clock=clock,
            max_runs=settings.runs.max_runs,
            max_idle_s=settings.runs.max_idle_s,
        ) as runs,
    ):
        door = ControlDoor(
            guard=_guard(settings, default),
            bodies=Bodies(timeout_s=timeout_s, max_body_bytes=MAX_BODY_BYTES),
            state_bodies=Bodies(timeout_s=timeout_s, max_all_bytes=MAX_STATE_BYTES, max_body_bytes=MAX_STATE_BYTES),
            stopping=stopping,
            runs_of=runs,
        )
        yield RunsDoor(runs, expo_of=expo_of, control=door.serve, otherwise=otherwise, request_id=request_id)


def _guard(settings: Settings, default: World) -> Guard:
    host = settings.server.host
    return Guard(
        is_open=lambda: is_loopback(host) and not default.admission.has_real,
        token=settings.control.token,
        names=[host],
    )
