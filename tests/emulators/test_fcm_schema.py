"""Names and types of a send request, over the tables in fixtures/fcm."""

import json
from typing import Any

import pytest

from expo_gateway.emulators.faults import Answer
from expo_gateway.emulators.fcm_rules import judge_message
from expo_gateway.emulators.fcm_schema import SendRequest, read_send_request
from tests.emulators.fcm_fixtures import cases


def refusal_of(body: bytes) -> Any:
    """The error JSON of whoever refuses first, the schema or the rules."""
    request = read_send_request(body)
    answer = request if isinstance(request, Answer) else judge_message(request.message)
    assert answer is not None
    assert answer.status == 400
    return json.loads(answer.body or b"")


def read(request: object) -> SendRequest:
    outcome = read_send_request(json.dumps(request).encode())
    assert isinstance(outcome, SendRequest), outcome
    return outcome


@pytest.mark.parametrize("case", cases("refused_requests", "refusals"), ids=lambda case: str(case["name"]))
def test_a_wrong_request_is_refused_in_googles_words(case: dict[str, Any]) -> None:
    assert refusal_of(json.dumps(case["request"]).encode()) == case["body"]


@pytest.mark.parametrize("case", cases("accepted_requests", "accepted"), ids=lambda case: str(case["name"]))
def test_a_right_request_is_accepted(case: dict[str, Any]) -> None:
    assert judge_message(read(case["request"]).message) is None


def test_all_wrong_fields_are_named_at_once() -> None:
    error = refusal_of(b'{"message": {"token": "t", "data": {"a": 1, "b": 2}, "oops": 3}}')["error"]

    assert error["message"].splitlines() == [
        "Invalid value at 'message.data[0].value' (TYPE_STRING), 1",
        "Invalid value at 'message.data[1].value' (TYPE_STRING), 2",
        "Invalid JSON payload received. Unknown name \"oops\" at 'message': Cannot find field.",
    ]
    assert [violation["field"] for violation in error["details"][0]["fieldViolations"]] == [
        "message.data[0].value",
        "message.data[1].value",
        "message",
    ]


def test_a_message_is_read_with_its_proto_names_and_without_nulls() -> None:
    request = read({"message": {"token": "t", "topic": None, "android": {"collapseKey": "c"}}})

    assert request.message == {"token": "t", "android": {"collapse_key": "c"}}


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("yes", True), (1, True), (False, False), ("0", False)])
def test_validate_only_is_any_of_protos_booleans(value: object, expected: bool) -> None:
    assert read({"validateOnly": value, "message": {"token": "t"}}).validate_only is expected


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_an_empty_request(body: bytes) -> None:
    assert refusal_of(body)["error"]["message"] == "Recipient of the message is not set."


def test_a_syntax_error_is_shown_with_twenty_characters_on_either_side() -> None:
    message = refusal_of(b'{"message": {"token": "abc" "topic": "a long name"}}')["error"]["message"]

    assert message == (
        "Invalid JSON payload received. Unexpected token.\n"
        'e": {"token": "abc" "topic": "a long nam\n'
        "                    ^"
    )


def test_the_caret_of_a_syntax_error_stands_under_the_place() -> None:
    _, excerpt, caret = refusal_of(b'{"message": {"token": "abc" "topic": 1}}')["error"]["message"].split("\n")

    assert excerpt[caret.index("^")] == '"'
    assert excerpt[caret.index("^") :].startswith('"topic"')


def test_a_body_that_breaks_off_is_an_unexpected_end() -> None:
    message = refusal_of(b'{"message": {')["error"]["message"]

    assert message == "Invalid JSON payload received. Unexpected end of string. Expected a value.\n\n^"


def test_a_syntax_error_carries_a_bad_request_without_a_field() -> None:
    [detail] = refusal_of(b"{]")["error"]["details"]

    assert [list(violation) for violation in detail["fieldViolations"]] == [["description"]]
