"""Header blocks, read back by the hpack package."""

import pytest
from hpack import Decoder, NeverIndexedHeaderTuple

from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.providers.apns_headers import MAX_COMMON, HeaderBlocks, bad_field, quoted
from tests.providers.apns_scene import new_request


def header_block(request: ApnsRequest, *, authority: str, authorization: str) -> bytes:
    return HeaderBlocks(authority=authority).block(request, authorization=authorization)


def decoded(block: bytes) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in Decoder().decode(block, raw=True)]


def test_a_block_holds_every_field_of_the_request() -> None:
    request = new_request(device_token="ab12", collapse_id="číslo 1", expiration=0, priority=5, topic="a.b")

    assert decoded(header_block(request, authority="api.push.apple.com", authorization="bearer x.y.z")) == [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "api.push.apple.com"),
        (":path", "/3/device/ab12"),
        ("authorization", "bearer x.y.z"),
        ("apns-topic", "a.b"),
        ("apns-push-type", "alert"),
        ("apns-priority", "5"),
        ("apns-id", request.apns_id),
        ("apns-expiration", "0"),
        ("apns-collapse-id", "číslo 1"),
    ]


def test_fields_that_are_not_given_are_not_sent() -> None:
    names = [name for name, _ in decoded(header_block(new_request(), authority="a", authorization="b"))]

    assert "apns-expiration" not in names
    assert "apns-collapse-id" not in names


@pytest.mark.parametrize(
    "change", [{"topic": "another"}, {"push_type": "voip"}, {"priority": 1}, {"apns_id": "another"}], ids=str
)
def test_a_block_has_nothing_of_the_one_before_it(change: dict[str, object]) -> None:
    blocks = HeaderBlocks(authority="a")
    request = new_request(collapse_id="x", expiration=1)
    blocks.block(request, authorization="b")
    changed = new_request(**change)

    assert blocks.block(changed, authorization="b") == header_block(changed, authority="a", authorization="b")


def test_a_new_provider_token_is_sent_from_then_on() -> None:
    blocks = HeaderBlocks(authority="a")
    request = new_request()

    tokens = [dict(decoded(blocks.block(request, authorization=token)))["authorization"] for token in ("b", "c", "b")]

    assert tokens == ["b", "c", "b"]


def test_the_parts_that_are_kept_are_few() -> None:
    blocks = HeaderBlocks(authority="a")

    for number in range(3 * MAX_COMMON):
        assert ("apns-topic", f"t{number}") in decoded(blocks.block(new_request(topic=f"t{number}"), authorization=""))

    assert len(blocks._common) <= MAX_COMMON


@pytest.mark.parametrize("length", [1, 126, 127, 128, 254, 255, 256, 16_383, 16_384, 50_000])
def test_values_of_any_length_are_encoded(length: int) -> None:
    block = header_block(new_request(), authority="a", authorization="x" * length)

    assert ("authorization", "x" * length) in decoded(block)


def test_nothing_enters_the_peers_table_and_the_provider_token_is_never_indexed() -> None:
    decoder = Decoder()
    headers = decoder.decode(header_block(new_request(), authority="a", authorization="secret"), raw=True)

    assert not decoder.header_table.dynamic_entries
    assert [name for name, *_ in (h for h in headers if isinstance(h, NeverIndexedHeaderTuple))] == [b"authorization"]


def test_a_device_token_stays_as_it_is_and_anything_else_cannot_leave_its_place_in_the_path() -> None:
    assert quoted("0aF9") == "0aF9"
    assert quoted("../x?y#z\r\n") == "..%2Fx%3Fy%23z%0D%0A"
    assert quoted("\ud800") == "%3F"


def test_a_good_request_has_no_bad_field() -> None:
    assert bad_field(new_request(collapse_id="x" * 64)) is None
    assert bad_field(new_request(collapse_id="š" * 32)) is None


@pytest.mark.parametrize(
    "collapse_id", ["x" * 65, "š" * 33, "a\r\nb", "a\x00", "\x7f", " a", "a ", "\t", "\ud800", "š\n"], ids=ascii
)
def test_a_collapse_id_that_cannot_be_sent_is_bad(collapse_id: str) -> None:
    assert bad_field(new_request(collapse_id=collapse_id)) == "BadCollapseId"


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("topic", "BadTopic"),
        ("push_type", "InvalidPushType"),
        ("apns_id", "BadMessageId"),
    ],
)
def test_a_field_with_a_line_break_is_bad(field: str, reason: str) -> None:
    assert bad_field(new_request(**{field: "a\nb"})) == reason


def test_a_device_token_that_would_burst_the_header_list_is_bad() -> None:
    assert bad_field(new_request(device_token="0" * 513)) == "BadDeviceToken"
