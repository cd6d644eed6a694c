"""Entries made of what `views.life` wrote: history that was exported, to be looked at again. Nothing of it is sent.

What the JSON does not say of an outcome (the receipt that it stood for, its back-off) nobody asks of history.
"""

from typing import Literal
from urllib.parse import unquote

import msgspec
import orjson
from msgspec import Struct

from expo_gateway.errors import RequestRefused
from expo_gateway.journal.entry import Attempt, Entry, Event, State
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.device import Device, Platform, Project
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.message import decode_send_request
from expo_gateway.protocol.receipt import expo_error
from expo_gateway.protocol.ticket import TicketError
from expo_gateway.providers.base import Accepted, Backoff, Outcome, Rejected, Uncertain, Unsent

_NO_RECEIPT = expo_error("imported")
_NO_BACKOFF = Backoff(first_s=0)


class _Form(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Device(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True):
    platform: Platform
    device_token: str
    app_id: str
    sandbox: bool
    virtual: bool


class _Project(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project_id: str
    full_name: str


class _Apns(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="provider", tag="apns"):
    sandbox: bool
    path: str
    headers: dict[str, str]
    payload: dict[str, object]


class _FcmMessage(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token: str
    data: dict[str, str] = {}
    android: dict[str, object] = {}
    notification: dict[str, str] | None = None
    apns: dict[str, object] | None = None
    webpush: dict[str, object] | None = None
    fcm_options: dict[str, object] | None = None


class _FcmBody(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True):
    message: _FcmMessage
    validate_only: bool = False


class _Fcm(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="provider", tag="fcm"):
    body: _FcmBody


class _Local(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="provider", tag="local"):
    registration_id: str
    event: dict[str, object]


class _Outcome(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True):
    outcome: Literal["accepted", "rejected", "unsent", "uncertain"]
    provider_id: str = ""
    reason: str = ""
    status: int = 0
    why: str = ""


class _Attempt(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True):
    n: int
    started_at: float
    ended_at: float | None
    request: _Apns | _Fcm | _Local | None
    answer: _Outcome | None


class _ErrorDetails(Struct, frozen=True, kw_only=True):
    error: str
    expoPushToken: str | None = None
    fault: str | None = None


class _TicketError(Struct, frozen=True, kw_only=True):
    message: str
    details: _ErrorDetails


class Life(_Form, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A delivery as `views.life` shows it. `state` and what else follows from the rest is not believed."""

    id: str
    ticket_id: str | None
    batch_id: str
    place: int
    state: State
    accepted_at: float
    push_token: str
    device: _Device | None
    project: _Project | None
    title: str | None
    subtitle: str | None
    body: str | None
    data: dict[str, object] | None
    attempts_made: int
    due_at: float | None
    ticket_error: _TicketError | None
    receipt: dict[str, object] | None
    expired_at: float | None
    message: dict[str, object]
    attempts: list[_Attempt]
    events: list[Event]
    captures: list[str] = []


def entry_of(life: Life) -> Entry:
    """ValueError: its message is none, or its place is none of a batch."""
    if not 0 <= life.place < 4096:
        raise ValueError(f"place is {life.place}, wanted 0 to 4095")
    try:
        message = decode_send_request(orjson.dumps(life.message)).messages[0]
    except RequestRefused as error:
        raise ValueError(f"message: {error.message}") from None
    return Entry(
        id=life.id,
        ticket_id=life.ticket_id,
        batch_id=life.batch_id,
        place=life.place,
        body=_body(life),
        message=message,
        push_token=life.push_token,
        device=_device(life),
        accepted_at=life.accepted_at,
        refusal=None if life.ticket_error is None else _refusal(life.ticket_error),
        attempts=[_attempt(attempt, life) for attempt in life.attempts],
        due_at=life.due_at,
        receipt=None if life.receipt is None else orjson.dumps(life.receipt),
        expired_at=life.expired_at,
        events=list(life.events),
    )


def _body(life: Life) -> bytes:
    """With one message in place of those that came before: an entry finds its own by counting recipients."""
    before = [{"to": [""] * life.place}] if life.place else []
    return orjson.dumps([*before, life.message])


def _device(life: Life) -> Device | None:
    if life.device is None or life.project is None:
        return None
    project = Project(project_id=life.project.project_id, full_name=life.project.full_name)
    return Device(
        push_token=life.push_token,
        project=project,
        registered_at=life.accepted_at,
        **msgspec.structs.asdict(life.device),
    )


def _refusal(error: _TicketError) -> TicketError:
    details = error.details
    return TicketError(
        message=error.message, error=details.error, push_token=details.expoPushToken, fault=details.fault
    )


def _attempt(attempt: _Attempt, life: Life) -> Attempt:
    return Attempt(
        n=attempt.n,
        request=_request(attempt, life),
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        outcome=None if attempt.answer is None else _outcome(attempt.answer),
    )


def _request(attempt: _Attempt, life: Life) -> ApnsRequest | FcmRequest | LocalRequest | None:
    request = attempt.request
    if request is None:
        return None
    if isinstance(request, _Fcm):
        return _fcm_request(request.body.message)
    if isinstance(request, _Local):
        event = msgspec.Raw(orjson.dumps(request.event))
        return LocalRequest(ticket_id=life.id, registration_id=request.registration_id, event=event, attempt=attempt.n)
    headers = request.headers
    expiration, priority = headers.get("apns-expiration"), headers.get("apns-priority", "10")
    return ApnsRequest(
        apns_id=headers.get("apns-id", life.id),
        device_token=unquote(request.path.removeprefix("/3/device/")),
        sandbox=request.sandbox,
        topic=headers.get("apns-topic", ""),
        push_type=headers.get("apns-push-type", ""),
        priority=int(priority),
        expiration=None if expiration is None else int(expiration),
        collapse_id=headers.get("apns-collapse-id"),
        payload=orjson.dumps(request.payload),
    )


def _fcm_request(message: _FcmMessage) -> FcmRequest:
    others = {"apns": message.apns, "webpush": message.webpush, "fcm_options": message.fcm_options}
    return FcmRequest(
        device_token=message.token,
        notification=message.notification,
        data=message.data,
        android=message.android,
        others={name: part for name, part in others.items() if part is not None},
    )


def _outcome(answer: _Outcome) -> Outcome:
    match answer.outcome:
        case "accepted":
            return Accepted(provider_id=answer.provider_id)
        case "rejected":
            return Rejected(reason=answer.reason, status=answer.status, receipt=_NO_RECEIPT)
        case "unsent":
            return Unsent(why=answer.why, receipt=_NO_RECEIPT, backoff=_NO_BACKOFF)
        case _:
            return Uncertain(why=answer.why, receipt=_NO_RECEIPT, backoff=_NO_BACKOFF)
