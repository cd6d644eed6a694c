"""Error bodies against the captured ones in fixtures/fcm/errors.json."""

import json
from typing import Any

import pytest

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Answer
from tests.emulators.fcm_fixtures import cases

ERRORS = cases("errors", "errors")


def body_of(answer: Answer) -> Any:
    assert answer.body is not None
    return json.loads(answer.body)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: str(case["name"]))
def test_a_constructor_yields_the_body_of_its_fixture(case: dict[str, Any]) -> None:
    answer: Answer = getattr(fcm_errors, case["name"])(*case.get("arguments", []))

    assert (answer.status, body_of(answer)) == (case["status"], case["body"])


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: str(case["name"]))
def test_members_stand_in_the_captured_order(case: dict[str, Any]) -> None:
    answer: Answer = getattr(fcm_errors, case["name"])(*case.get("arguments", []))

    assert json.dumps(body_of(answer)) == json.dumps(case["body"])


def test_every_code_of_the_reference_has_a_constructor() -> None:
    codes = {detail.get("errorCode") for case in ERRORS for detail in case["body"]["error"].get("details", [])} - {None}

    assert codes == {
        "UNSPECIFIED_ERROR",
        "INVALID_ARGUMENT",
        "UNREGISTERED",
        "SENDER_ID_MISMATCH",
        "QUOTA_EXCEEDED",
        "UNAVAILABLE",
        "INTERNAL",
        "THIRD_PARTY_AUTH_ERROR",
    }


def test_bodies_are_printed_as_googles_front_end_prints_them() -> None:
    assert fcm_errors.not_found().body == (
        b'{\n  "error": {\n    "code": 404,\n    "message": "Requested entity was not found.",\n'
        b'    "status": "NOT_FOUND"\n  }\n}\n'
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fcm_errors.unregistered(), "UNREGISTERED"),
        (fcm_errors.sender_id_mismatch(), "SENDER_ID_MISMATCH"),
        (fcm_errors.permission_denied("p"), "PERMISSION_DENIED"),
        (fcm_errors.access_token_expired(), "ACCESS_TOKEN_EXPIRED"),
        (fcm_errors.access_token_invalid(), "UNAUTHENTICATED"),
        (fcm_errors.quota_exceeded("1"), "RESOURCE_EXHAUSTED"),
        (fcm_errors.too_big(), "INVALID_ARGUMENT"),
        (fcm_errors.front_end_error(502), "HTTP_502"),
    ],
)
def test_the_reason_is_the_most_telling_code_of_the_body(answer: Answer, reason: str) -> None:
    assert answer.reason == reason


@pytest.mark.parametrize(
    "answer",
    [
        fcm_errors.unavailable(retry_after_s=30),
        fcm_errors.quota_exceeded("1", retry_after_s=30),
        fcm_errors.quota_exceeded_as_documented(retry_after_s=30),
    ],
)
def test_retry_after_is_a_header_when_it_is_asked_for(answer: Answer) -> None:
    assert ("retry-after", "30") in answer.headers


@pytest.mark.parametrize(
    "answer",
    [fcm_errors.credentials_missing(), fcm_errors.access_token_expired(), fcm_errors.access_token_invalid()],
)
def test_refused_credentials_come_with_a_challenge(answer: Answer) -> None:
    assert dict(answer.headers)["www-authenticate"].startswith('Bearer realm="https://accounts.google.com/"')


def test_a_front_end_error_is_a_page_and_not_json() -> None:
    answer = fcm_errors.front_end_error(502)

    assert dict(answer.headers)["content-type"].startswith("text/html")
    assert (answer.body or b"").startswith(b"<!DOCTYPE html>")


def test_a_bare_reason_becomes_an_envelope_with_that_code() -> None:
    error = body_of(fcm_errors.from_reason(503, "UNAVAILABLE"))["error"]

    assert (error["code"], error["status"], error["details"][0]["errorCode"]) == (503, "UNAVAILABLE", "UNAVAILABLE")
