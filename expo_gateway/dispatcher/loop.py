"""The dispatcher: takes due batches from the outbox, has their deliveries tried, gives them back.

It wakes on a new batch, on the next due time, when the clock was moved, on a poll (other processes write to the same
outbox), and on stop.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from expo_gateway.dispatcher.recorder import Recorder
from expo_gateway.dispatcher.sender import Sender
from expo_gateway.dispatcher.work import LEAST_WAIT_S, BatchWork
from expo_gateway.errors import StoreUnavailable
from expo_gateway.outbox.base import Claim, Outbox
from expo_gateway.protocol.ticket import BatchId, accepted_at
from expo_gateway.registry.base import Registry

log = logging.getLogger(__name__)

# A lease outlives the slowest attempt (a provider's own deadline is 30 s) and is extended while the batch is worked on.
LEASE_S = 60.0
EXTEND_EVERY_S = 20.0
# Our choice: how soon batches of other processes are seen.
POLL_S = 1.0
# Our choice: 64 batches of 100 are 6,400 deliveries in memory. A project that has this many gets no more, and one claim
# brings no more, so that no project has half of all.
MAX_BATCHES = 64
MAX_PROJECT_BATCHES = 16
EXPIRE_EVERY_S = 60.0
STORE_AGAIN_S = 1.0
GIVE_BACK_S = 5.0
# Our choice: a turn of the loop that takes longer than this means that the dispatcher is stuck.
STUCK_AFTER_S = 30.0
# Our choice: longer than the slowest attempt, which is four tries of 30 s in the queue and 30 s for the answer each.
NO_PROGRESS_AFTER_S = 300.0


class Dispatcher:
    """One per process. `run` ends after `stop`, when everything claimed is given back."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        registry: Registry,
        sender: Sender,
        clock: Callable[[], float],
        receipts_kept_s: float,
        drain_s: float = 10.0,
        poll_s: float = POLL_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` is what deliveries go by; whoever moves it calls `clock_moved`. `monotonic` never jumps.

        `poll_s` may be long where no other process writes to the outbox.
        """
        self._outbox = outbox
        self._clock = clock
        self._receipts_kept_s = receipts_kept_s
        self._drain_s = drain_s
        self._poll_s = poll_s
        self._monotonic = monotonic
        self._observer = sender.observer
        self._held: set[BatchId] = set()
        """Claimed, and not yet given back."""
        self._recorder = Recorder(outbox, observer=sender.observer, on_release=self._held.discard)
        self._work = BatchWork(
            registry=registry, sender=sender, recorder=self._recorder, clock=clock, monotonic=monotonic
        )
        self._active: dict[asyncio.Task[None], Claim] = {}
        self._active_of: Counter[str] = Counter()
        """Active batches by project."""
        self._wakes = asyncio.Event()
        self._work.parked.on_parked = self._wakes.set
        self._stopping = asyncio.Event()
        self._moved = asyncio.Event()
        self._turned_at = monotonic()
        self._has_ended = False
        self.counts = sender.counts

    def clock_moved(self) -> None:
        """The clock was set, stopped or started: what was due later may be due, or over, now."""
        self._work.clock_moved()
        self._moved.set()
        self._wakes.set()

    def accepted(self, project_id: str) -> None:
        """A batch of this project is due now. While nothing more of it may be claimed, only the end of one of the
        active batches changes that, and wakes us itself."""
        if self._slots_of(project_id) < MAX_PROJECT_BATCHES and self._slots < MAX_BATCHES:
            self._wakes.set()

    def waits_for_phone(self, ticket_id: str, waits: bool) -> None:
        """A delivery under way does nothing but wait for its phone, or does so no more: see parked.py."""
        self._work.waits_for_phone(ticket_id, waits)

    def stop(self) -> None:
        """Claim nothing more; finish what is claimed within `drain_s`, give back the rest."""
        self._stopping.set()
        self._wakes.set()

    def is_stuck(self) -> bool:
        return self._monotonic() - self._turned_at > max(STUCK_AFTER_S, 2 * self._poll_s)

    def trouble(self) -> str:
        """Why nothing is delivered, "" when nothing is in the way of it."""
        now = self._monotonic()
        if self._has_ended:
            return "the dispatcher has ended; only a restart helps"
        if self._stopping.is_set():
            return "the dispatcher is stopping"
        if self.is_stuck():
            return f"the dispatcher is stuck: its loop has not turned for {now - self._turned_at:.0f} s"
        idle_s = now - self._work.progressed_at
        if self._active and idle_s > NO_PROGRESS_AFTER_S:
            return f"the dispatcher is stuck: {len(self._active)} batches, and no delivery has ended for {idle_s:.0f} s"
        return ""

    @property
    def active_batches(self) -> int:
        return len(self._active)

    async def all_finished(self) -> None:
        """Returns when no batch is being worked on."""
        while self._active:
            await asyncio.wait(tuple(self._active))

    async def run(self) -> None:
        try:
            await self._run()
        except Exception:
            log.exception("the dispatcher has ended; nothing is delivered until a restart")
            raise
        finally:
            self._has_ended = True

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            always = (self._recorder.run, self._work.lanes.run, self._extend, self._expire)
            keepers = [group.create_task(keeper()) for keeper in always]
            try:
                await self._claim_until_stopped(group)
                await self._drain()
            finally:
                for keeper in keepers:
                    keeper.cancel()

    # -- claiming ---------------------------------------------------------------------------------------------------

    async def _claim_until_stopped(self, group: asyncio.TaskGroup) -> None:
        while not self._stopping.is_set():
            self._turned_at = self._monotonic()
            self._wakes.clear()
            try:
                wait_s = await self._turn(group)
            except StoreUnavailable as error:
                log.error("the dispatcher waits for the store: %s", error)
                wait_s = STORE_AGAIN_S
            except Exception:
                log.exception("a turn of the dispatcher failed")
                wait_s = STORE_AGAIN_S
            if wait_s > 0:
                await _wait_for(self._wakes, timeout_s=max(wait_s, LEAST_WAIT_S))

    async def _turn(self, group: asyncio.TaskGroup) -> float:
        """Claim what fits and start it. Returns how long to wait for the next turn, unless something wakes us."""
        free = MAX_BATCHES - self._slots
        if free <= 0:
            return self._poll_s
        due_at = await self._outbox.next_due_at()
        now = self._clock()
        if due_at is None or due_at > now:
            return self._poll_s if due_at is None else min(self._poll_s, due_at - now)
        claims = await self._outbox.claim(
            now=now, lease_s=LEASE_S, limit=min(free, MAX_PROJECT_BATCHES), skip_projects=self._full_projects()
        )
        for claim in claims:
            if claim.batch_id in self._held:
                continue  # its lease lapsed under our hands and is ours anew: the work on it goes on
            self.counts.claim_lag_s.observe(now - _due_at(claim))
            task = group.create_task(self._work.run(claim))
            self._active[task] = claim
            self._held.add(claim.batch_id)
            self._active_of[claim.project_id] += 1
            task.add_done_callback(self._finished)
        return 0.0 if claims else self._poll_s

    def _full_projects(self) -> list[str]:
        return [project_id for project_id in self._active_of if self._slots_of(project_id) >= MAX_PROJECT_BATCHES]

    @property
    def _slots(self) -> int:
        """Of MAX_BATCHES. Those that wait for phones take none."""
        return len(self._active) - self._work.parked.batches

    def _slots_of(self, project_id: str) -> int:
        return self._active_of[project_id] - self._work.parked.batches_of[project_id]

    def _finished(self, task: asyncio.Task[None]) -> None:
        project_id = self._active.pop(task).project_id
        self._active_of[project_id] -= 1
        if not self._active_of[project_id]:
            del self._active_of[project_id]
        self._wakes.set()

    async def _drain(self) -> None:
        if self._active:
            await asyncio.wait(self._active, timeout=self._drain_s)
        if self._active:
            log.warning("%d batches are given back unfinished; the next start goes on with them", len(self._active))
            await self._give_back()

    async def _give_back(self) -> None:
        """What a store that is away does not take back in time keeps its lease, which lapses."""
        late = list(self._active)
        self._work.lanes.abandon()
        for task in late:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_BACK_S):
                await asyncio.wait(late)
                # Those that were giving back already have ended at once.
                await self._recorder.all_written()

    # -- keeping ----------------------------------------------------------------------------------------------------

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(EXTEND_EVERY_S)
            held = [claim.batch_id for claim in self._active.values()]
            try:
                await self._outbox.extend(held, until=self._clock() + LEASE_S)
            except StoreUnavailable as error:
                log.error("leases could not be extended: %s", error)
            except Exception:
                log.exception("leases could not be extended")

    async def _expire(self) -> None:
        while True:
            self._moved.clear()
            before = self._clock() - self._receipts_kept_s
            try:
                if await self._outbox.expire(before=before) and self._observer is not None:
                    self._observer.expired(before=before)
            except StoreUnavailable as error:
                log.error("old batches could not be removed: %s", error)
            except Exception:
                log.exception("old batches could not be removed")
            await _wait_for(self._moved, timeout_s=EXPIRE_EVERY_S)


async def _wait_for(event: asyncio.Event, *, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


def _due_at(claim: Claim) -> float:
    """When the batch was due; a place that was never tried was due at once."""
    return max(accepted_at(claim.batch_id), min((pending.due_at for pending in claim.pending), default=0.0))
