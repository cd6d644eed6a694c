"""What is done with a claimed batch: read it back, try every place that is due, write down what came of it."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import orjson
from msgspec import Struct

from expo_gateway.dispatcher.decision import Again
from expo_gateway.dispatcher.lanes import MAX_IN_FLIGHT, Lanes
from expo_gateway.dispatcher.parked import Parked
from expo_gateway.dispatcher.recorder import Recorder
from expo_gateway.dispatcher.sender import Delivery, Sender, device_key
from expo_gateway.errors import RequestRefused, StoreUnavailable
from expo_gateway.log_context import bind
from expo_gateway.outbox.base import Claim, Pending
from expo_gateway.protocol.device import Device, Platform
from expo_gateway.protocol.message import PushMessage
from expo_gateway.protocol.receipt import (
    FailedReceipt,
    ReceiptError,
    expo_error,
    fcm_not_registered,
    is_ok,
)
from expo_gateway.protocol.stored import decode_stored
from expo_gateway.protocol.ticket import BatchId, accepted_at, not_a_recipient, parse_ticket_id, ticket_id
from expo_gateway.registry.base import Registry

log = logging.getLogger(__name__)

STORE_AGAIN_S = 1.0
# Our choice: a clock that stands still just before a due time must not have us look all the time.
LEAST_WAIT_S = 0.01


class _Batch:
    """A claim that is worked on, and what came of it so far."""

    __slots__ = (
        *("accepted_at", "begun", "claim", "ended", "hex", "idle", "is_parked", "left", "phones", "project_id"),
        *("retries", "waiting"),
    )

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.hex = claim.batch_id.hex()
        self.accepted_at = accepted_at(claim.batch_id)
        self.project_id = claim.project_id
        self.phones = 0
        """Deliveries under way that do nothing but wait for a phone."""
        self.is_parked = False
        self.left = 0
        """Deliveries that are under way, or wait for their credential to have room."""
        self.begun: set[int] = set()
        """Places of which the first attempt here was begun."""
        self.idle = asyncio.Event()
        """None is left."""
        self.idle.set()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """None is left; or the batch can't go on, and nothing more of it is begun."""
        self.retries: dict[int, Pending] = {}
        self.waiting: dict[int, _Place] = {}
        """Those of the retries that are tried again here, if others are under way when they are due."""

    def one_more(self) -> None:
        self.left += 1
        self.idle.clear()

    def one_less(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.idle.set()
            if not self.ended.done():
                self.ended.set_result(None)

    async def end(self) -> None:
        """Begin nothing more; returns when what is under way has ended, as every attempt does."""
        if not self.ended.done():
            self.ended.set_result(None)
        await self.idle.wait()


class _Place(Struct, kw_only=True):
    """A place of a batch, and the device it is for."""

    batch: _Batch
    place: int
    attempts: int
    message: PushMessage
    device: Device
    due_at: float = 0.0
    timer: asyncio.TimerHandle | None = None
    """While it waits: when to look whether it is due."""


class BatchWork:
    def __init__(
        self,
        *,
        registry: Registry,
        sender: Sender,
        recorder: Recorder,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        """`clock` says what is due, and may be moved; `monotonic` says whether anything goes on, and may not."""
        self._registry = registry
        self._sender = sender
        self._recorder = recorder
        self._clock = clock
        self._monotonic = monotonic
        self._observer = sender.observer
        self._counts = sender.counts
        self.lanes = Lanes(self._try, max_in_flight=max_in_flight)
        """Somebody has to run them."""
        self.parked = Parked()
        """Batches that wait for phones and nothing else."""
        self._batches: dict[BatchId, _Batch] = {}
        self.progressed_at = monotonic()
        """When a batch was begun or given back, or an attempt ended, for the last time: of the monotonic clock."""

    async def run(self, claim: Claim) -> None:
        """Try what is due and give the batch back. Cancelled, it keeps what was settled; the rest is due again."""
        bind(batch_id=claim.batch_id.hex(), project_id=claim.project_id)
        self.progressed_at = self._monotonic()
        batch = _Batch(claim)
        self._batches[claim.batch_id] = batch
        try:
            await self._try_all(batch)
        except StoreUnavailable as error:
            log.error("batch %s waits for the store: %s", batch.hex, error)
            self._postpone(batch)
        except Exception:
            # Tried again, it would fail again, and those that were reached would be reached again.
            log.exception("batch %s failed inside the gateway", batch.hex)
            await batch.end()
            tried = batch.begun | batch.retries.keys()
            open_places = [pending for pending in claim.pending if pending.place not in tried]
            self._settle(batch, open_places, expo_error("The notification could not be processed."))
        finally:
            if self._batches.get(claim.batch_id) is batch:
                del self._batches[claim.batch_id]
            self.parked.drop(batch)
            for one in batch.waiting.values():
                _stop_timer(one)
            await self._recorder.release(claim.batch_id, list(batch.retries.values()))
            self.progressed_at = self._monotonic()

    def waits_for_phone(self, ticket: str, waits: bool) -> None:
        """The delivery under way waits for its phone, or does so no more. Between two steps of its provider."""
        placed = parse_ticket_id(ticket)
        batch = self._batches.get(placed[0]) if placed is not None else None
        if batch is not None:
            batch.phones += 1 if waits else -1
            self.parked.look(batch)

    def clock_moved(self) -> None:
        """What waits for its time has it, or waits anew."""
        for batch in list(self._batches.values()):
            for one in list(batch.waiting.values()):
                self._wait_for_time(one)

    async def _try_all(self, batch: _Batch) -> None:
        """Ends when every place has its receipt or waits for a retry."""
        claim = batch.claim
        try:
            recipients = list(decode_stored(claim.body).recipients())
            wanted = [(pending, *recipients[pending.place]) for pending in claim.pending]
        except (RequestRefused, IndexError):
            log.exception("batch %s can't be read back from the store; its deliveries fail", batch.hex)
            self._settle(batch, claim.pending, expo_error("The notification could not be read back from the store."))
            return
        devices = await self._registry.devices(list({token for _, _, token in wanted}))
        for pending, message, token in wanted:
            device = devices.get(token)
            if self._observer is not None:
                self._observer.claimed(claim, place=pending.place, message=message, push_token=token, device=device)
            if device is None or device.gone_at is not None:
                self._settle(batch, [pending], _unreachable(token, device))
            else:
                place, attempts = pending.place, pending.attempts
                self._put(_Place(batch=batch, place=place, attempts=attempts, message=message, device=device))
        if batch.left:
            await batch.ended

    def _put(self, one: _Place) -> None:
        one.batch.one_more()
        self.parked.look(one.batch)
        self.lanes.put(device_key(one.device), one)

    async def _try(self, one: _Place) -> None:
        """Raises nothing but for cancellation. What goes wrong is this place's receipt: the others go on."""
        batch = one.batch
        try:
            if not batch.ended.done():
                batch.begun.add(one.place)
                await self._try_one(batch, one)
        except Exception:
            log.exception("delivery %s failed inside the gateway", ticket_id(batch.claim.batch_id, one.place))
            receipt = expo_error("The notification could not be processed.").to_json(sent_at=self._clock())
            self._recorder.receipt(batch.claim.batch_id, one.place, receipt)
        finally:
            batch.one_less()
            self.parked.look(batch)

    async def _try_one(self, batch: _Batch, one: _Place) -> None:
        ticket = ticket_id(batch.claim.batch_id, one.place)
        project = one.device.project
        bind(batch_id=batch.hex, project_id=batch.claim.project_id, ticket_id=ticket, project=project.full_name)
        follows, one.attempts = await self._sender.attempt(
            Delivery(
                ticket_id=ticket,
                message=one.message,
                device=one.device,
                accepted_at=batch.accepted_at,
                attempts=one.attempts,
            )
        )
        self.progressed_at = self._monotonic()
        if isinstance(follows, Again):
            self._try_again(batch, one, due_at=follows.due_at)
        else:
            self._record(batch, one.place, follows.receipt)

    def _try_again(self, batch: _Batch, one: _Place, *, due_at: float) -> None:
        """At its time, if others of the batch are under way then; else it goes back to the store with the batch."""
        self._note_retry(batch, Pending(place=one.place, attempts=one.attempts, due_at=due_at))
        batch.waiting[one.place], one.due_at = one, due_at
        self._wait_for_time(one)

    def _wait_for_time(self, one: _Place) -> None:
        """Try again when the clock says so. It may stand still or jump meanwhile, which a timer knows nothing of."""
        _stop_timer(one)
        wait_s = one.due_at - self._clock()
        if wait_s > 0:
            wait_s = max(wait_s, LEAST_WAIT_S)
            one.timer = asyncio.get_running_loop().call_later(wait_s, self._wait_for_time, one)
        elif not one.batch.ended.done():
            del one.batch.waiting[one.place], one.batch.retries[one.place]
            self._put(one)

    def _note_retry(self, batch: _Batch, later: Pending) -> None:
        batch.retries[later.place] = later
        if self._observer is not None:
            self._observer.due_again(ticket_id(batch.claim.batch_id, later.place), due_at=later.due_at)

    def _settle(self, batch: _Batch, places: Sequence[Pending], failed: FailedReceipt) -> None:
        receipt = failed.to_json(sent_at=self._clock())
        for pending in places:
            self._record(batch, pending.place, receipt)

    def _record(self, batch: _Batch, place: int, receipt: bytes) -> None:
        self._recorder.receipt(batch.claim.batch_id, place, receipt)
        self._counts.settled(_error_in(receipt), after_s=self._clock() - batch.accepted_at)

    def _postpone(self, batch: _Batch) -> None:
        """Everything is due later: nothing was begun."""
        due_at = self._clock() + STORE_AGAIN_S
        for pending in batch.claim.pending:
            self._note_retry(batch, Pending(place=pending.place, attempts=pending.attempts, due_at=due_at))


def _stop_timer(one: _Place) -> None:
    if one.timer is not None:
        one.timer.cancel()
        one.timer = None


def _error_in(receipt: bytes) -> str:
    """`details.error`, "" of a receipt that is ok. Only the failed ones are read."""
    return "" if is_ok(receipt) else str(orjson.loads(receipt)["details"]["error"])


def _unreachable(token: str, device: Device | None) -> FailedReceipt:
    """The device was removed, or found dead, after the batch was accepted."""
    if device is not None and device.platform is Platform.ANDROID:
        return fcm_not_registered()
    return FailedReceipt(error=ReceiptError.DEVICE_NOT_REGISTERED, message=not_a_recipient(token).message)
