import pytest

from expo_gateway.commands.api_answers import (
    MAX_TRIES,
    Data,
    Failure,
    Refused,
    read_answer,
    retry_after_s,
    try_again_in_s,
)

NOW = 1_800_000_000.0


def answer(status: int, body: bytes, retry_after: str | None = None) -> Data | Refused | Failure:
    return read_answer(status, body, retry_after=retry_after, now=NOW)


def test_data_is_what_stands_under_data() -> None:
    assert answer(200, b'{"data":[1]}') == Data(value=[1])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_server_is_asked_again(status: int) -> None:
    failure = answer(status, b'{"errors":[{"code":"X","message":"Too much."}]}', "7")

    assert failure == Failure(why=f"it answered {status}: Too much.", retry_after_s=7.0)


@pytest.mark.parametrize("status", [502, 504])
def test_a_request_may_be_accepted_though_a_proxy_says_it_failed(status: int) -> None:
    failure = answer(status, b"<html>")

    assert isinstance(failure, Failure)
    assert failure.lost


def test_a_refused_request_is_not_asked_again() -> None:
    refused = answer(403, b'{"errors":[{"code":"UNAUTHORIZED","message":"No."}]}')

    assert refused == Refused(status=403, code="UNAUTHORIZED", message="No.")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b'{"error":"invalid_token"}'),
        (404, b'{"errors":[{"code":"NOT_FOUND"}]}'),
        (200, b"<html>hello"),
        (301, b""),
        (400, b"no"),
    ],
)
def test_what_is_wrong_for_every_request_is_final(status: int, body: bytes) -> None:
    failure = answer(status, body)

    assert isinstance(failure, Failure)
    assert failure.final


def test_pauses_grow_and_end() -> None:
    pauses = [try_again_in_s(Failure(why=""), tries=tries, reached=True, dice=0.0) for tries in range(1, MAX_TRIES + 1)]

    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, None]


def test_retry_after_wins_over_our_own_pause_up_to_a_minute() -> None:
    asked = [
        try_again_in_s(Failure(why="", retry_after_s=seconds), tries=1, reached=True, dice=0.5)
        for seconds in (0, 9, 999)
    ]

    assert asked == [0, 9, 60]


def test_a_server_that_never_answered_is_given_up_soon() -> None:
    assert try_again_in_s(Failure(why=""), tries=3, reached=False, dice=0.5) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("12", 12.0),
        ("soon", None),
        ("-1", None),
        ("Fri, 15 Jan 2027 08:00:10 GMT", 10.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, expected: float | None) -> None:
    assert retry_after_s(header, now=NOW) == expected
