"""The journal of one world: it is told of every step, remembers so many deliveries, and wakes whoever waits for one.

For one event loop. It holds what passed through this process since it began or was cleared; other processes that work
on the same outbox have journals of their own.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypedDict, Unpack

from expo_gateway.journal.entry import Attempt, Entry, Event, EventName, State
from expo_gateway.journal.query import Condition, matches, near_misses
from expo_gateway.journal.waiting import Waited, Waits
from expo_gateway.outbox.base import Claim
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.device import Device
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.message import PushMessage, SendRequest
from expo_gateway.protocol.ticket import BatchId, TicketError, accepted_at, ticket_id
from expo_gateway.providers.base import Outcome

# Our choice: more than a day of a test suite. Measured once they are delivered: some 6 kB for a short message, 20 kB
# for one at the providers' limit.
MAX_DELIVERIES = 10_000


class _Belonging(TypedDict, total=False):
    """What an event has besides its time and name."""

    n: int
    by: str
    due_at: float


class Journal:
    """The newest `max_deliveries` deliveries; when it is full the oldest goes, whatever its state.

    It is told as gateway and dispatcher tell their observers. Of what it dropped it remembers no more than that it is
    not settled.
    """

    def __init__(self, *, clock: Callable[[], float], max_deliveries: int = MAX_DELIVERIES) -> None:
        self._clock = clock
        self.max_deliveries = max_deliveries
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._unsettled: dict[str, float] = {}
        """Ticket id -> when it was accepted: all of them, also those that were dropped or deleted."""
        self._owners: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """By device token; as many as deliveries."""
        self._waits = Waits()

    # -- reading ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Oldest first."""
        return iter(tuple(self._entries.values()))

    @property
    def unsettled(self) -> int:
        """Deliveries that have no receipt yet."""
        return len(self._unsettled)

    def get(self, entry_id: str) -> Entry | None:
        return self._entries.get(entry_id)

    def find(self, condition: Condition) -> list[Entry]:
        """Oldest first."""
        return [entry for entry in self._entries.values() if matches(condition, entry)]

    def counts(self) -> Counter[State]:
        return Counter(entry.state for entry in self._entries.values())

    def delete(self, condition: Condition) -> int:
        """Forget what matches; what is still to come of it stays unheard. Returns how many went."""
        found = self.find(condition)
        for entry in found:
            self._drop(entry)
        return len(found)

    def forget(self, entry_id: str) -> bool:
        """The same of one. False: it is not remembered."""
        entry = self._entries.get(entry_id)
        if entry is not None:
            self._drop(entry)
        return entry is not None

    def put_history(self, entries: Sequence[Entry]) -> None:
        """Remember these and nothing else: entries of elsewhere, which are in their order and never change again.

        Of more than `max_deliveries` the newest.
        """
        self.delete(Condition())
        for entry in entries[-self.max_deliveries :]:
            self._entries[entry.id] = entry
            self._waits.changed(entry)

    def clear(self) -> None:
        """Forget everything, as if nothing had been accepted."""
        self.delete(Condition())
        self._unsettled.clear()
        self._owners.clear()
        self._look_idle()

    def owner(self, device_token: str) -> tuple[str, str] | None:
        """Whose device was tried under this token last: its push token, and the full name of its project."""
        return self._owners.get(device_token)

    # -- waiting ----------------------------------------------------------------------------------------------------

    async def wait(self, condition: Condition, *, count: int = 1, timeout_s: float) -> Waited:
        """Until so many entries match at once, or so many seconds of the loop have passed."""
        found = await self._waits.wait(condition, self.find(condition), count=count, timeout_s=timeout_s)
        if len(found) >= count:
            return Waited(is_done=True, found=found)
        return Waited(is_done=False, found=found, near_misses=near_misses(condition, self._entries.values()))

    async def wait_until_idle(self, *, timeout_s: float) -> bool:
        """Whether within so many seconds of the loop everything that was accepted has its receipt.

        A retry counts as unsettled until the clock of the world comes to its due time.
        """
        return not self._unsettled or await self._waits.idle(timeout_s=timeout_s)

    def close(self) -> None:
        """Whoever waits is told that it did not come."""
        self._waits.close()

    # -- being told: by the gateway ---------------------------------------------------------------------------------

    def accepted(
        self,
        batch_id: BatchId,
        *,
        request: SendRequest,
        body: bytes,
        devices: Mapping[str, Device],
        refused: Sequence[TicketError | None],
    ) -> None:
        """The tickets of a batch: at each place an error, or None where the ticket is ok."""
        batch, at = batch_id.hex(), accepted_at(batch_id)
        for place, ((message, token), error) in enumerate(zip(request.recipients(), refused, strict=True)):
            ticket = ticket_id(batch_id, place) if error is None else None
            entry = Entry(
                id=ticket or f"{batch}-{place}",
                ticket_id=ticket,
                batch_id=batch,
                place=place,
                body=body,
                message=message,
                push_token=token,
                device=devices.get(token),
                accepted_at=at,
                refusal=error,
            )
            if not self._is_known(entry.id):  # a dispatcher may have been quicker
                self._enter(entry, "accepted" if error is None else "refused")

    # -- being told: by the dispatcher ------------------------------------------------------------------------------

    def claimed(
        self, claim: Claim, *, place: int, message: PushMessage, push_token: str, device: Device | None
    ) -> None:
        """A delivery that another process accepted, or this one before a restart, is entered here."""
        ticket = ticket_id(claim.batch_id, place)
        if not self._is_known(ticket):
            entry = Entry(
                id=ticket,
                ticket_id=ticket,
                batch_id=claim.batch_id.hex(),
                place=place,
                body=claim.body,
                message=message,
                push_token=push_token,
                device=device,
                accepted_at=accepted_at(claim.batch_id),
            )
            self._enter(entry, "accepted")
        if (known := self._entries.get(ticket)) is not None:
            self._note(known, "claimed")

    def attempt_started(self, ticket_id: str, *, n: int, request: ApnsRequest | FcmRequest | LocalRequest) -> None:
        entry = self._entries.get(ticket_id)
        if entry is not None:
            entry.due_at = None
            entry.attempts.append(Attempt(n=n, request=request, started_at=self._clock()))
            if not isinstance(request, LocalRequest):
                self._note_owner(request.device_token, entry)
            self._note(entry, "attempt_started", n=n)

    def attempt_ended(self, ticket_id: str, *, n: int, outcome: Outcome) -> None:
        entry = self._entries.get(ticket_id)
        if entry is None:
            return
        now = self._clock()
        if not entry.attempts or entry.attempts[-1].ended_at is not None:
            entry.due_at = None
            entry.attempts.append(Attempt(n=n, request=None, started_at=now))
        entry.attempts[-1].outcome, entry.attempts[-1].ended_at = outcome, now
        self._note(entry, "attempt_ended", n=n)

    def held(self, ticket_id: str, *, by: str) -> None:
        entry = self._entries.get(ticket_id)
        if entry is not None:
            self._note(entry, "held", by=by)

    def due_again(self, ticket_id: str, *, due_at: float) -> None:
        entry = self._entries.get(ticket_id)
        if entry is not None:
            entry.due_at = due_at
            self._note(entry, "due_again", due_at=due_at)

    def settled(self, batch_id: BatchId, receipts: Mapping[int, bytes]) -> None:
        for place, receipt in receipts.items():
            ticket = ticket_id(batch_id, place)
            entry = self._entries.get(ticket)
            if entry is not None and entry.receipt is None:
                entry.receipt, entry.due_at = receipt, None
                self._note(entry, "receipt")
            self._unsettled.pop(ticket, None)
        self._look_idle()

    def expired(self, *, before: float) -> None:
        for entry in self:
            if entry.accepted_at < before and entry.expired_at is None and entry.refusal is None:
                entry.expired_at, entry.due_at = self._clock(), None
                self._note(entry, "expired")
        for ticket in [ticket for ticket, at in self._unsettled.items() if at < before]:
            del self._unsettled[ticket]
        self._look_idle()

    # -- writing ----------------------------------------------------------------------------------------------------

    def _is_known(self, entry_id: str) -> bool:
        """Also what was deleted or dropped, and goes on: it does not come back."""
        return entry_id in self._entries or entry_id in self._unsettled

    def _enter(self, entry: Entry, event: EventName) -> None:
        while self._entries and len(self._entries) >= self.max_deliveries:
            self._drop(next(iter(self._entries.values())))
        self._entries[entry.id] = entry
        if entry.ticket_id is not None:
            self._unsettled[entry.ticket_id] = entry.accepted_at
        self._note(entry, event)

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.id]
        self._waits.dropped(entry)

    def _note(self, entry: Entry, event: EventName, **belonging: Unpack[_Belonging]) -> None:
        entry.events.append(Event(at=self._clock(), event=event, **belonging))
        self._waits.changed(entry)

    def _note_owner(self, device_token: str, entry: Entry) -> None:
        if entry.device is not None:
            self._owners[device_token] = entry.push_token, entry.device.project.full_name
            self._owners.move_to_end(device_token)
            if len(self._owners) > self.max_deliveries:
                self._owners.popitem(last=False)

    def _look_idle(self) -> None:
        if not self._unsettled:
            self._waits.has_come_idle()
