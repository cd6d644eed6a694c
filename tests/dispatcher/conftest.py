"""A dispatcher over real stores in memory, with a provider that answers by script."""

import asyncio
import json
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import shake_256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from expo_gateway.dispatcher.holds import Holds
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.dispatcher.sender import ProjectProviders, Sender
from expo_gateway.gateway import RECEIPTS_KEPT_S, Gateway, TokenPolicy
from expo_gateway.journal.journal import Journal
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.device import Platform, Project, Registration, project_id_of
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.message import decode_send_request
from expo_gateway.protocol.ticket import ticket_id
from expo_gateway.providers.base import Accepted, Outcome
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.sqlite_file import SqliteFile

PROJECT = Project(project_id=project_id_of("@acme/shop"), full_name="@acme/shop")
START = 1_700_000_000.0
# How long a write waits for a lock that another program holds.
BUSY_S = 0.02
# What ends within a second on an idle machine must not hang on a busy one.
END_S = 10.0


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class ScriptedProvider:
    """Gives the outcomes of `script` in turn, then accepts; keeps what it was sent. A closed `gate` holds it back.

    `most_in_flight` is how many it was sent at most before it answered. A send that is cancelled ends only
    `lets_go_after_s` later.
    """

    def __init__(self, *, emulated: bool = True) -> None:
        self.emulated = emulated
        self.script: deque[Outcome | Exception] = deque()
        self.sent: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self.in_flight = self.most_in_flight = 0
        self.lets_go_after_s = 0.0

    async def send(self, request: ApnsRequest | FcmRequest | LocalRequest) -> Outcome:
        self.sent.append(request)
        self.arrived.set()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(self.lets_go_after_s)
            raise
        finally:
            self.in_flight -= 1
        outcome = self.script.popleft() if self.script else Accepted()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def close(self) -> None:
        pass


@dataclass(kw_only=True)
class World:
    """Stores, gateway and dispatcher that belong together."""

    clock: Clock
    monotonic: Clock
    """What the dispatcher tells by whether it is stuck."""
    file: SqliteFile
    outbox: SqliteOutbox
    registry: SqliteRegistry
    gateway: Gateway
    dispatcher: Dispatcher
    sender: Sender
    apns: ScriptedProvider
    fcm: ScriptedProvider
    local: ScriptedProvider
    providers: dict[Project, ProjectProviders]
    """Of the projects that are sent through others than `apns` and `fcm`."""
    holds: Holds
    journal: Journal
    tickets: list[str] = field(default_factory=list)

    async def accept(self, *messages: dict[str, object]) -> list[str]:
        """Ticket ids of the recipients of these messages; all of them must be ok."""
        body = json.dumps(list(messages)).encode()
        tickets = await self.gateway.accept(decode_send_request(body), body=body)
        assert not any(tickets.refused)
        return [ticket_id(tickets.batch_id, place) for place in range(len(tickets.refused))]

    async def register(self, name: str = "phone", *, project: Project = PROJECT, platform: str = "ios") -> str:
        """The push token of a real phone."""
        return await self.gateway.register(
            Registration(
                device_id=name,
                app_id="com.acme.shop",
                project=project,
                platform=Platform(platform),
                device_token=name.encode().hex(),
                sandbox=False,
            )
        )

    async def receipts(self, ids: list[str]) -> dict[str, Any]:
        return {key: json.loads(value) for key, value in (await self.gateway.receipts(ids)).items()}

    async def receipt(self, ticket: str) -> dict[str, Any]:
        """The receipt, as soon as there is one."""
        await until(lambda: self._has_receipt(ticket))
        receipt: dict[str, Any] = (await self.receipts([ticket]))[ticket]
        return receipt

    async def _has_receipt(self, ticket: str) -> bool:
        return ticket in await self.receipts([ticket])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.dispatcher.run())
        try:
            yield
        finally:
            self.dispatcher.stop()
            async with asyncio.timeout(END_S):
                await task

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.dispatcher.clock_moved()


