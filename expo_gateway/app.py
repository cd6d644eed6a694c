"""The wiring: which store, which providers, which doors. Who opens, closes."""

import asyncio
import os
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.dispatcher.holds import Holds
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.dispatcher.sender import Sender
from expo_gateway.doors import device_tokens, expo, health
from expo_gateway.doors.http import errors_json, not_found, respond, with_plain_paths
from expo_gateway.emulated import Emulated, open_emulated
from expo_gateway.errors import StoreUnavailable
from expo_gateway.gateway import RECEIPTS_KEPT_S, Gateway, TokenPolicy
from expo_gateway.outbox.base import Outbox
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.device import Platform, Project, project_id_of
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.settings import Settings
from expo_gateway.sqlite_file import SqliteFile

DATABASE = "gateway.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that runs, ready to be served."""

    asgi: ASGIApp
    dispatcher: Dispatcher
    emulated: Emulated


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
        ) as emulated,
    ):
        outbox, registry = SqliteOutbox(file), SqliteRegistry(file)
        await outbox.open()
        # The lock on the directory says that whoever held a lease is dead.
        await outbox.end_leases()
        await registry.open()
        project = Project(project_id=project_id_of(settings.emulator.project), full_name=settings.emulator.project)
        project = await registry.add_project(project)
        sender = Sender(
            providers=lambda _: emulated.providers,
            registry=registry,
            holds=Holds(),
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
        )
        running = asyncio.create_task(dispatcher.run(), name="dispatcher")
        try:
            yield App(asgi=_asgi(settings, gateway, dispatcher, outbox), dispatcher=dispatcher, emulated=emulated)
        finally:
            dispatcher.stop()
            await running


def _platform(settings: Settings) -> Platform | None:
    return None if settings.emulator.platform == "mixed" else Platform(settings.emulator.platform)


def _asgi(settings: Settings, gateway: Gateway, dispatcher: Dispatcher, outbox: Outbox) -> ASGIApp:
    body_timeout_s = settings.server.body_timeout_s
    routes = [
        *expo.routes(gateway, request_id=_request_id, body_timeout_s=body_timeout_s),
        *device_tokens.routes(gateway, request_id=_request_id, body_timeout_s=body_timeout_s),
        *health.routes(
            {"store": lambda: _store_trouble(outbox), "dispatcher": lambda: _dispatcher_trouble(dispatcher)}
        ),
    ]
    app = Starlette(routes=routes)
    app.router.default = _nothing_here
    app.router.redirect_slashes = False
    return with_plain_paths(app)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 404, errors_json(not_found(), request_id=_request_id()))


def _request_id() -> str:
    return str(uuid.uuid4())


async def _store_trouble(outbox: Outbox) -> str:
    try:
        await outbox.pending_batches()
    except StoreUnavailable as error:
        return str(error)
    return ""


async def _dispatcher_trouble(dispatcher: Dispatcher) -> str:
    return "the dispatcher is stuck" if dispatcher.is_stuck() else ""
