"""What is done with a claimed batch: read it back, try every place that is due, write down what came of it."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import orjson

from expo_gateway.dispatcher.decision import Again
from expo_gateway.dispatcher.recorder import Recorder
from expo_gateway.dispatcher.sender import Delivery, Sender
from expo_gateway.errors import RequestRefused, StoreUnavailable
from expo_gateway.log_context import bind
from expo_gateway.outbox.base import Claim, Pending
from expo_gateway.protocol.body import inflate
from expo_gateway.protocol.device import Device, Platform
from expo_gateway.protocol.message import PushMessage, decode_send_request
from expo_gateway.protocol.receipt import (
    RECEIPT_OK_JSON,
    FailedReceipt,
    ReceiptError,
    expo_error,
    fcm_not_registered,
)
from expo_gateway.protocol.ticket import accepted_at, not_a_recipient, ticket_id
from expo_gateway.registry.base import Registry

log = logging.getLogger(__name__)

STORE_AGAIN_S = 1.0


class BatchWork:
    def __init__(self, *, registry: Registry, sender: Sender, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._sender = sender
        self._recorder = recorder
        self._clock = clock
        self._counts = sender.counts
        self.progressed_at = clock()
        """When a batch was begun or given back, or an attempt ended, for the last time."""

    async def run(self, claim: Claim) -> None:
        """Try what is due and give the batch back. Cancelled, it keeps what was settled; the rest is due again."""
        bind(batch_id=claim.batch_id.hex(), project_id=claim.project_id)
        self.progressed_at = self._clock()
        retries: dict[int, Pending] = {}
        try:
            await self._try_all(claim, retries)
        except StoreUnavailable as error:
            log.error("batch %s waits for the store: %s", claim.batch_id.hex(), error)
            self._postpone(claim, retries)
        except Exception:
            # Tried again, it would fail again, and those that were reached would be reached again.
            log.exception("batch %s failed inside the gateway", claim.batch_id.hex())
            open_places = [pending for pending in claim.pending if pending.place not in retries]
            self._settle(claim, open_places, expo_error("The notification could not be processed."))
        finally:
            await self._recorder.release(claim.batch_id, list(retries.values()))
            self.progressed_at = self._clock()

    async def _try_all(self, claim: Claim, retries: dict[int, Pending]) -> None:
        try:
            recipients = list(decode_send_request(inflate(claim.body)).recipients())
            wanted = [(pending, *recipients[pending.place]) for pending in claim.pending]
        except (RequestRefused, IndexError):
            log.exception("batch %s can't be read back from the store; its deliveries fail", claim.batch_id.hex())
            self._settle(claim, claim.pending, expo_error("The notification could not be read back from the store."))
            return
        devices = await self._registry.devices(list({token for _, _, token in wanted}))
        async with asyncio.TaskGroup() as group:
            for pending, message, token in wanted:
                device = devices.get(token)
                if device is None or device.gone_at is not None:
                    self._settle(claim, [pending], _unreachable(token, device))
                else:
                    group.create_task(self._try(claim, pending, message, device, retries))

    async def _try(
        self, claim: Claim, pending: Pending, message: PushMessage, device: Device, retries: dict[int, Pending]
    ) -> None:
        delivery = Delivery(
            ticket_id=ticket_id(claim.batch_id, pending.place),
            message=message,
            device=device,
            accepted_at=accepted_at(claim.batch_id),
            attempts=pending.attempts,
        )
        bind(ticket_id=delivery.ticket_id, project=device.project.full_name)
        follows, attempts = await self._sender.attempt(delivery)
        self.progressed_at = self._clock()
        if isinstance(follows, Again):
            retries[pending.place] = Pending(place=pending.place, attempts=attempts, due_at=follows.due_at)
        else:
            self._record(claim, pending, follows.receipt)

    def _settle(self, claim: Claim, places: Sequence[Pending], failed: FailedReceipt) -> None:
        receipt = failed.to_json(sent_at=self._clock())
        for pending in places:
            self._record(claim, pending, receipt)

    def _record(self, claim: Claim, pending: Pending, receipt: bytes) -> None:
        self._recorder.receipt(claim.batch_id, pending.place, receipt)
        self._counts.settled(_error_in(receipt), after_s=self.progressed_at - accepted_at(claim.batch_id))

    def _postpone(self, claim: Claim, retries: dict[int, Pending]) -> None:
        """Everything that has no outcome yet is due later. A place that was settled meanwhile keeps its receipt."""
        due_at = self._clock() + STORE_AGAIN_S
        for pending in claim.pending:
            later = Pending(place=pending.place, attempts=pending.attempts, due_at=due_at)
            retries.setdefault(pending.place, later)


def _error_in(receipt: bytes) -> str:
    """`details.error`, "" of a receipt that is ok. Only the failed ones are read."""
    return "" if receipt == RECEIPT_OK_JSON else str(orjson.loads(receipt)["details"]["error"])


def _unreachable(token: str, device: Device | None) -> FailedReceipt:
    """The device was removed, or found dead, after the batch was accepted."""
    if device is not None and device.platform is Platform.ANDROID:
        return fcm_not_registered()
    return FailedReceipt(error=ReceiptError.DEVICE_NOT_REGISTERED, message=not_a_recipient(token).message)
