"""The clock of a run goes, stands and jumps as it is told, and whoever waits for it wakes."""

import asyncio
import math
import time

import pytest

from expo_gateway.clock import EARLIEST_AT, LATEST_AT, RunClock

START = 1_790_000_000.0
DAY_S = 86_400.0
# What wakes at once must not hang on a busy machine.
END_S = 10.0


class RealTime:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def real() -> RealTime:
    return RealTime()


@pytest.fixture
def clock(real: RealTime) -> RunClock:
    return RunClock(real=real)


def test_it_shows_real_time_until_somebody_changes_it(clock: RunClock, real: RealTime) -> None:
    assert clock.now() == START
    real.at += 1.5

    assert (clock.now(), clock.offset_s, clock.is_frozen) == (START + 1.5, 0.0, False)


def test_the_machine_says_what_time_it_is_unless_told_otherwise() -> None:
    before = time.time()

    assert before <= RunClock().now() <= time.time()


def test_a_frozen_clock_stands_still(clock: RunClock, real: RealTime) -> None:
    clock.freeze()
    real.at += 60

    assert (clock.now(), clock.offset_s, clock.is_frozen) == (START, -60.0, True)


def test_it_can_be_frozen_at_an_instant(clock: RunClock) -> None:
    clock.freeze(START + DAY_S)
    assert clock.now() == START + DAY_S

    clock.freeze(START - DAY_S)
    assert clock.now() == START - DAY_S


def test_a_clock_that_goes_goes_on_after_an_advance(clock: RunClock, real: RealTime) -> None:
    clock.advance(DAY_S)
    clock.advance(DAY_S)
    real.at += 1

    assert (clock.now(), clock.offset_s) == (START + 2 * DAY_S + 1, 2 * DAY_S)


def test_a_frozen_clock_that_is_advanced_stays_frozen(clock: RunClock, real: RealTime) -> None:
    clock.freeze()
    clock.advance(90.5)
    real.at += 1

    assert (clock.now(), clock.is_frozen) == (START + 90.5, True)


def test_a_clock_that_goes_goes_on_from_where_it_is_set(clock: RunClock, real: RealTime) -> None:
    clock.set(START - DAY_S)
    real.at += 1

    assert (clock.now(), clock.is_frozen) == (START - DAY_S + 1, False)


def test_a_frozen_clock_that_is_set_stays_frozen(clock: RunClock, real: RealTime) -> None:
    clock.freeze()
    clock.set(START + 5)
    real.at += 1

    assert (clock.now(), clock.is_frozen) == (START + 5, True)


def test_it_resumes_from_where_it_was_frozen(clock: RunClock, real: RealTime) -> None:
    clock.freeze()
    real.at += 60
    clock.resume()
    real.at += 1

    assert (clock.now(), clock.offset_s, clock.is_frozen) == (START + 1, -60.0, False)


def test_a_clock_that_goes_has_nothing_to_resume(clock: RunClock) -> None:
    clock.advance(5)

    clock.resume()

    assert clock.now() == START + 5


@pytest.mark.parametrize("frozen", [True, False])
def test_it_goes_by_real_time_again_when_it_is_told_to(clock: RunClock, real: RealTime, frozen: bool) -> None:
    clock.advance(DAY_S)
    if frozen:
        clock.freeze()

    clock.go_by_real_time()
    real.at += 1

    assert (clock.now(), clock.offset_s, clock.is_frozen) == (START + 1, 0.0, False)


@pytest.mark.parametrize("at", [EARLIEST_AT - 1, LATEST_AT + 1, 0.0, -1.0, math.nan, math.inf])
def test_an_instant_that_no_ticket_id_could_show_is_refused(clock: RunClock, at: float) -> None:
    for change in (clock.set, clock.freeze):
        with pytest.raises(ValueError, match="1971 to 2200"):
            change(at)

    assert (clock.now(), clock.is_frozen) == (START, False)