async def until(condition: Callable[[], Any], *, timeout_s: float = 5.0) -> None:
    """Wait until the condition (a function or a coroutine function) holds."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.005)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    async with SqliteFile(":memory:", durability="process") as file, open_world(file, clock) as opened:
        yield opened


@pytest.fixture
async def world_on_disk(clock: Clock, tmp_path: Path) -> AsyncIterator[World]:
    """Its store can be taken away: see `Outsider`."""
    path = tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process", busy_s=BUSY_S) as file, open_world(file, clock) as opened:
        yield opened


@pytest.fixture
def outsider(world_on_disk: World, tmp_path: Path) -> Iterator["Outsider"]:
    connection = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
    try:
        yield Outsider(connection)
    finally:
        connection.close()


class Outsider:
    """Another program that has the store of `world_on_disk` open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.run = connection.execute

    def lock(self) -> None:
        """From now on nothing can be written."""
        self.run("BEGIN EXCLUSIVE")

    def unlock(self) -> None:
        self.run("ROLLBACK")

    def hide_devices(self) -> None:
        """From now on no device can be looked up; the outbox goes on."""
        self.run("ALTER TABLE devices RENAME TO hidden")

    def show_devices(self) -> None:
        self.run("ALTER TABLE hidden RENAME TO devices")

    def forbid(self, change: str, *, when: str = "1") -> None:
        """Make a change ("UPDATE ON devices") fail for a reason that is no fault of the store."""
        self.run(f"CREATE TRIGGER forbidden BEFORE {change} WHEN {when} BEGIN SELECT RAISE(ABORT, 'forbidden'); END")

    def damage(self, batch_id: bytes) -> None:
        """Make this batch's row one that the store can't write, as on a bad page of its file."""
        self.run(
            f"CREATE TRIGGER forbidden BEFORE UPDATE ON batches WHEN old.id = x'{batch_id.hex()}'"
            " BEGIN SELECT json('no JSON is a fault of the store'); END"
        )

    def allow(self) -> None:
        self.run("DROP TRIGGER forbidden")


@asynccontextmanager
async def open_world(file: SqliteFile, clock: Clock) -> AsyncIterator[World]:
    outbox, registry = SqliteOutbox(file), SqliteRegistry(file)
    await outbox.open()
    await registry.open()
    await registry.add_project(PROJECT)
    apns, fcm, holds = ScriptedProvider(), ScriptedProvider(), Holds()
    monotonic, journal = Clock(), Journal(clock=clock)
    providers: dict[Project, ProjectProviders] = {}
    usual, local = ProjectProviders(apns=apns, fcm=fcm), ScriptedProvider(emulated=False)
    sender = Sender(
        providers=lambda device: providers.get(device.project, usual),
        registry=registry,
        holds=holds,
        clock=clock,
        jitter=lambda: 0.0,
        retry_budget_s=600,
        observer=journal,
        local=local,
    )
    dispatcher = Dispatcher(
        outbox=outbox,
        registry=registry,
        sender=sender,
        clock=clock,
        receipts_kept_s=RECEIPTS_KEPT_S,
        drain_s=0.2,
        monotonic=monotonic,
    )
    numbers = count()
    gateway = Gateway(
        registry=registry,
        outbox=outbox,
        policy=TokenPolicy(project=PROJECT, platform=Platform.IOS),
        clock=clock,
        random_bytes=lambda length: shake_256(b"%d" % next(numbers)).digest(length),
        wake=dispatcher.accepted,
        observer=journal,
    )
    yield World(
        clock=clock,
        monotonic=monotonic,
        file=file,
        outbox=outbox,
        registry=registry,
        gateway=gateway,
        dispatcher=dispatcher,
        sender=sender,
        apns=apns,
        fcm=fcm,
        local=local,
        providers=providers,
        holds=holds,
        journal=journal,
    )
