"""The wiring: which store, which providers, which doors. Who opens, closes."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.admission.desk import Admission
from expo_gateway.certificates import names_of
from expo_gateway.data_dir import DATABASE
from expo_gateway.dispatcher.holds import Holds
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.dispatcher.sender import Sender, credential_key
from expo_gateway.doors import device_tokens, expo, health, metrics
from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.http import errors_json, not_found, respond, with_plain_paths
from expo_gateway.doors.requests import Observed, request_id
from expo_gateway.emulated import Emulated, open_emulated
from expo_gateway.errors import StoreUnavailable
from expo_gateway.exposition import Exposition, Sources
from expo_gateway.gateway import RECEIPTS_KEPT_S, Gateway, TokenPolicy
from expo_gateway.live_projects import LiveProjects, emulated_project, store_configured
from expo_gateway.metrics import RequestCounts
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.project_files import check_authorities, configured_by
from expo_gateway.project_providers import RealProviders
from expo_gateway.protocol.device import Platform, ProjectKind
from expo_gateway.registry.base import Registry
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.settings import Settings
from expo_gateway.sqlite_file import SqliteFile


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that runs, ready to be served."""

    asgi: ASGIApp
    dispatcher: Dispatcher
    emulated: Emulated
    stopping: asyncio.Event
    """To be set when a stop has begun: from then on it is not ready for more."""


@asynccontextmanager
async def open_app(
    settings: Settings, directory: Path, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[App]:
    """Open the stores in `directory`, start the emulators and the dispatcher; at the end drain and close them."""
    async with (
        SqliteFile(directory / DATABASE, durability=settings.store.durability) as file,
        open_emulated(
            directory / "tls",
            clock=clock,
            apns_port=settings.emulator.apns_port,
            fcm_port=settings.emulator.fcm_port,
            extra_names=names_of(settings.server.host),
        ) as emulated,
        AsyncExitStack() as stack,
    ):
        outbox, registry = SqliteOutbox(file), SqliteRegistry(file)
        await outbox.open()
        # The lock on the directory says that whoever held a lease is dead.
        await outbox.end_leases()
        await registry.open()
        holds, requests, stopping = Holds(), RequestCounts(), asyncio.Event()
        projects = await stack.enter_async_context(_open_projects(settings, registry, holds=holds, clock=clock))
        project = await emulated_project(registry, settings.emulator.project)
        sender = Sender(
            providers=lambda of: emulated.providers if of.kind is ProjectKind.EMULATED else projects.real.of(of),
            registry=registry,
            holds=holds,
            clock=clock,
            jitter=random.random,
            retry_budget_s=settings.dispatcher.retry_budget_s,
        )
        dispatcher = Dispatcher(
            outbox=outbox,
            registry=registry,
            sender=sender,
            clock=clock,
            receipts_kept_s=RECEIPTS_KEPT_S,
            drain_s=settings.dispatcher.drain_s,
        )
        gateway = Gateway(
            registry=registry,
            outbox=outbox,
            policy=TokenPolicy(project=project, platform=_platform(settings), strict=settings.emulator.strict),
            clock=clock,
            random_bytes=os.urandom,
            wake=dispatcher.wake,
            admission=projects.admission,
            refresh=projects.live.refresh,
            receipts_need_token=settings.server.receipts_need_token,
        )
        checks: health.Checks = {
            "server": lambda: _stop_trouble(stopping),
            "store": lambda: _store_trouble(file),
            "dispatcher": lambda: _dispatcher_trouble(dispatcher),
        }
        sources = Sources(
            requests=requests,
            tickets=gateway.counts,
            dispatcher=dispatcher,
            holds=holds,
            outbox=outbox,
            commit_s=file.commit_s,
            inbox=emulated.inbox,
            apns_connections=lambda: emulated.apns_connections() + projects.real.apns_connections(),
            clock=clock,
        )
        routes = _routes(settings, gateway, checks=checks, exposition=Exposition(sources))
        running = asyncio.create_task(dispatcher.run(), name="dispatcher")
        try:
            yield App(asgi=_asgi(routes, requests), dispatcher=dispatcher, emulated=emulated, stopping=stopping)
        finally:
            stopping.set()
            dispatcher.stop()
            await running


@dataclass(frozen=True, slots=True, kw_only=True)
class _Projects:
    """What is configured for projects, and who uses it."""

    live: LiveProjects
    admission: Admission
    real: RealProviders


@asynccontextmanager
async def _open_projects(
    settings: Settings, registry: Registry, *, holds: Holds, clock: Callable[[], float]
) -> AsyncIterator[_Projects]:
    """Take in the settings file's projects, and from then on what others change; at the end close real providers."""
    admission = Admission()
    # A breaker that the old credential opened must not keep the new one waiting.
    on_change = partial(_close_breakers, holds)
    real = RealProviders(addresses=settings.providers, clock=clock, on_change=on_change)
    live = LiveProjects(registry=registry, uses=(admission.use, real.use))
    await asyncio.to_thread(check_authorities, settings.providers.ca_file)
    await store_configured(registry, await asyncio.to_thread(configured_by, settings.projects))
    await live.refresh()
    watching = asyncio.create_task(live.watch(), name="projects")
    try:
        yield _Projects(live=live, admission=admission, real=real)
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await real.close()


def _close_breakers(holds: Holds, project_id: str) -> None:
    for platform in Platform:
        for sandbox in (False, True):
            holds.credential_works(credential_key(project_id, platform, sandbox=sandbox))


def _platform(settings: Settings) -> Platform | None:
    return None if settings.emulator.platform == "mixed" else Platform(settings.emulator.platform)


def _routes(settings: Settings, gateway: Gateway, *, checks: health.Checks, exposition: Exposition) -> list[BaseRoute]:
    bodies = Bodies(timeout_s=settings.server.body_timeout_s)
    return [
        *expo.routes(gateway, request_id=request_id, bodies=bodies),
        *device_tokens.routes(gateway, request_id=request_id, bodies=bodies),
        *health.routes(checks),
        *(metrics.routes(exposition.render) if settings.server.metrics else ()),
    ]


def _asgi(routes: list[BaseRoute], requests: RequestCounts) -> ASGIApp:
    app = Starlette(routes=routes)
    app.router.default = _nothing_here
    app.router.redirect_slashes = False
    return with_plain_paths(Observed(app, counts=requests, clock=time.perf_counter))


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 404, errors_json(not_found(), request_id=request_id()))


async def _stop_trouble(stopping: asyncio.Event) -> str:
    return "the gateway is stopping" if stopping.is_set() else ""


async def _store_trouble(file: SqliteFile) -> str:
    """A store that can be read but not written accepts no message."""
    try:
        await file.touch()
    except StoreUnavailable as error:
        return str(error)
    return ""


async def _dispatcher_trouble(dispatcher: Dispatcher) -> str:
    return dispatcher.trouble()
