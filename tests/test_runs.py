"""Runs: made on first use, bounded by number and age, gone without a trace."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from expo_gateway.admission.desk import Admission
from expo_gateway.clock import RunClock
from expo_gateway.dispatcher.holds import Holds
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.dispatcher.sender import ProjectProviders, Sender
from expo_gateway.emulators.world import EmulatedWorld
from expo_gateway.errors import TooManyRuns
from expo_gateway.gateway import Gateway, TokenPolicy
from expo_gateway.journal.journal import Journal
from expo_gateway.journal.query import Condition
from expo_gateway.outbox.memory import MemoryBatches, MemoryOutbox
from expo_gateway.protocol.device import Project, project_id_of
from expo_gateway.registry.memory import MemoryRegistry
from expo_gateway.runs import RUN_NAME, Runs, open_runs
from expo_gateway.world import World

PROJECT = Project(project_id=project_id_of("@emulator/app"), full_name="@emulator/app")


def world(name: str | None) -> World:
    """One that sends nowhere."""
    clock, registry, outbox = RunClock(), MemoryRegistry(projects=[PROJECT]), MemoryOutbox(MemoryBatches())
    journal, holds, admission = Journal(clock=clock.now), Holds(), Admission()
    sender = Sender(
        providers=lambda _: ProjectProviders(apns=None, fcm=None),
        registry=registry,
        holds=holds,
        clock=clock.now,
        jitter=lambda: 0.5,
        retry_budget_s=600,
        observer=journal,
    )
    dispatcher = Dispatcher(outbox=outbox, registry=registry, sender=sender, clock=clock.now, receipts_kept_s=86_400)
    gateway = Gateway(
        registry=registry,
        outbox=outbox,
        policy=TokenPolicy(project=PROJECT),
        clock=clock.now,
        random_bytes=bytes,
        wake=dispatcher.accepted,
        admission=admission,
        observer=journal,
    )
    return World(
        name=name,
        clock=clock,
        journal=journal,
        registry=registry,
        outbox=outbox,
        gateway=gateway,
        dispatcher=dispatcher,
        admission=admission,
        holds=holds,
        emulated=EmulatedWorld(clock=clock.now),
        project=PROJECT,
    )


class Scene:
    """Runs whose time is set by hand."""

    now = 1_760_000_000.0
    runs: Runs


@asynccontextmanager
async def scene(*, max_runs: int = 3, max_idle_s: float = 60.0) -> AsyncIterator[Scene]:
    scene = Scene()
    async with open_runs(
        default=world(None), make=world, clock=lambda: scene.now, max_runs=max_runs, max_idle_s=max_idle_s
    ) as scene.runs:
        yield scene


def names(runs: Runs) -> list[str]:
    return [run.name for run in runs.list()]


@pytest.mark.parametrize("name", ["a", "test_x.y-1", "A" * 64, "..."])
def test_a_name_is_of_letters_digits_dots_hyphens_and_underscores(name: str) -> None:
    assert RUN_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "A" * 65, "a b", "a/b", "ü", "a\n", "%41"])
def test_anything_else_is_no_name(name: str) -> None:
    assert RUN_NAME.fullmatch(name) is None


async def test_a_run_is_made_on_first_use_and_stays() -> None:
    async with scene() as at:
        run = at.runs.get_or_make("a")

        assert at.runs.get_or_make("a") is run
        assert (run.world.name, run.made_at, names(at.runs)) == ("a", at.now, ["a"])
        assert at.runs.get("b") is None


async def test_one_run_too_many_takes_the_place_of_the_longest_idle() -> None:
    async with scene(max_runs=3) as at:
        a, b = at.runs.get_or_make("a"), at.runs.get_or_make("b")
        at.runs.get_or_make("c")
        with at.runs.using(a):
            pass

        at.runs.get_or_make("d")

        assert names(at.runs) == ["c", "a", "d"]
        assert at.runs.get_or_make("b") is not b


async def test_a_run_with_a_request_under_way_never_makes_room() -> None:
    async with scene(max_runs=2) as at:
        with at.runs.using(at.runs.get_or_make("a")):
            at.runs.get_or_make("b")
            at.runs.get_or_make("c")
            assert names(at.runs) == ["a", "c"]

            with at.runs.using(at.runs.get_or_make("c")), pytest.raises(TooManyRuns, match=r"runs\.max_runs"):
                at.runs.get_or_make("d")


async def test_a_run_goes_when_it_was_idle_for_long_enough() -> None:
    async with scene(max_idle_s=60) as at:
        a, b = at.runs.get_or_make("a"), at.runs.get_or_make("b")
        at.now += 50
        with at.runs.using(b):
            pass
        at.now += 11
        with at.runs.using(a):
            at.now += 3600
            assert at.runs.dispose_of_idle() == 1  # b
        at.now += 60

        assert (at.runs.dispose_of_idle(), names(at.runs)) == (0, ["a"])
        at.now += 1
        assert (at.runs.dispose_of_idle(), names(at.runs)) == (1, [])


async def test_whoever_waits_in_a_run_that_is_removed_is_told() -> None:
    async with scene() as at:
        journal = at.runs.get_or_make("a").world.journal
        waiting = asyncio.create_task(journal.wait(Condition(), timeout_s=60))
        await asyncio.sleep(0)

        assert await at.runs.remove("a")
        assert not (await waiting).is_done
        assert not await at.runs.remove("a")


async def test_all_runs_are_removed_but_the_default_one() -> None:
    async with scene() as at:
        at.runs.get_or_make("a")
        at.runs.get_or_make("b")

        assert (await at.runs.remove_all(), len(at.runs), at.runs.default.name) == (2, 0, None)


async def test_what_was_removed_leaves_no_memory_behind() -> None:
    async with scene() as at:
        gone = weakref.ref(at.runs.get_or_make("a").world)
        await at.runs.remove("a")
        await asyncio.sleep(0)
        gc.collect()

        assert gone() is None


async def test_a_stop_closes_all_runs_and_none_is_made_any_more() -> None:
    closed = []

    async def close() -> None:
        closed.append("a")

    async with scene() as at:
        at.runs.get_or_make("a").world.on_close = close

    assert closed == ["a"]
    with pytest.raises(TooManyRuns, match="stopping"):
        at.runs.get_or_make("b")


async def test_a_run_that_can_not_be_closed_is_gone_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async def close() -> None:
        raise RuntimeError("no")

    async with scene() as at:
        at.runs.get_or_make("a").world.on_close = close

        assert await at.runs.remove("a")
    assert "the run a could not be closed" in caplog.text
