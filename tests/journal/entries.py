"""Entries as a journal makes them, for tests that begin with something valid and change one thing."""

import json
from hashlib import shake_256
from typing import Any

from expo_gateway.journal.journal import Journal
from expo_gateway.outbox.base import Claim, Pending
from expo_gateway.protocol.device import Device, Platform, Project, virtual_device
from expo_gateway.protocol.message import decode_send_request
from expo_gateway.protocol.ticket import BatchId, batch_id, not_a_recipient, ticket_id

PROJECT = Project(project_id="11111111-1111-4111-8111-111111111111", full_name="@acme/shop")
START = 1_700_000_000.25
TOKEN = "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"
OTHER = "ExponentPushToken[bbbbbbbbbbbbbbbbbbbbbb]"
# What ends at once on an idle machine must not fail on a busy one.
END_S = 5.0


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def device(push_token: str = TOKEN, platform: Platform = Platform.IOS) -> Device:
    return virtual_device(push_token, project=PROJECT, platform=platform, now=START)


def accept(
    journal: Journal, *messages: dict[str, Any], refuse: frozenset[str] = frozenset(), at: float = START, seed: int = 0
) -> BatchId:
    """Tell the journal of a batch. Push tokens to refuse have no device."""
    body = json.dumps(list(messages)).encode()
    request = decode_send_request(body)
    batch = batch_id(now=at, random_bytes=shake_256(b"%d %s" % (seed, body)).digest(8))
    journal.accepted(
        batch,
        request=request,
        body=body,
        devices={token: device(token) for token in request.tokens if token not in refuse},
        refused=[not_a_recipient(token) if token in refuse else None for token in request.tokens],
    )
    return batch


def accept_one(journal: Journal, at: float = START, seed: int = 0, **fields: Any) -> str:
    """The ticket id of a message of its own."""
    return ticket_id(accept(journal, {"to": TOKEN, "title": "Hi", **fields}, at=at, seed=seed), 0)


def settle(journal: Journal, ticket: str, receipt: bytes = b'{"status":"ok"}') -> None:
    entry = journal.get(ticket)
    assert entry is not None
    journal.settled(bytes.fromhex(entry.batch_id), {entry.place: receipt})


def claim(batch: BatchId, body: bytes) -> Claim:
    return Claim(batch_id=batch, project_id=PROJECT.project_id, body=body, pending=(Pending(place=0),))
