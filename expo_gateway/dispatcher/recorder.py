"""Writes outcomes to the outbox in groups: what came while one write was under way goes with the next."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from expo_gateway.dispatcher.observer import DeliveryObserver
from expo_gateway.errors import StoreUnavailable
from expo_gateway.outbox.base import Outbox, Pending, Progress
from expo_gateway.protocol.ticket import BatchId

log = logging.getLogger(__name__)

# Our choice: a crash repeats at most the deliveries of so long, and a receipt is visible at most so much later.
GATHER_S = 0.02
WRITE_AGAIN_S = 1.0


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
        self._receipts: dict[BatchId, dict[int, bytes]] = {}
        self._released: list[tuple[Progress, asyncio.Future[None]]] = []
        self._news = asyncio.Event()
        self._awaited = asyncio.Event()
        self._all_written = asyncio.Event()
        self._all_written.set()
        self._waiting: set[asyncio.Future[None]] = set()
        self._has_ended = False

    def receipt(self, batch_id: BatchId, place: int, receipt: bytes) -> None:
        """A delivery is settled. It is written soon. The first receipt of a place stays."""
        self._receipts.setdefault(batch_id, {}).setdefault(place, receipt)
        self._has_news()

    async def release(self, batch_id: BatchId, retries: Sequence[Pending]) -> None:
        """Give the batch back with its retries. Returns when that and its receipts are written.

        A caller that is cancelled meanwhile does not wait any longer; they are written all the same. When `run` ends
        before they are, or has ended, the caller is cancelled.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(written)
        written.add_done_callback(self._waiting.discard)
        receipts = self._receipts.pop(batch_id, {})
        progress = Progress(batch_id=batch_id, receipts=receipts, retries=retries, release=True)
        self._released.append((progress, written))
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
        released, self._released = self._released, []
        receipts, self._receipts = self._receipts, {}
        progress = [item for item, _ in released]
        progress += [Progress(batch_id=batch_id, receipts=of_batch) for batch_id, of_batch in receipts.items()]
        await self._write_until_done(progress)
        for item, written in released:
            self._on_release(item.batch_id)
            if not written.done():
                written.set_result(None)

    async def _write_until_done(self, progress: Sequence[Progress]) -> None:
        while True:
            try:
                await self._outbox.record(progress)
            except StoreUnavailable as error:
                log.error("the outcomes of %d batches wait for the store: %s", len(progress), error)
                await asyncio.sleep(WRITE_AGAIN_S)
            except Exception:
                return await self._write_apart(progress)
            else:
                return self._tell(progress)

    def _tell(self, progress: Sequence[Progress]) -> None:
        if self._observer is not None:
            for item in progress:
                if item.receipts:
                    self._observer.settled(item.batch_id, item.receipts)

    async def _write_apart(self, progress: Sequence[Progress]) -> None:
        """One of the batches can't be written, whoever's mistake that is; the others must not pay for it."""
        if len(progress) > 1:
            for item in progress:
                await self._write_until_done([item])
        else:
            log.exception("outcomes of batch %s were lost; its lease lapses", progress[0].batch_id.hex())
