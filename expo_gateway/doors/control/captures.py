"""Captures: what the emulators received, as it stood on the wire."""

from typing import Final, Literal

import orjson
from msgspec import Struct

from expo_gateway.doors.control.answers import Reply, deleted, no_such
from expo_gateway.doors.control.conditions import DEFAULT_LIMIT, Id, Limit, page
from expo_gateway.doors.control.forms import instant
from expo_gateway.doors.control.joins import Deliveries, NumberedCapture
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.emulators.inbox import Capture
from expo_gateway.world import World


class _List(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: Literal["apns", "fcm"] | None = None
    to: str | None = None
    device_token: str | None = None
    since: str | None = None
    limit: Limit = DEFAULT_LIMIT
    after: Id | None = None


async def list_captures(asked: Asked) -> Reply:
    query = asked.query_as(_List)
    since = 0.0 if query.since is None else instant(query.since, "since", is_query=True)
    deliveries = Deliveries(asked.world.journal)
    found = [
        (number, capture)
        for number, capture in asked.world.emulated.inbox.numbered(after=_number(query.after))
        if query.provider in (None, capture.emulator)
        and query.device_token in (None, capture.device_token)
        and query.to in (None, push_token_of(capture, deliveries, asked.world))
        and capture.received_at >= since
    ][: query.limit + 1]
    values: list[object] = [view(one, deliveries, asked.world) for one in found]
    return page("captures", values, [str(number) for number, _ in found], limit=query.limit)


async def get_capture(asked: Asked) -> Reply:
    asked.no_query()
    number = _number(asked.parameters["id"])
    capture = asked.world.emulated.inbox.get(number)
    if capture is None:
        raise no_such("capture; a run keeps the newest ones only")
    return Reply(value=view((number, capture), Deliveries(asked.world.journal), asked.world))


async def forget_captures(asked: Asked) -> Reply:
    asked.no_query()
    inbox = asked.world.emulated.inbox
    return deleted(inbox.remove(number for number, _ in inbox.numbered()))


def view(numbered: NumberedCapture, deliveries: Deliveries, world: World) -> dict[str, object]:
    number, capture = numbered
    body, text = _body(capture.body)
    delivery = deliveries.of(capture)
    return {
        "id": str(number),
        "provider": capture.emulator,
        "received_at": capture.received_at,
        "path": capture.path,
        "headers": capture.headers,
        "body": body,
        "text": text,
        "device_token": capture.device_token,
        "push_token": push_token_of(capture, deliveries, world),
        "status": capture.status or None,
        "reason": capture.reason or None,
        "answer_id": capture.answer_id or None,
        "delivery_id": None if delivery is None else delivery.id,
    }


def push_token_of(capture: Capture, deliveries: Deliveries, world: World) -> str | None:
    """Of the delivery, of the newest one to the device, or of whom the world knows to have it."""
    delivery = deliveries.of(capture)
    if delivery is not None:
        return delivery.push_token
    owner = world.emulated.owner_of(capture.device_token) if capture.device_token else None
    return owner.push_token if owner is not None else deliveries.push_token_of(capture)


def _body(body: bytes) -> tuple[object, str | None]:
    """The JSON value, or the text where it is none."""
    try:
        return orjson.loads(body), None
    except orjson.JSONDecodeError:
        return None, body.decode("utf-8", "replace")


def _number(capture_id: str | None) -> int:
    """0, which no capture has, for what is no number."""
    is_number = capture_id is not None and capture_id.isascii() and capture_id.isdecimal() and len(capture_id) < 19
    return int(capture_id or 0) if is_number else 0


OPERATIONS: Final = (
    Operation(method="GET", path="/captures", answer=list_captures),
    Operation(method="DELETE", path="/captures", answer=forget_captures),
    Operation(method="GET", path="/captures/{id}", answer=get_capture),
)
