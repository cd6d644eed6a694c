"""What the processes of a gateway with several workers do: prepare, be the emulators, serve and deliver."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from expo_gateway.admission.rate import Buckets
from expo_gateway.app import Share, emulators_wanted, open_core, prepare_stores
from expo_gateway.board import POST_EVERY_S, Board, Seat
from expo_gateway.certificates import load_own_certificate, names_of
from expo_gateway.child import Wire, told_to_stop
from expo_gateway.counts import Counts
from expo_gateway.data_dir import DATABASE
from expo_gateway.emulated import open_emulated
from expo_gateway.emulated_ports import Addresses, bind_emulators
from expo_gateway.emulated_providers import EmulatedProviders, SigningKey, new_apns_key, new_fcm_key
from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.front import Certificates, FrontSockets, cannot_open, new_loop, open_front
from expo_gateway.log_context import bind
from expo_gateway.logs import warm_up
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.process_lock import ProcessLock
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.settings import Settings
from expo_gateway.sqlite_file import SqliteFile

EMULATORS = "emulators"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What all processes need, and one makes."""

    tls: EmulatorTls
    apns_key: SigningKey
    fcm_key: SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all processes know."""

    settings: Settings
    directory: Path
    prepared: Prepared
    board: Board


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """What one worker has, and its successor after it."""

    name: str
    plan: Plan
    addresses: Addresses
    sockets: FrontSockets
    buckets: Buckets
    owner: int
    """Its number in the outbox: what is leased under it when the worker starts was its dead predecessor's."""


def worker_name(number: int) -> str:
    return f"worker-{number}"


def prepare(settings: Settings, directory: Path, wire: Wire) -> None:
    """Bring the stores up to date and make certificates and keys, while nobody else is there. Says `Prepared`."""
    with asyncio.Runner() as runner:
        wire.send(runner.run(_prepare(settings, directory)))


async def _prepare(settings: Settings, directory: Path) -> Prepared:
    # What is wrong with it is said once, and not by every worker.
    load_own_certificate(settings.server.tls_certificate, settings.server.tls_key, clock=time.time)
    try:
        tls = ensure_certificates(directory / "tls", extra_names=names_of(settings.server.host))
        async with SqliteFile(directory / DATABASE, durability=settings.store.durability) as file:
            await prepare_stores(settings, SqliteOutbox(file), SqliteRegistry(file))
    except OSError as error:
        raise cannot_open(error, settings) from error
    return Prepared(tls=tls, apns_key=new_apns_key(), fcm_key=new_fcm_key())


def emulate(plan: Plan, addresses: Addresses | None, wire: Wire) -> None:
    """Be APNs and FCM, at the addresses of the predecessor if there was one. Says its `Addresses`."""
    with asyncio.Runner() as runner:
        runner.run(_emulate(plan, addresses or emulators_wanted(plan.settings), wire))


async def _emulate(plan: Plan, addresses: Addresses, wire: Wire) -> None:
    seat = Seat(plan.board, EMULATORS, clock=time.monotonic)
    async with AsyncExitStack() as stack:
        stop = await stack.enter_async_context(told_to_stop(wire))
        try:
            emulated = await stack.enter_async_context(
                open_emulated(
                    plan.directory / "tls",
                    clock=time.time,
                    sockets=bind_emulators(addresses),
                    extra_names=names_of(plan.settings.server.host),
                    magic_devices=plan.settings.emulator.magic_tokens,
                )
            )
        except OSError as error:
            raise cannot_open(error, plan.settings) from error
        emulated.trust_apns(plan.prepared.apns_key)
        emulated.trust_fcm(plan.prepared.fcm_key)
        await stack.enter_async_context(_posting(seat, lambda: Counts(captures=emulated.inbox.received), lambda: ""))
        wire.send(emulated.addresses)
        await stop.wait()


def work(plan: WorkerPlan, wire: Wire) -> None:
    """Serve and deliver until told to stop, then drain. Says None when clients are served."""
    with asyncio.Runner(loop_factory=partial(new_loop, plan.plan.settings)) as runner:
        runner.run(_work(plan, wire))


async def _work(worker: WorkerPlan, wire: Wire) -> None:
    bind(worker=worker.name)
    plan, settings, clock = worker.plan, worker.plan.settings, time.time
    own = load_own_certificate(settings.server.tls_certificate, settings.server.tls_key, clock=clock)
    async with AsyncExitStack() as stack:
        stop = await stack.enter_async_context(told_to_stop(wire))
        turn = ProcessLock(plan.directory / "commits.lock")
        stack.callback(turn.close)
        file = SqliteFile(plan.directory / DATABASE, durability=settings.store.durability, turn=turn)
        await stack.enter_async_context(file)
        outbox, registry = SqliteOutbox(file, owner=worker.owner), SqliteRegistry(file)
        await outbox.open()
        await outbox.end_own_leases(now=clock())
        await registry.open()
        providers = EmulatedProviders(
            worker.addresses,
            tls_context=plan.prepared.tls.client_context,
            apns_key=lambda: plan.prepared.apns_key,
            fcm_key=lambda: plan.prepared.fcm_key,
            clock=clock,
            magic_devices=settings.emulator.magic_tokens,
        )
        stack.push_async_callback(providers.close)
        seat = Seat(plan.board, worker.name, clock=time.monotonic)
        core = await stack.enter_async_context(
            open_core(
                settings,
                file=file,
                outbox=outbox,
                registry=registry,
                providers=providers,
                port=worker.sockets.port,
                captures=lambda: 0,
                clock=clock,
                share=Share(seat=seat, buckets=worker.buckets),
            )
        )
        await stack.enter_async_context(
            open_front(
                core.asgi,
                settings,
                sockets=worker.sockets,
                certificates=Certificates(own=own, emulators=plan.prepared.tls),
                addresses=worker.addresses,
            )
        )
        await stack.enter_async_context(_posting(seat, core.counts, core.dispatcher.trouble))
        wire.send(None)
        await asyncio.to_thread(warm_up)
        await providers.warm_up()
        await stop.wait()
        core.stopping.set()


@asynccontextmanager
async def _posting(seat: Seat, counts: Callable[[], Counts], trouble: Callable[[], str]) -> AsyncIterator[None]:
    """Inside, the others are told every now and then."""

    async def post() -> None:
        while True:
            await asyncio.sleep(POST_EVERY_S)
            seat.post(counts(), trouble=trouble())

    seat.post(counts(), trouble=trouble())
    posting = asyncio.create_task(post(), name="board")
    try:
        yield
    finally:
        posting.cancel()
        with suppress(asyncio.CancelledError):
            await posting
