"""What the dispatcher holds at once, for how long, and what it lets go: fairness, leases, expiry."""

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import pytest

from expo_gateway.dispatcher import loop
from expo_gateway.dispatcher.sender import ProjectProviders
from expo_gateway.gateway import RECEIPTS_KEPT_S
from expo_gateway.outbox.base import Claim
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.device import Project, project_id_of
from tests.dispatcher.conftest import ScriptedProvider, World, until

TOKEN = "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"
MESSAGE: dict[str, object] = {"to": TOKEN, "body": "x"}
SOON_S = 0.01


def project(name: str) -> Project:
    return Project(project_id=project_id_of(name), full_name=name)


async def test_a_project_whose_provider_hangs_delays_no_other(world: World) -> None:
    other, its_provider = project("@other/app"), ScriptedProvider()
    world.providers[other] = ProjectProviders(apns=its_provider, fcm=None)
    phone = await world.register(project=other)
    world.apns.gate.clear()
    for _ in range(100):
        await world.accept(MESSAGE)
    world.clock.now += 1
    async with world.running():
        (ticket,) = await world.accept({"to": phone, "body": "y"})

        assert await world.receipt(ticket) == {"status": "ok"}
        await until(lambda: world.dispatcher.active_batches == loop.MAX_PROJECT_BATCHES)
        world.apns.gate.set()
        await until(lambda: len(world.apns.sent) == 100)


async def test_no_more_batches_are_held_than_there_is_room_for_whoever_they_are_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_BATCHES", 5)
    monkeypatch.setattr(loop, "MAX_PROJECT_BATCHES", 2)
    monkeypatch.setattr(loop, "POLL_S", SOON_S)
    world.apns.gate.clear()
    phones = [await world.register(project=project(f"@owner/app-{number}")) for number in range(4)]
    ids = [ticket for phone in phones for _ in range(3) for ticket in await world.accept({"to": phone, "body": "x"})]
    held = Held(world)
    async with world.running():
        await until(partial(held.is_seen_for, turns=5, batches=5))
        assert len(world.apns.sent) == 5
        world.apns.gate.set()
        for ticket in ids:
            await world.receipt(ticket)

    assert held.most == 5


class Held:
    """Watches how many batches a dispatcher holds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = self.most = 0

    def is_seen_for(self, *, turns: int, batches: int) -> bool:
        """Whether at least so many were held at `turns` looks, each of which woke the dispatcher."""
        held = self._world.dispatcher.active_batches
        self.most = max(self.most, held)
        self._seen += held >= batches
        self._world.dispatcher.clock_moved()
        return self._seen > turns


async def test_a_lease_is_extended_while_its_batch_is_worked_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "EXTEND_EVERY_S", SOON_S)
    another_process = SqliteOutbox(world.file, owner=2)
    world.apns.gate.clear()
    async with world.running():
        (ticket,) = await world.accept(MESSAGE)
        await world.apns.arrived.wait()
        for _ in range(3):
            world.clock.now += loop.LEASE_S - 1
            await until(partial(is_leased_until, world, world.clock.now + loop.LEASE_S))

        assert await another_process.claim(now=world.clock(), lease_s=60, limit=10) == []
        world.apns.gate.set()
        assert await world.receipt(ticket) == {"status": "ok"}
    assert len(world.apns.sent) == 1


async def test_a_batch_whose_lease_lapsed_under_our_hands_is_not_begun_again(world: World) -> None:
    world.apns.gate.clear()
    async with world.running():
        (ticket,) = await world.accept(MESSAGE)
        await world.apns.arrived.wait()
        await world.pass_time(loop.LEASE_S + 1)
        await until(partial(is_leased_until, world, world.clock.now + loop.LEASE_S))
        world.apns.gate.set()

        assert await world.receipt(ticket) == {"status": "ok"}
        await until(lambda: world.dispatcher.active_batches == 0)
    assert len(world.apns.sent) == 1
    assert world.dispatcher.counts.receipts == {"": 1}


async def is_leased_until(world: World, at: float) -> bool:
    return await world.outbox.next_due_at() == at


async def test_batches_are_forgotten_after_24_hours_and_no_sooner(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "EXPIRE_EVERY_S", SOON_S)
    async with world.running():
        (old,) = await world.accept(MESSAGE)
        await world.receipt(old)
        await world.pass_time(RECEIPTS_KEPT_S - 1)
        (new,) = await world.accept(MESSAGE)
        await world.receipt(new)
        assert await stored_batches(world) == 2
        await world.pass_time(2)
        await until(partial(has_batches, world, 1))

        assert await world.receipts([old, new]) == {new: {"status": "ok"}}


async def has_batches(world: World, count: int) -> bool:
    return await stored_batches(world) == count


async def stored_batches(world: World) -> int:
    return int(await world.file.read(lambda store: store.execute("SELECT count(*) FROM batches").fetchone()[0]))


async def test_batches_of_a_project_that_has_its_fill_wake_nobody(world: World) -> None:
    """Else each accepted request would cost a claim that brings nothing, for as long as there is a backlog."""
    world.apns.gate.clear()
    claims = Counter[str]()
    claim = world.outbox.claim

    async def counted(**arguments: Any) -> list[Claim]:
        claims["asked"] += 1
        return await claim(**arguments)

    world.outbox.claim = counted  # type: ignore[method-assign]
    async with world.running():
        for _ in range(loop.MAX_PROJECT_BATCHES):
            await world.accept(MESSAGE)
        await until(lambda: world.dispatcher.active_batches == loop.MAX_PROJECT_BATCHES)
        before = claims["asked"]
        for _ in range(20):
            await world.accept(MESSAGE)
            await asyncio.sleep(0.005)
        assert claims["asked"] <= before + 1
        world.apns.gate.set()
        await until(lambda: len(world.apns.sent) >= loop.MAX_PROJECT_BATCHES + 20)
    assert len(world.apns.sent) == loop.MAX_PROJECT_BATCHES + 20
