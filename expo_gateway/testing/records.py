"""What a run tells: deliveries, devices, captures, receipts. Their fields are those of `openapi.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, cast

from expo_gateway.protocol.push_token import redacted

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Delivery:
    """One message on its way to one recipient."""

    id: str
    """The ticket id; of a refused place one of the gateway's own."""
    ticket_id: str | None
    batch_id: str
    place: int
    state: str
    """pending, in_flight, retrying, delivered, failed or refused."""
    accepted_at: float
    push_token: str
    device: Mapping[str, Any] | None
    project: Mapping[str, Any] | None
    title: str | None
    subtitle: str | None
    body: str | None
    data: Mapping[str, Any] | None
    attempts_made: int
    due_at: float | None
    """When it is tried again."""
    ticket_error: Mapping[str, Any] | None
    receipt: Mapping[str, Any] | None
    expired_at: float | None

    def __repr__(self) -> str:
        told = {"title": self.title, "body": self.body, "push_token": self.push_token, "state": self.state}
        return f"<{type(self).__name__} {shown({**told, 'receipt': self.receipt, 'ticket_error': self.ticket_error})}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DeliveryLife(Delivery):
    """The same with its whole life."""

    message: Mapping[str, Any]
    """As it came, with all its fields and recipients."""
    attempts: Sequence[Mapping[str, Any]]
    """Each with the exact `request` to the provider, and the `answer`."""
    events: Sequence[Mapping[str, Any]]
    captures: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    push_token: str = field(repr=False)
    platform: str
    project: str
    device_token: str = field(repr=False)
    app_id: str
    sandbox: bool
    virtual: bool
    registered_at: float
    unregistered_at: float | None
    """Since when the app is gone from the phone."""
    gone_at: float | None
    """Since when the gateway knows that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A request as the emulator of APNs or FCM read it."""

    id: str
    provider: str
    received_at: float
    path: str = field(repr=False)
    headers: Sequence[Sequence[str]] = field(repr=False)
    """Name and value, as they came."""
    body: Any = field(repr=False)
    """The JSON value; None when it is none, see `text`."""
    text: str | None = field(repr=False)
    device_token: str = field(repr=False)
    push_token: str | None = field(repr=False)
    status: int | None
    """Of the answer; None when there was none."""
    reason: str | None
    answer_id: str | None
    delivery_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFace:
    """What the clock of a run shows."""

    now_at: float
    now: str
    """The same in UTC, as RFC 3339 has it."""
    frozen: bool
    offset_s: float
    """How far ahead of real time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """As getReceipts answers."""

    status: str
    message: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def error(self) -> str | None:
        """Expo's name of it, such as DeviceNotRegistered; None when it is ok."""
        return cast("str | None", self.details.get("error"))


def read(kind: type[Record], told: Mapping[str, Any]) -> Record:
    """Only what we know of: a newer gateway may tell more."""
    return kind(**{known.name: told[known.name] for known in fields(cast(Any, kind)) if known.name in told})


def shown(delivery: Mapping[str, Any]) -> str:
    """A delivery as the control API tells it, on one line: what it says, to whom, and what became of it."""
    said = delivery["title"] if delivery["title"] is not None else delivery["body"]
    error = ((delivery["receipt"] or delivery["ticket_error"] or {}).get("details") or {}).get("error")
    state = delivery["state"] if error is None else f"{delivery['state']}: {error}"
    return f"{said!r} to {redacted(delivery['push_token'])}, {state}"


def ticket_id(ticket: object) -> str:
    """Of an id itself, of a ticket as JSON or as an SDK has it, or of a delivery.

    ValueError: it has none, because the ticket is an error.
    """
    if isinstance(ticket, str):
        found: object = ticket
    elif isinstance(ticket, Delivery):
        found = ticket.ticket_id
    else:
        found = ticket.get("id") if isinstance(ticket, Mapping) else getattr(ticket, "id", None)
    if not isinstance(found, str) or not found:
        raise ValueError("this ticket has no id, so there will be no receipt: it is an error, or no ticket")
    return found