@pytest.mark.parametrize("seconds", [LATEST_AT, math.inf, math.nan])
def test_an_advance_beyond_the_last_instant_is_refused(clock: RunClock, seconds: float) -> None:
    with pytest.raises(ValueError, match="1971 to 2200"):
        clock.advance(seconds)

    assert clock.now() == START


def test_it_does_not_advance_backwards(clock: RunClock) -> None:
    with pytest.raises(ValueError, match="not by -1"):
        clock.advance(-1)

    assert clock.now() == START


def test_whoever_watches_hears_of_every_change_after_it_was_made(clock: RunClock) -> None:
    seen: list[float] = []
    clock.watch(lambda: seen.append(clock.now()))
    clock.watch(lambda: seen.append(0.0))

    clock.advance(1)
    clock.freeze()
    clock.set(START + 5)
    clock.resume()
    clock.resume()

    assert seen == [START + 1, 0.0, START + 1, 0.0, START + 5, 0.0, START + 5, 0.0]


def test_a_change_that_is_refused_is_none(clock: RunClock) -> None:
    seen: list[float] = []
    clock.watch(lambda: seen.append(clock.now()))

    with pytest.raises(ValueError, match="1971"):
        clock.set(0.0)

    assert seen == []


async def test_an_instant_that_has_come_is_not_waited_for(clock: RunClock) -> None:
    assert await clock.wait_until(START, timeout_s=0)
    assert await clock.wait_until(START - DAY_S, timeout_s=-1)


async def test_an_instant_that_does_not_come_is_given_up(clock: RunClock) -> None:
    clock.freeze()

    assert not await clock.wait_until(START + 1, timeout_s=0.01)
    assert not await clock.wait_until(math.inf, timeout_s=0)


async def test_a_clock_that_goes_comes_to_an_instant_by_itself() -> None:
    clock = RunClock()
    at = clock.now() + 0.02

    async with asyncio.timeout(END_S):
        assert await clock.wait_until(at, timeout_s=DAY_S)

    assert clock.now() >= at


async def test_a_wait_for_an_instant_far_off_is_given_up_in_time() -> None:
    clock = RunClock()

    assert not await clock.wait_until(clock.now() + DAY_S, timeout_s=0.01)


async def waiting(clock: RunClock, at: float) -> asyncio.Task[bool]:
    """A task that has begun to wait."""
    task = asyncio.create_task(clock.wait_until(at, timeout_s=END_S))
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("frozen", [True, False])
async def test_an_advance_wakes_all_who_wait_for_what_it_passes(clock: RunClock, frozen: bool) -> None:
    if frozen:
        clock.freeze()
    soon, later = await waiting(clock, START + 60), await waiting(clock, START + 90)
    far = await waiting(clock, START + DAY_S)

    clock.advance(90)

    assert await soon
    assert await later
    assert not far.done()
    clock.advance(DAY_S)
    assert await far


async def test_changes_that_do_not_reach_the_instant_do_not_end_the_wait(clock: RunClock) -> None:
    wait = await waiting(clock, START + 60)

    for change in (clock.freeze, clock.resume, lambda: clock.set(START - DAY_S), lambda: clock.advance(DAY_S)):
        change()
        await asyncio.sleep(0)
    assert not wait.done()
    clock.set(START + 60)

    assert await wait


async def test_many_changes_in_one_turn_of_the_loop_are_one_to_whoever_waits(clock: RunClock) -> None:
    wait = await waiting(clock, START + 60)

    clock.set(START + 61)
    clock.set(START)
    clock.freeze()
    await asyncio.sleep(0)
    assert not wait.done()
    clock.set(START + 60)

    assert await wait


async def test_a_wait_that_began_while_frozen_goes_on_when_the_clock_does() -> None:
    clock = RunClock()
    clock.freeze()
    wait = await waiting(clock, clock.now() + 0.01)

    clock.resume()

    assert await wait


async def test_a_wait_can_be_cancelled(clock: RunClock) -> None:
    wait = await waiting(clock, START + 60)

    wait.cancel()

    with pytest.raises(asyncio.CancelledError):
        await wait
