"""Request bodies: plain, gzip, zlib labelled as gzip, and the cap on all of them."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.body import MAX_BODY_BYTES, inflate, is_compressed

JSON = b'{"to":"ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]","body":"' + b"x" * 2000 + b'"}'


def deflated(plain: bytes, *, level: int = 6) -> bytes:
    return zlib.compress(plain, level)


@pytest.mark.parametrize("body", [JSON, b"", b"x", b"[]", b"\x1f", b"\xff\xfe", b"1"])
def test_a_plain_body_stays_as_it_is(body: bytes) -> None:
    assert inflate(body) == body


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_gzip_and_zlib_are_told_by_their_first_bytes(compress: Callable[[bytes], bytes]) -> None:
    """clients.md, point 18: Dru1X for PHP labels a zlib stream as gzip."""
    assert inflate(compress(JSON)) == JSON


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_every_level_of_zlib_is_known(level: int) -> None:
    assert inflate(deflated(JSON, level=level)) == JSON


def test_no_json_is_taken_for_a_compressed_body() -> None:
    assert not any(is_compressed(bytes([byte]) + b'"') for byte in b'{["0123456789-tfn \t\r\n')


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("kept", [2, 10, 12, -1, -5])
def test_a_stream_that_is_cut_short_is_refused(compress: Callable[[bytes], bytes], kept: int) -> None:
    with pytest.raises(RequestRefused, match="compressed request body") as refused:
        inflate(compress(JSON)[:kept])

    assert (refused.value.code, refused.value.status) == ("VALIDATION_ERROR", 400)


@pytest.mark.parametrize("at", [10, -8, -4])
def test_a_damaged_stream_is_refused(at: int) -> None:
    body = bytearray(gzip.compress(JSON))
    body[at] ^= 0xFF

    with pytest.raises(RequestRefused, match="compressed request body"):
        inflate(bytes(body))


def test_a_body_of_just_the_cap_is_inflated() -> None:
    assert len(inflate(gzip.compress(bytes(MAX_BODY_BYTES)))) == MAX_BODY_BYTES


def test_a_larger_body_is_refused() -> None:
    with pytest.raises(RequestRefused, match="must not exceed 2097152 bytes") as refused:
        inflate(gzip.compress(bytes(MAX_BODY_BYTES + 1)))

    assert (refused.value.code, refused.value.status) == ("PAYLOAD_TOO_LARGE", 413)


def test_a_bomb_costs_no_more_memory_than_the_cap() -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024), 1)
    tracemalloc.start()
    try:
        with pytest.raises(RequestRefused):
            inflate(bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 3 * MAX_BODY_BYTES


def test_all_members_of_a_gzip_body_are_read() -> None:
    assert inflate(gzip.compress(b'{"to":') + gzip.compress(b'"x"}')) == b'{"to":"x"}'
