"""Entries as JSON. What they say was sent is what the providers write."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hpack import Decoder

from expo_gateway.journal import views
from expo_gateway.journal.journal import Journal
from expo_gateway.journal.query import Condition, near_misses
from expo_gateway.protocol.apns import build_apns_request
from expo_gateway.protocol.device import Platform
from expo_gateway.protocol.fcm import build_fcm_request
from expo_gateway.protocol.message import PushMessage, decode_send_request
from expo_gateway.protocol.receipt import apns_dropped
from expo_gateway.protocol.ticket import ticket_id
from expo_gateway.providers.apns_headers import HeaderBlocks
from expo_gateway.providers.base import Accepted, Backoff, Outcome, Rejected, Uncertain, Unsent
from expo_gateway.providers.fcm_credentials import read_service_account
from expo_gateway.providers.fcm_message import FcmMessages
from tests.journal.entries import OTHER, START, TOKEN, Clock, accept, accept_one, device, settle
from tests.providers.scripted_fcm import service_account

RICH = {"title": "Hi", "body": "there", "data": {"a": 1}, "ttl": 60, "priority": "high", "collapseId": "c"}
HEADLESS = {"data": {"a": "ü"}}
BARE: dict[str, Any] = {}


@pytest.fixture
def journal() -> Journal:
    return Journal(clock=Clock())


def message_of(fields: dict[str, Any]) -> PushMessage:
    return decode_send_request(json.dumps({"to": TOKEN, **fields}).encode()).messages[0]


@pytest.mark.parametrize("fields", [RICH, HEADLESS, BARE])
def test_an_apns_request_is_shown_as_the_provider_writes_it(fields: dict[str, Any]) -> None:
    request = build_apns_request(message_of(fields), device(), apns_id="an-id", accepted_at=START)
    block = HeaderBlocks(authority="api.push.apple.com").block(request, authorization="bearer x")
    sent = {name.decode(): value.decode() for name, value in Decoder().decode(block, raw=True)}

    shown: Any = views.apns_request(request)

    assert shown["path"] == sent[":path"]
    assert shown["headers"] == {name: value for name, value in sent.items() if name.startswith("apns-")}
    assert orjson.dumps(shown["payload"]) == request.payload


@pytest.mark.parametrize("fields", [RICH, HEADLESS, BARE])
def test_an_fcm_request_is_shown_as_the_provider_writes_it(fields: dict[str, Any]) -> None:
    phone = device(platform=Platform.ANDROID)
    request = build_fcm_request(message_of(fields), phone, accepted_at=START, now=START)
    credentials = read_service_account(service_account("http://127.0.0.1:1/token"))
    body = FcmMessages(credentials=credentials, endpoint="https://fcm.googleapis.com").body(request)

    assert views.fcm_request(request) == {"provider": "fcm", "body": json.loads(body)}


REJECTED = Rejected(reason="Unregistered", status=410, receipt=apns_dropped())
UNSENT = Unsent(why="no connection", receipt=apns_dropped(), backoff=Backoff(first_s=1))
UNCERTAIN = Uncertain(why="lost", receipt=apns_dropped(), backoff=Backoff(first_s=1))


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (Accepted(provider_id="x"), {"outcome": "accepted", "provider_id": "x"}),
        (REJECTED, {"outcome": "rejected", "reason": "Unregistered", "status": 410}),
        (UNSENT, {"outcome": "unsent", "why": "no connection"}),
        (UNCERTAIN, {"outcome": "uncertain", "why": "lost"}),
    ],
)
def test_an_outcome_is_shown_with_what_the_provider_said(outcome: Outcome, shown: dict[str, object]) -> None:
    assert views.outcome(outcome) == shown


def test_a_life_is_json_and_has_everything(journal: Journal) -> None:
    ticket = accept_one(journal, data={"a": 1}, unknown="kept")
    (entry,) = journal
    request = build_apns_request(entry.message, device(), apns_id=ticket, accepted_at=START)
    journal.attempt_started(ticket, n=1, request=request)
    journal.attempt_ended(ticket, n=1, outcome=Accepted(provider_id="u"))
    settle(journal, ticket)

    life: Any = json.loads(orjson.dumps(views.life(entry)))

    assert (life["id"], life["state"], life["data"], life["receipt"]) == (
        ticket,
        "delivered",
        {"a": 1},
        {"status": "ok"},
    )
    assert life["message"] == {"to": TOKEN, "title": "Hi", "data": {"a": 1}, "unknown": "kept"}
    assert life["device"]["platform"] == "ios"
    assert life["project"]["full_name"] == "@acme/shop"
    (attempt,) = life["attempts"]
    assert attempt["request"]["headers"]["apns-id"] == ticket
    assert attempt["answer"] == {"outcome": "accepted", "provider_id": "u"}
    assert life["events"] == [
        {"at": START, "event": "accepted"},
        {"at": START, "event": "attempt_started", "n": 1},
        {"at": START, "event": "attempt_ended", "n": 1},
        {"at": START, "event": "receipt"},
    ]


def test_a_refused_place_shows_its_ticket_error(journal: Journal) -> None:
    accept(journal, {"to": TOKEN}, refuse=frozenset({TOKEN}))

    shown: Any = views.summary(next(iter(journal)))

    assert (shown["state"], shown["ticket_id"], shown["device"], shown["project"]) == ("refused", None, None, None)
    assert shown["ticket_error"]["details"]["error"] == "DeviceNotRegistered"


def test_a_near_miss_shows_the_delivery_and_what_it_failed(journal: Journal) -> None:
    ticket = accept_one(journal)

    shown: Any = [views.near_miss(near) for near in near_misses(Condition(title="Ho"), journal)]

    assert [(one["delivery"]["id"], one["misses"]) for one in shown] == [
        (
            ticket,
            [{"part": "title", "wanted": "Ho", "got": "Hi", "is_missing": False, "why": 'title is "Hi", wanted "Ho"'}],
        )
    ]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_message_of_a_place_is_found_in_the_body_as_it_arrived(
    journal: Journal, pack: Callable[[bytes], bytes]
) -> None:
    batch = accept(journal, {"to": [TOKEN, OTHER], "n": 1}, {"to": TOKEN, "n": 2}, {"to": [OTHER], "n": 3})
    for entry in journal:
        entry.body = pack(entry.body)

    numbers = [entry.raw_message()["n"] for entry in journal]

    assert numbers == [1, 1, 2, 3]
    assert journal.get(ticket_id(batch, 3)) is not None


def test_a_bare_message_is_found_too(journal: Journal) -> None:
    accept_one(journal, title="bare")
    (entry,) = journal
    entry.body = b'{"to":"%s","title":"bare"}' % TOKEN.encode()

    assert entry.raw_message() == {"to": TOKEN, "title": "bare"}
