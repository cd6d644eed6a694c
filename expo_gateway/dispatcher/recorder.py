"""Writes outcomes to the outbox in groups: what came while one write was under way goes with the next.

A group that the store does not take is written batch by batch, so that one that can't be written holds no other. What
can't be written while others are is given up some time later: a store that is away comes back, a damaged row does not.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from expo_gateway.dispatcher.observer import DeliveryObserver
from expo_gateway.errors import StoreUnavailable
from expo_gateway.outbox.base import Outbox, Pending, Progress
from expo_gateway.protocol.ticket import BatchId

log = logging.getLogger(__name__)

# Our choice: a crash repeats at most the deliveries of so long, and a receipt is visible at most so much later.
GATHER_S = 0.02
WRITE_AGAIN_S = 1.0
# Our choice: when the first so many of a group can't be written, each by itself, the store is away.
AWAY_AFTER = 2
# Our choice: ten seconds in which others were written.
MAX_REFUSALS = 10


class _Outcomes:
    """Of one batch, on their way to the store."""

    __slots__ = ("batch_id", "receipts", "refusals", "retries", "waiting")

    def __init__(self, batch_id: BatchId) -> None:
        self.batch_id = batch_id
        self.receipts: dict[int, bytes] = {}
        self.retries: Sequence[Pending] = ()
        self.waiting: list[asyncio.Future[None]] = []
        """Who gives the batch back with this. Nobody: it is still worked on."""
        self.refusals = 0
        """How often these could not be written, and others could."""

    def progress(self) -> Progress:
        return Progress(
            batch_id=self.batch_id, receipts=self.receipts, retries=self.retries, release=bool(self.waiting)
        )

    def add(self, later: "_Outcomes") -> None:
        self.receipts = later.receipts | self.receipts
        self.retries = later.retries or self.retries
        self.waiting += later.waiting


class Recorder:
    """The one writer of outcomes. What it was given it keeps until the store has it, however long the store is away."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        observer: DeliveryObserver | None = None,
        on_release: Callable[[BatchId], None] = lambda _: None,
    ) -> None:
        """`on_release` hears of a batch that the store has back, before anyone can claim it again."""
        self._outbox = outbox
        self._on_release = on_release
        self._observer = observer
        self._outcomes: dict[BatchId, _Outcomes] = {}
        self._news = asyncio.Event()
        self._awaited = asyncio.Event()
        self._all_written = asyncio.Event()
        self._all_written.set()
        self._waiting: set[asyncio.Future[None]] = set()
        self._has_ended = False

    def receipt(self, batch_id: BatchId, place: int, receipt: bytes) -> None:
        """A delivery is settled. It is written soon. The first receipt of a place stays."""
        self._of(batch_id).receipts.setdefault(place, receipt)
        self._has_news()

    async def release(self, batch_id: BatchId, retries: Sequence[Pending]) -> None:
        """Give the batch back with its retries. Returns when that and its receipts are written.

        A caller that is cancelled meanwhile does not wait any longer; they are written all the same. When `run` ends
        before they are, or has ended, the caller is cancelled.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(written)
        written.add_done_callback(self._waiting.discard)
        outcomes = self._of(batch_id)
        outcomes.retries = retries
        outcomes.waiting.append(written)
        self._has_news()
        self._awaited.set()
        if self._has_ended:
            written.cancel()
        await written

    async def all_written(self) -> None:
        """Returns when the store has everything that was given so far."""
        await self._all_written.wait()

    async def run(self) -> None:
        """Write until cancelled. Cancel it only after all was written, or what was not is lost."""
        try:
            while True:
                await self._news.wait()
                await self._gather()
                await self._write()
                if not self._news.is_set():
                    self._all_written.set()
        finally:
            self._has_ended = True
            for written in self._waiting:
                written.cancel()

    def _of(self, batch_id: BatchId) -> _Outcomes:
        outcomes = self._outcomes.get(batch_id)
        if outcomes is None:
            outcomes = self._outcomes[batch_id] = _Outcomes(batch_id)
        return outcomes

    def _has_news(self) -> None:
        self._news.set()
        self._all_written.clear()

    async def _gather(self) -> None:
        """Wait for more to write, but not when somebody waits for it to be written."""
        try:
            async with asyncio.timeout(GATHER_S):
                await self._awaited.wait()
        except TimeoutError:
            return

    async def _write(self) -> None:
        self._news.clear()
        self._awaited.clear()
        group, self._outcomes = list(self._outcomes.values()), {}
        error = await self._refusal(group)
        if error is not None:
            await self._write_apart(group, error)

    async def _write_apart(self, group: Sequence[_Outcomes], error: Exception) -> None:
        """One of the batches can't be written, or none, whoever's fault that is; the others must not pay for it."""
        untried, refused, is_away = deque(group), list[_Outcomes](), True
        while untried and not (is_away and len(refused) == AWAY_AFTER):
            one = untried.popleft()
            refusal = await self._refusal([one]) if len(group) > 1 else error
            if isinstance(refusal, StoreUnavailable):
                error = refusal
                refused.append(one)
            elif refusal is not None:
                self._give_up(one, refusal)
            is_away = is_away and refusal is not None
        if not is_away:
            refused = self._still_hopeful(refused, error)
        # Those that were refused come last, so that others are tried the next time.
        await self._write_later([*untried, *refused], error)

    def _still_hopeful(self, refused: Sequence[_Outcomes], error: Exception) -> list[_Outcomes]:
        """Without those that could not be written too often while others could."""
        for one in refused:
            one.refusals += 1
            if one.refusals >= MAX_REFUSALS:
                self._give_up(one, error)
        return [one for one in refused if one.refusals < MAX_REFUSALS]

    async def _write_later(self, left: Sequence[_Outcomes], error: Exception) -> None:
        if not left:
            return
        log.error("the outcomes of %d batches wait for the store: %s", len(left), error)
        for one in left:
            later = self._outcomes.pop(one.batch_id, None)
            if later is not None:
                one.add(later)
            self._outcomes[one.batch_id] = one
        self._has_news()
        await asyncio.sleep(WRITE_AGAIN_S)

    async def _refusal(self, group: Sequence[_Outcomes]) -> Exception | None:
        """Write them together. What the store says against it; None: all are written, and whoever waits knows."""
        progress = [one.progress() for one in group]
        try:
            await self._outbox.record(progress)
        except Exception as error:
            return error
        # Released first: a claim may bring the batch back from now on.
        for one in group:
            self._let_go(one)
        for item in progress:
            if self._observer is not None and item.receipts:
                self._observer.settled(item.batch_id, item.receipts)
        return None

    def _let_go(self, one: _Outcomes) -> None:
        if one.waiting:
            self._on_release(one.batch_id)
        for written in one.waiting:
            if not written.done():
                written.set_result(None)

    def _give_up(self, one: _Outcomes, error: Exception) -> None:
        log.error("outcomes of batch %s were lost; its lease lapses", one.batch_id.hex(), exc_info=error)
        self._let_go(one)
