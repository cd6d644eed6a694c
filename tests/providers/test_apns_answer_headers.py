"""Header blocks of answers: written by the hpack package, or by hand after RFC 7541."""

import random

import pytest
from h2.errors import ErrorCodes
from hpack import Encoder, HeaderTuple, NeverIndexedHeaderTuple

from expo_gateway.providers.apns_answer_headers import AnswerHeaders
from expo_gateway.providers.apns_frames import Http2Error

APNS_ID = ("apns-id", "EC1BF194-B3B2-424A-89A9-5A918A6E6B5D")
UNIQUE_ID = ("apns-unique-id", "5f4dcc3b-5aa7-65d6-1d83-27deb882cf99")


@pytest.mark.parametrize("status", ["200", "204", "206", "304", "400", "403", "404", "410", "413", "429", "500", "503"])
@pytest.mark.parametrize("huffman", [True, False])
def test_every_status_is_read(status: str, huffman: bool) -> None:
    block = Encoder().encode([(":status", status), APNS_ID], huffman=huffman)

    assert AnswerHeaders().read(block) == (status.encode(), b"")


@pytest.mark.parametrize("huffman", [True, False])
def test_what_the_peer_has_put_into_its_table_is_found_again(huffman: bool) -> None:
    encoder, headers = Encoder(), AnswerHeaders()
    fields = [(":status", "410"), APNS_ID, UNIQUE_ID, ("content-type", "application/json")]

    blocks = [encoder.encode(fields, huffman=huffman) for _ in range(3)]

    assert len(blocks[1]) == len(fields)  # indices only
    assert {headers.read(block) for block in blocks} == {(b"410", UNIQUE_ID[1].encode())}


def test_names_in_the_table_and_fields_that_are_never_indexed_are_read() -> None:
    encoder, headers = Encoder(), AnswerHeaders()
    headers.read(encoder.encode([(":status", "200"), UNIQUE_ID]))
    block = encoder.encode([NeverIndexedHeaderTuple(b":status", b"429"), NeverIndexedHeaderTuple(UNIQUE_ID[0], "x")])

    assert headers.read(block) == (b"429", b"x")


def test_a_status_whose_name_is_spelt_out_is_read() -> None:
    assert AnswerHeaders().read(b"\x00\x07:status\x03410") == (b"410", b"")
    assert AnswerHeaders().read(b"\x00\x85\xb8\x84\x8d6\xa3\x03410") == (b"410", b"")


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_fields_and_table_sizes_is_kept_in_step_with(seed: int) -> None:
    """Entries that are evicted, that are larger than the table, and tables that grow and shrink."""
    dice = random.Random(seed)
    encoder, headers = Encoder(), AnswerHeaders()
    for _ in range(100):
        if dice.random() < 0.1:
            encoder.header_table_size = dice.choice([0, 64, 500, 4096])
        status = str(dice.choice([200, 400, 403, 410, 429, 503]))
        unique_id = str(dice.randrange(30))
        others = [HeaderTuple(f"n{dice.randrange(60)}", "v" * dice.choice([1, 20, 300, 5000])) for _ in range(3)]
        fields = [HeaderTuple("apns-unique-id", unique_id), *others]
        dice.shuffle(fields)

        block = encoder.encode([HeaderTuple(":status", status), *fields], huffman=dice.random() < 0.5)

        assert headers.read(block) == (status.encode(), unique_id.encode())


def test_nothing_is_kept_of_fields_that_nobody_asks_for() -> None:
    encoder, headers = Encoder(), AnswerHeaders()
    for number in range(1000):
        headers.read(encoder.encode([(":status", "200"), (f"name-{number}", "x" * 100)]))

    assert len(headers._table) == 128
    assert not any(value for _, value in headers._table)


def test_blocks_that_say_nothing_of_a_status_have_none() -> None:
    assert AnswerHeaders().read(b"") == (b"", b"")
    assert AnswerHeaders().read(b"\x20\x10\x01a\x01b\x90") == (b"", b"")


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xbe",  # an entry of an empty table
        b"\xff",  # an integer that breaks off
        b"\xff\xff\xff\xff\xff\xff\xff\xff",  # and one without end
        b"\x48",  # a value that is missing
        b"\x48\x03" + b"20",  # and one that is too short
        b"\x00\x07:sta",
        b"\x00\x01a\x05b",
        b"\x48\x82\xff\xff",  # no Huffman code
        b"\x3f\xe2\x1f",  # a table of 4,097 bytes
    ],
    ids=bytes.hex,
)
def test_a_block_that_makes_no_sense_is_an_error(block: bytes) -> None:
    with pytest.raises(Http2Error) as raised:
        AnswerHeaders().read(block)

    assert raised.value.code is ErrorCodes.COMPRESSION_ERROR


def test_a_table_of_the_size_that_we_allow_is_no_error() -> None:
    assert AnswerHeaders().read(b"\x3f\xe1\x1f\x88") == (b"200", b"")


@pytest.mark.parametrize("seed", range(5))
def test_noise_ends_as_fields_or_as_an_error(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(2000):
        headers = AnswerHeaders()
        try:
            status, unique_id = headers.read(dice.randbytes(dice.randrange(40)))
        except Http2Error:
            continue
        assert isinstance(status + unique_id, bytes)
