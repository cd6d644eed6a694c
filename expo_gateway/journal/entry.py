"""An entry: what is remembered of one delivery, from its ticket to its receipt."""

from enum import StrEnum
from typing import Any, Literal

import msgspec

from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.device import Device
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.message import PushMessage, decode_json
from expo_gateway.protocol.receipt import is_ok
from expo_gateway.protocol.stored import plain_body
from expo_gateway.protocol.ticket import TicketError
from expo_gateway.providers.base import Outcome


class State(StrEnum):
    PENDING = "pending"
    """It was not tried yet."""
    IN_FLIGHT = "in_flight"
    RETRYING = "retrying"
    """It was tried, and waits for its next attempt."""
    DELIVERED = "delivered"
    """The provider took it, and the receipt that says so can be had."""
    FAILED = "failed"
    """The receipt that can be had is an error."""
    REFUSED = "refused"
    """The ticket was an error."""


EventName = Literal[
    "accepted", "refused", "claimed", "attempt_started", "attempt_ended", "held", "due_again", "receipt", "expired"
]


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A step on the way. As JSON it has what belongs to it only."""

    at: float
    event: EventName
    n: int | None = None
    """Of the attempt that started or ended."""
    by: str | None = None
    """What held it: `lapsed`, `paused` or `breaker`."""
    due_at: float | None = None


# Structs, because every delivery has them: see ApnsRequest.
class Attempt(msgspec.Struct, kw_only=True, eq=False):
    n: int
    """From 1, over restarts too."""
    request: ApnsRequest | FcmRequest | LocalRequest | None
    """None: it was refused here, before there was one."""
    started_at: float
    ended_at: float | None = None
    outcome: Outcome | None = None

    def __repr__(self) -> str:
        return f"<attempt {self.n}>"  # the request names a device token


class Entry(msgspec.Struct, kw_only=True, eq=False):
    """Readers leave it as it is; the journal goes on writing it."""

    id: str
    """The ticket id; a refused place has no ticket, and `<batch id>-<place>` here."""
    ticket_id: str | None
    batch_id: str
    """Hexadecimal, as logs have it."""
    place: int
    body: bytes
    """The request that the message came in, as it arrived; the entries of a batch share it."""
    message: PushMessage
    push_token: str
    device: Device | None
    """None: nobody holds the push token."""
    accepted_at: float
    refusal: TicketError | None = None
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    due_at: float | None = None
    """When it is tried again; None when it is not waiting for that."""
    receipt: bytes | None = None
    """Receipt JSON, once the outbox has it."""
    expired_at: float | None = None
    """When the outbox forgot it: there is no receipt to be had from then on."""
    events: list[Event] = msgspec.field(default_factory=list)

    def __repr__(self) -> str:
        return f"<entry {self.id}>"  # the rest names tokens

    @property
    def state(self) -> State:
        if self.refusal is not None:
            return State.REFUSED
        if self.receipt is not None:
            return State.DELIVERED if is_ok(self.receipt) else State.FAILED
        if not self.attempts:
            return State.PENDING
        return State.IN_FLIGHT if self.attempts[-1].ended_at is None else State.RETRYING

    def raw_message(self) -> dict[str, object]:
        """The message as the client wrote it, with all its recipients and fields that we don't know."""
        decoded: Any = decode_json(plain_body(self.body))
        messages: list[dict[str, object]] = decoded if isinstance(decoded, list) else [decoded]
        left = self.place
        for message in messages:
            to = message["to"]
            recipients = len(to) if isinstance(to, list) else 1
            if left < recipients:
                return message
            left -= recipients
        raise LookupError(f"batch {self.batch_id} has no place {self.place}")
