"""Home Assistant's WebSocket API without a socket: every transcript of fixtures/home_assistant, and its bounds."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from expo_gateway.protocol.home_assistant.websocket import (
    MAX_AUTH_CHARS,
    MAX_SUBSCRIPTIONS,
    MAX_TEXT_CHARS,
    Authenticate,
    Confirm,
    Conversation,
    End,
    Listen,
    Say,
    Unsubscribe,
    channel_not_found,
    joined,
    not_linked,
    pushed,
    result,
    webhook_not_found,
)
from tests import evidence

TRANSCRIPTS = [name for name in evidence.names("home_assistant") if name.startswith("websocket_")]
VALUES = {
    "<token>": "a.good.token",
    "<webhook id>": "ours",
    "<webhook id of another>": "theirs",
    "<confirm id>": "0123456789abcdef0123456789abcdef",
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_conversation_goes_as_it_was_seen(name: str) -> None:
    fixture = evidence.filled(evidence.load("home_assistant", name), VALUES)
    door = Door()

    for who, said in fixture["frames"]:
        match who:
            case "client":
                door.hear(said)
            case "notify":
                door.notify(json.loads(said))
            case "server":
                assert evidence.pattern(said).fullmatch(next(door.said)), said
            case "close":
                assert door.is_closed
    assert next(door.said, None) is None


def test_every_transcript_says_where_it_is_from_and_when_it_was_seen() -> None:
    assert all({"source", "seen"} <= evidence.load("home_assistant", name).keys() for name in TRANSCRIPTS)


def test_a_token_that_is_longer_than_home_assistant_reads_ends_the_conversation_without_a_word() -> None:
    talk = Conversation(ha_version="2026.11.0")

    assert talk.receive(json.dumps({"type": "auth", "access_token": "x" * MAX_AUTH_CHARS})) == (End(),)


def test_a_text_over_the_bound_ends_the_conversation_without_a_word() -> None:
    talk = admitted()

    assert talk.receive(json.dumps({"id": 1, "type": "x" * MAX_TEXT_CHARS})) == (End(),)


def test_a_binary_frame_before_the_token_ends_the_conversation() -> None:
    assert Conversation(ha_version="2026.11.0").receive_bytes() == (End(),)


def test_a_binary_frame_after_the_token_is_ignored() -> None:
    assert admitted().receive_bytes() == ()


def test_nothing_is_heard_after_the_end() -> None:
    talk = admitted()
    talk.receive("{")

    assert talk.receive('{"id":1,"type":"ping"}') == ()


def test_a_secret_stays_out_of_what_is_logged() -> None:
    talk = Conversation(ha_version="2026.11.0")
    (asked,) = talk.receive('{"type":"auth","access_token":"secret.of.mine"}')
    talk.admit()
    (listens,) = talk.receive(
        '{"id":1,"type":"mobile_app/push_notification_channel","webhook_id":"secret","support_confirm":true}'
    )

    assert "secret" not in f"{asked!r} {listens!r}"


def test_an_error_about_a_malformed_token_does_not_repeat_it() -> None:
    talk = Conversation(ha_version="2026.11.0")

    said, _ = talk.receive('{"type":"auth","access_token":["secret.of.mine"]}')

    assert isinstance(said, Say)
    assert b"secret" not in said.frame


@pytest.mark.parametrize("id_", ["[" * 500 + "]" * 500, '{"a":1}', "1e999", "18446744073709551616", '"\\u0000"'])
def test_an_id_that_is_none_is_answered_all_the_same(id_: str) -> None:
    for said in admitted().receive(f'{{"id":{id_},"type":"ping"}}'):
        assert isinstance(said, Say | End)


def test_subscriptions_of_one_connection_are_bounded() -> None:
    talk = admitted()
    for id_ in range(1, MAX_SUBSCRIPTIONS + 1):
        (command,) = talk.receive(json.dumps({"id": id_, **LISTENS}))
        assert isinstance(command, Listen)
        talk.opened(command)

    (refused,) = talk.receive(json.dumps({"id": MAX_SUBSCRIPTIONS + 1, **LISTENS}))

    assert isinstance(refused, Say)
    assert json.loads(refused.frame)["error"]["code"] == "not_allowed"


def test_an_array_of_commands_is_read_one_by_one_as_each_was_answered() -> None:
    door = Door()
    door.talk.admit()
    door.frames.clear()

    door.hear(json.dumps([{"id": 1, **LISTENS}, {"id": 2, "type": "unsubscribe_events", "subscription": 1}]))

    assert door.frames == [result(1), result(2)]


def test_several_messages_become_one_array_and_a_single_one_stays_an_object() -> None:
    (both,) = joined([result(1), result(2)])

    assert json.loads(both) == [json.loads(result(1)), json.loads(result(2))]
    assert joined([result(1)]) == [result(1)]


def test_the_answer_to_an_authentication_stays_alone_for_who_asked_for_arrays_in_the_same_breath() -> None:
    talk = Conversation(ha_version="2026.11.0")
    admitted = talk.admit()

    assert joined([admitted, result(1)]) == [admitted, result(1)]
    assert joined([admitted, result(1), result(2)]) == [admitted, b"[" + result(1) + b"," + result(2) + b"]"]


def test_messages_coalesce_only_once_the_client_asked_for_it() -> None:
    talk = admitted()
    before = talk.coalesces
    talk.receive('{"id":1,"type":"supported_features","features":{"coalesce_messages":1}}')

    assert (before, talk.coalesces) == (False, True)


def test_features_without_coalescing_turn_it_off() -> None:
    talk = admitted()
    talk.receive('{"id":1,"type":"supported_features","features":{"coalesce_messages":1}}')
    talk.receive('{"id":2,"type":"supported_features","features":{}}')

    assert not talk.coalesces


LISTENS = {"type": "mobile_app/push_notification_channel", "webhook_id": "ours"}


def admitted() -> Conversation:
    talk = Conversation(ha_version="2026.11.0")
    talk.admit()
    return talk


class Door:
    """Acts on events as the real one does, with one registration and one confirm at a time."""

    def __init__(self) -> None:
        self.talk = Conversation(ha_version="2026.11.0")
        self.is_closed = False
        self.channel: Listen | None = None
        self.waits = False
        self.frames = [self.talk.greet()]
        self.said = self._said()

    def _said(self) -> Iterator[str]:
        while self.frames:
            yield self.frames.pop(0).decode()

    def hear(self, text: str) -> None:
        for event in self.talk.receive(text):
            match event:
                case Say():
                    self.frames.append(event.frame)
                case Authenticate(access_token="a.good.token"):
                    self.frames.append(self.talk.admit())
                case Authenticate():
                    self.frames.append(self.talk.refuse())
                    self.is_closed = True
                case Listen(webhook_id="ours"):
                    self.channel = event
                    self.frames.append(self.talk.opened(event))
                case Listen(webhook_id="theirs"):
                    self.frames.append(not_linked(event.id))
                case Listen():
                    self.frames.append(webhook_not_found(event.id))
                case Confirm():
                    self.frames.append(result(event.id) if self.waits else channel_not_found(event.id))
                    self.waits = False
                case Unsubscribe():
                    self.frames.append(result(event.id))
                case End():
                    self.is_closed = True

    def notify(self, event: Mapping[str, Any]) -> None:
        assert self.channel is not None
        self.waits = self.channel.support_confirm
        confirm = {"hass_confirm_id": VALUES["<confirm id>"]} if self.waits else {}
        body = json.dumps({**event, **confirm}, separators=(",", ":"))
        self.frames.append(pushed(self.channel.id, body.encode()))
