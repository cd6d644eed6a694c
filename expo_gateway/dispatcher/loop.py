"""The dispatcher: takes due batches from the outbox, has their deliveries tried, gives them back.

It wakes on a new batch, on the next due time, on a poll (other processes write to the same outbox), and on stop.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from expo_gateway.dispatcher.recorder import Recorder
from expo_gateway.dispatcher.sender import Sender
from expo_gateway.dispatcher.work import BatchWork
from expo_gateway.errors import StoreUnavailable
from expo_gateway.outbox.base import Claim, Outbox
from expo_gateway.protocol.ticket import accepted_at
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
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._receipts_kept_s = receipts_kept_s
        self._drain_s = drain_s
        self._recorder = Recorder(outbox)
        self._work = BatchWork(registry=registry, sender=sender, recorder=self._recorder, clock=clock)
        self._active: dict[asyncio.Task[None], Claim] = {}
        self._wakes = asyncio.Event()
        self._stopping = asyncio.Event()
        self._turned_at = clock()
        self._has_ended = False
        self.counts = sender.counts

    def wake(self) -> None:
        """Something is due now."""
        self._wakes.set()

    def stop(self) -> None:
        """Claim nothing more; finish what is claimed within `drain_s`, give back the rest."""
        self._stopping.set()
        self._wakes.set()

    def is_stuck(self) -> bool:
        return self._clock() - self._turned_at > STUCK_AFTER_S

    def trouble(self) -> str:
        """Why nothing is delivered, "" when nothing is in the way of it."""
        now = self._clock()
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
            keepers = [group.create_task(keeper()) for keeper in (self._recorder.run, self._extend, self._expire)]
            try:
                await self._claim_until_stopped(group)
                await self._drain()
            finally:
                for keeper in keepers:
                    keeper.cancel()

    # -- claiming ---------------------------------------------------------------------------------------------------

    async def _claim_until_stopped(self, group: asyncio.TaskGroup) -> None:
        while not self._stopping.is_set():
            self._turned_at = self._clock()
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
                await self._sleep(wait_s)

    async def _turn(self, group: asyncio.TaskGroup) -> float:
        """Claim what fits and start it. Returns how long to wait for the next turn, unless something wakes us."""
        free = MAX_BATCHES - len(self._active)
        if free == 0:
            return POLL_S
        due_at = await self._outbox.next_due_at()
        now = self._clock()
        if due_at is None or due_at > now:
            return POLL_S if due_at is None else min(POLL_S, due_at - now)
        claims = await self._outbox.claim(
            now=now, lease_s=LEASE_S, limit=min(free, MAX_PROJECT_BATCHES), skip_projects=self._full_projects()
        )
        held = {claim.batch_id for claim in self._active.values()}
        for claim in claims:
            if claim.batch_id in held:
                continue  # its lease lapsed under our hands and is ours anew: the work on it goes on
            self.counts.claim_lag_s.observe(now - _due_at(claim))
            task = group.create_task(self._work.run(claim))
            self._active[task] = claim
            task.add_done_callback(self._finished)
        return 0.0 if claims else POLL_S

    def _full_projects(self) -> list[str]:
        held = Counter(claim.project_id for claim in self._active.values())
        return [project_id for project_id, batches in held.items() if batches >= MAX_PROJECT_BATCHES]

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._active[task]
        self._wakes.set()

    async def _sleep(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._wakes.wait()
        except TimeoutError:
            return

    async def _drain(self) -> None:
        if self._active:
            await asyncio.wait(self._active, timeout=self._drain_s)
        if self._active:
            log.warning("%d batches are given back unfinished; the next start goes on with them", len(self._active))
            await self._give_back()

    async def _give_back(self) -> None:
        """What a store that is away does not take back in time keeps its lease, which lapses."""
        late = list(self._active)
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
            try:
                await self._outbox.expire(before=self._clock() - self._receipts_kept_s)
            except StoreUnavailable as error:
                log.error("old batches could not be removed: %s", error)
            except Exception:
                log.exception("old batches could not be removed")
            await asyncio.sleep(EXPIRE_EVERY_S)


def _due_at(claim: Claim) -> float:
    """When the batch was due; a place that was never tried was due at once."""
    return max(accepted_at(claim.batch_id), min((pending.due_at for pending in claim.pending), default=0.0))
