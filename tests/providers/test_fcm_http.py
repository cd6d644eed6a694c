"""Requests and answers as bytes, whole and in pieces."""

import pytest

from expo_gateway.errors import SettingsError
from expo_gateway.providers.fcm_http import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    AnswerReader,
    HttpAnswer,
    NotHttp,
    post_target,
)

URL = "https://fcm.googleapis.com/v1/projects/p/messages:send"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"name": "n"}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(data: bytes) -> HttpAnswer | None:
    return AnswerReader().feed(data)


def whole(data: bytes) -> HttpAnswer:
    answer = read(data)
    assert answer is not None
    return answer


def read_by_byte(data: bytes) -> HttpAnswer:
    reader = AnswerReader()
    for at in range(len(data) - 1):
        assert reader.feed(data[at : at + 1]) is None
    answer = reader.feed(data[-1:])
    assert answer is not None
    return answer


def ended(data: bytes) -> HttpAnswer | None:
    reader = AnswerReader()
    assert reader.feed(data) is None
    return reader.end()


# Requests.


def test_a_request_has_what_fcm_wants_and_no_more() -> None:
    assert post_target(URL).request(b"{}", bearer="ya29.x") == (
        b"POST /v1/projects/p/messages:send HTTP/1.1\r\n"
        b"Host: fcm.googleapis.com\r\n"
        b"User-Agent: expo-gateway\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Content-Type: application/json\r\n"
        b"Authorization: Bearer ya29.x\r\n"
        b"Content-Length: 2\r\n"
        b"\r\n"
        b"{}"
    )


@pytest.mark.parametrize(
    ("url", "host", "port", "named"),
    [
        ("https://fcm.test/x", "fcm.test", 443, b"fcm.test"),
        ("http://fcm.test/x", "fcm.test", 80, b"fcm.test"),
        ("http://127.0.0.1:8080/x", "127.0.0.1", 8080, b"127.0.0.1:8080"),
        ("https://[::1]:8443/x", "::1", 8443, b"[::1]:8443"),
        ("https://me:secret@fcm.test/x", "fcm.test", 443, b"fcm.test"),
    ],
)
def test_a_url_says_where_to_connect_and_what_host_is_named(url: str, host: str, port: int, named: bytes) -> None:
    target = post_target(url)

    assert (target.host, target.port) == (host, port)
    assert b"\r\nHost: %b\r\n" % named in target.head


@pytest.mark.parametrize(
    "url",
    ["fcm.test/x", "ftp://fcm.test/x", "https:///x", "https://fcm.test:no/x", "https://fcm.test/ä", "https://a/ b"],
)
def test_what_is_no_url_is_a_mistake_in_the_settings(url: str) -> None:
    with pytest.raises(SettingsError):
        post_target(url)


# Answers.


@pytest.mark.parametrize("reading", [whole, read_by_byte])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (OK, b'{"name": "n"}'),
        (b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b'{"name": "n"}'),
        (CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n", b"hello world"),
        (CHUNKED + b"0A \r\n0123456789\r\n000\r\nTrailer: x\r\n\r\n", b"0123456789"),
    ],
)
def test_an_answer_is_read_however_it_comes(reading: object, data: bytes, body: bytes) -> None:
    assert callable(reading)
    answer = reading(data)

    assert (answer.body, answer.keeps_alive) == (body, True)


def test_the_names_of_headers_are_in_lower_case_and_repeated_values_are_joined() -> None:
    answer = whole(b"HTTP/1.1 429 Slow\r\nRETRY-after:\t 7 \r\nVary: a\r\nVary: b\r\nContent-Length: 0\r\n\r\n")

    assert (answer.status, answer.headers["retry-after"], answer.headers["vary"]) == (429, "7", "a, b")


@pytest.mark.parametrize(
    "data",
    [
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n"),
        OK.replace(b"\r\n\r\n", b"\r\nConnection: x, close\r\n\r\n"),
        OK + b"HTTP/1.1 200 OK\r\n",
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n") + b"0\r\n\r\n",
    ],
)
def test_after_some_answers_the_connection_is_not_used_again(data: bytes) -> None:
    assert not whole(data).keeps_alive


@pytest.mark.parametrize(
    "data",
    [
        b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"x" * (MAX_HEAD_BYTES + 1),
        b"HTTP/1.1 103 Early Hints\r\nx: " + b"y" * MAX_HEAD_BYTES,
    ],
)
def test_what_can_be_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(NotHttp):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"1\r\nab\r\n",
        CHUNKED + b"1" * 1000,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD_BYTES,
    ],
)
def test_an_answer_with_odd_framing_keeps_its_status(data: bytes) -> None:
    answer = whole(data)

    assert (answer.status, answer.body, answer.keeps_alive) == (200, None, False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 503 No\r\nContent-Length: 999999\r\n\r\n" + b"x" * MAX_BODY_BYTES,
        b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nfffff\r\n" + b"x" * MAX_BODY_BYTES,
        b"HTTP/1.1 503 No\r\n\r\n" + b"x" * (MAX_BODY_BYTES + 1),
    ],
)
def test_of_a_long_body_the_beginning_is_read(data: bytes) -> None:
    answer = whole(data)

    assert answer.body == b"x" * MAX_BODY_BYTES
    assert not answer.keeps_alive


@pytest.mark.parametrize("data", [OK[:-1], OK[:20], CHUNKED + b"5\r\nhell", CHUNKED + b"5\r\nhello\r\n", CHUNKED])
def test_an_answer_that_breaks_off_after_its_first_line_keeps_its_status(data: bytes) -> None:
    answer = ended(data)

    assert answer is not None
    assert (answer.status, answer.body, answer.keeps_alive) == (200, None, False)


@pytest.mark.parametrize("data", [b"", OK[:16], b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n"])
def test_an_answer_that_breaks_off_in_its_first_line_is_none(data: bytes) -> None:
    assert ended(data) is None


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    answer = ended(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>")

    assert answer is not None
    assert (answer.status, answer.body, answer.keeps_alive) == (502, b"<html>", False)
