"""The wiring: which store, which providers, which doors. Who opens, closes."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway import late_doors
from expo_gateway.admission.desk import Admission
from expo_gateway.admission.rate import Buckets
from expo_gateway.certificates import names_of
from expo_gateway.control import Watched, is_controlled, watched
from expo_gateway.counts import Counts
from expo_gateway.data_dir import DATABASE
from expo_gateway.dispatcher.holds import Holds
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.dispatcher.sender import Sender, credential_key
from expo_gateway.doors import device_tokens, expo
from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.control.request_faults import request_faults
from expo_gateway.doors.http import Direct, DirectRoute, errors_json, not_found, respond, with_plain_paths
from expo_gateway.doors.requests import Observed, request_id
from expo_gateway.emulated_ports import Addresses, bind_emulators
from expo_gateway.emulated_providers import EmulatedProviders
from expo_gateway.errors import StoreUnavailable
from expo_gateway.exposition import Exposition, Sources
from expo_gateway.forwarding import Forwarding, warn_of_captures
from expo_gateway.gateway import RECEIPTS_KEPT_S, Gateway, TokenPolicy
from expo_gateway.home_assistant_needs import Stores
from expo_gateway.late_emulated import LateEmulated, providers_of
from expo_gateway.late_home_assistant import LateHomeAssistant
from expo_gateway.live_projects import LiveProjects, emulated_project, store_configured
from expo_gateway.metrics import RequestCounts
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.project_files import check_authorities, configured_by
from expo_gateway.project_providers import RealProviders
from expo_gateway.protocol.device import Platform, ProjectKind
from expo_gateway.registry.base import Registry
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.seeding import limits_of, seed_again, seed_clock, seed_emulators, seed_stores
from expo_gateway.settings import Settings
from expo_gateway.sqlite_file import SqliteFile
from expo_gateway.world import World

if TYPE_CHECKING:
    from expo_gateway.board import Seat


class Core(Struct, frozen=True, kw_only=True):
    """A gateway and its dispatcher, as they run over open stores."""

    asgi: ASGIApp
    dispatcher: Dispatcher
    stopping: asyncio.Event
    """To be set when a stop has begun: from then on it is not ready for more."""
    counts: Callable[[], Counts]


class App(Core, frozen=True, kw_only=True):
    """Everything that runs when one process does it all, ready to be served."""

    emulators: LateEmulated
    providers: EmulatedProviders


class Share(Struct, frozen=True, kw_only=True):
    """What a process has in common with the others that serve the same gateway."""

    seat: "Seat"
    buckets: Buckets


class Watching(Struct, frozen=True, kw_only=True):
    """What tests may watch, and the emulators, which runs have in common with it."""

    watched: Watched
    emulators: LateEmulated


@asynccontextmanager
async def open_app(
    settings: Settings,
    directory: Path,
    *,
    file: SqliteFile | None = None,
    port: int | None = None,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[App]:
    """Open the stores in `directory`, start the dispatcher; at the end drain and close them.

    `file`: theirs, where somebody has opened it already. `port`: on which clients will be served.

    The emulators are opened by `emulators.up()`, or by the first delivery to them. OSError: their ports are taken.
    """
    async with AsyncExitStack() as stack:
        sockets = bind_emulators(emulators_wanted(settings))
        stack.callback(sockets.close)
        if file is None:
            file = SqliteFile(directory / DATABASE, durability=settings.store.durability)
            await stack.enter_async_context(file)
        outbox, registry = SqliteOutbox(file), SqliteRegistry(file)
        await prepare_stores(settings, outbox, registry)
        has_real = await _has_real(registry)
        control = watched(settings, clock=clock) if is_controlled(settings, has_real=has_real) else None
        if control is not None:
            seed_clock(settings.seed, control.clock)
            seed_emulators(settings, control.emulated)
        now = control.clock.now if control is not None else clock
        magic_devices = settings.emulator.magic_tokens
        emulators = LateEmulated(
            directory / "tls",
            clock=now,
            sockets=sockets,
            extra_names=partial(names_of, settings.server.host),
            magic_devices=magic_devices,
            world=control.emulated if control is not None else None,
        )
        stack.push_async_callback(emulators.close)
        providers = providers_of(emulators, clock=now, magic_devices=magic_devices)
        stack.push_async_callback(providers.close)
        core = await stack.enter_async_context(
            open_core(
                settings,
                file=file,
                outbox=outbox,
                registry=registry,
                providers=providers,
                port=port,
                captures=lambda: emulators.opened.inbox.received if emulators.is_up else 0,
                clock=clock,
                monotonic=monotonic,
                is_up=lambda: emulators.is_up,
                tests=Watching(watched=control, emulators=emulators) if control is not None else None,
            )
        )
        yield App(
            asgi=core.asgi,
            dispatcher=core.dispatcher,
            stopping=core.stopping,
            counts=core.counts,
            emulators=emulators,
            providers=providers,
        )


def emulators_wanted(settings: Settings) -> Addresses:
    """0 stands for any free port."""
    over_tls = settings.proxy.enabled and settings.proxy.providers
    return Addresses(
        apns_port=settings.emulator.apns_port,
        fcm_port=settings.emulator.fcm_port,
        fcm_tls_port=0 if over_tls else None,
    )


async def prepare_stores(settings: Settings, outbox: SqliteOutbox, registry: SqliteRegistry) -> None:
    """Bring the tables up to date, and what is in them. Only for who has the data directory to itself.

    SettingsError: what the settings say of projects does not go together.
    """
    # In one commit: the disk takes some ms for each.
    await asyncio.gather(outbox.open(), registry.open())
    # The lock on the directory says that whoever held a lease is dead.
    await outbox.end_leases()
    await asyncio.to_thread(check_authorities, settings.providers.ca_file)
    await store_configured(registry, await asyncio.to_thread(configured_by, settings.projects))
    warn_of_captures(settings.forward.allowed)
    if settings.seed is not None:
        controlled = is_controlled(settings, has_real=await _has_real(registry))
        await seed_stores(settings, registry, is_controlled=controlled, now=time.time())


async def _has_real(registry: Registry) -> bool:
    return any(project.kind is ProjectKind.REAL for project in await registry.projects())


@asynccontextmanager
async def open_core(
    settings: Settings,
    *,
    file: SqliteFile,
    outbox: SqliteOutbox,
    registry: SqliteRegistry,
    providers: EmulatedProviders,
    port: int | None = None,
    captures: Callable[[], int],
    clock: Callable[[], float],
    monotonic: Callable[[], float] = time.monotonic,
    is_up: Callable[[], bool] = lambda: True,
    share: Share | None = None,
    tests: Watching | None = None,
) -> AsyncIterator[Core]:
    """Start the dispatcher over stores that are prepared; at the end drain it.

    `clock` is real time. `is_up`: the emulators are, so that a start is over. `share`: of one of several processes.
    `tests`: may watch it, and move its clock.
    """
    async with AsyncExitStack() as stack:
        holds, requests, stopping = Holds(), RequestCounts(), asyncio.Event()
        now = tests.watched.clock.now if tests is not None else clock
        journal = tests.watched.journal if tests is not None else None
        buckets = share.buckets if share is not None else None
        admission = Admission(buckets=buckets, limits=limits_of(settings.seed))
        projects = await stack.enter_async_context(
            _open_projects(settings, registry, admission=admission, holds=holds, clock=clock)
        )
        project = await emulated_project(registry, settings.emulator.project)
        policy = TokenPolicy(
            project=project,
            platform=_platform(settings),
            strict=settings.emulator.strict,
            magic=settings.emulator.magic_tokens,
            captures=settings.forward.allowed is not None,
        )
        stores = Stores(file=file, outbox=outbox, registry=registry)
        home_assistant = LateHomeAssistant(
            settings, stores, clock=now, stopping=stopping, port=port, can_listen=share is None
        )
        sender = Sender(
            providers=Forwarding(
                emulated=providers.of_projects, real=projects.real.of, allow=settings.forward.allowed
            ).of,
            registry=registry,
            holds=holds,
            clock=now,
            jitter=random.random,
            retry_budget_s=settings.dispatcher.retry_budget_s,
            observer=journal,
            local=home_assistant,
        )
        dispatcher = Dispatcher(
            outbox=outbox,
            registry=registry,
            sender=sender,
            clock=now,
            receipts_kept_s=RECEIPTS_KEPT_S,
            drain_s=settings.dispatcher.drain_s,
            monotonic=monotonic,
        )
        gateway = Gateway(
            registry=registry,
            outbox=outbox,
            policy=policy,
            clock=now,
            random_bytes=os.urandom,
            wake=dispatcher.accepted,
            admission=admission,
            refresh=projects.live.refresh,
            receipts_need_token=settings.server.receipts_need_token,
            observer=journal,
        )
        checks: late_doors.Checks = {
            "server": lambda: _server_trouble(stopping, is_up=is_up()),
            "store": lambda: _store_trouble(file),
            "dispatcher": lambda: _dispatcher_trouble(dispatcher),
            **({"others": share.seat.others_trouble} if share is not None else {}),
        }
        sources = Sources(
            requests=requests,
            tickets=gateway.counts,
            dispatcher=dispatcher,
            holds=holds,
            outbox=outbox,
            commit_s=file.commit_s,
            captures=captures,
            apns_connections=lambda: providers.apns_connections() + projects.real.apns_connections(),
            channels=home_assistant.channels,
            channel_messages=home_assistant.messages,
            clock=now,
        )
        exposition = Exposition(sources, workers=share.seat if share is not None else None)
        beyond: ASGIApp = late_doors.operators(settings, checks=checks, exposition=exposition, otherwise=_nothing_here)
        fault_of = None
        if tests is None:
            beyond = late_doors.no_control(settings, otherwise=beyond)
        else:
            tests.watched.clock.watch(dispatcher.clock_moved)
            default = World(
                name=None,
                clock=tests.watched.clock,
                journal=tests.watched.journal,
                registry=registry,
                outbox=outbox,
                gateway=gateway,
                dispatcher=dispatcher,
                admission=admission,
                holds=holds,
                emulated=tests.watched.emulated,
                project=project,
                home_assistant=home_assistant.made,
                begin=partial(
                    seed_again,
                    settings,
                    registry,
                    clock=tests.watched.clock,
                    emulated=tests.watched.emulated,
                    now=clock,
                ),
            )
            stack.push_async_callback(default.close)
            fault_of = request_faults(default)
            beyond = late_doors.control(
                settings,
                stack=stack,
                default=default,
                policy=policy,
                emulators=tests.emulators,
                stopping=stopping,
                clock=clock,
                otherwise=beyond,
            )
        home_assistant.use(gateway=gateway, policy=policy, admission=admission, dispatcher=dispatcher)
        beyond = home_assistant.door(beyond)
        running = asyncio.create_task(dispatcher.run(), name="dispatcher")
        try:
            routes = _routes(settings, gateway, fault_of=fault_of)
            direct = Observed(Direct(routes, otherwise=beyond), counts=requests, clock=time.perf_counter)
            asgi = with_plain_paths(direct, websockets=home_assistant.websockets(beyond))
            yield Core(asgi=asgi, dispatcher=dispatcher, stopping=stopping, counts=sources.counts)
        finally:
            stopping.set()
            dispatcher.stop()
            await running


class _Projects(Struct, frozen=True, kw_only=True):
    """What is configured for projects, and who uses it."""

    live: LiveProjects
    real: RealProviders


@asynccontextmanager
async def _open_projects(
    settings: Settings, registry: Registry, *, admission: Admission, holds: Holds, clock: Callable[[], float]
) -> AsyncIterator[_Projects]:
    """Take in what is configured, and from then on what others change; at the end close real providers."""
    # A breaker that the old credential opened must not keep the new one waiting.
    on_change = partial(_close_breakers, holds)
    real = RealProviders(addresses=settings.providers, clock=clock, on_change=on_change)
    live = LiveProjects(registry=registry, uses=(admission.use, real.use))
    await live.refresh()
    watching = asyncio.create_task(live.watch(), name="projects")
    try:
        yield _Projects(live=live, real=real)
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


def _routes(settings: Settings, gateway: Gateway, *, fault_of: expo.FaultOf | None) -> list[DirectRoute]:
    """Of Expo's API."""
    bodies = Bodies(timeout_s=settings.server.body_timeout_s)
    return [
        *expo.routes(gateway, request_id=request_id, bodies=bodies, fault_of=fault_of),
        *device_tokens.routes(gateway, request_id=request_id, bodies=bodies),
    ]


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 404, errors_json(not_found(), request_id=request_id()))


async def _server_trouble(stopping: asyncio.Event, *, is_up: bool) -> str:
    if stopping.is_set():
        return "the gateway is stopping"
    return "" if is_up else "the gateway is starting"


async def _store_trouble(file: SqliteFile) -> str:
    """A store that can be read but not written accepts no message."""
    try:
        await file.touch()
    except StoreUnavailable as error:
        return str(error)
    return ""


async def _dispatcher_trouble(dispatcher: Dispatcher) -> str:
    return dispatcher.trouble()
