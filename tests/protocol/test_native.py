import gzip
import zlib

import pytest
from msgspec import Raw

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.body import NATIVE_MARK, inflate
from expo_gateway.protocol.message import MAX_DATA_BYTES, PushMessage, decode_send_request
from expo_gateway.protocol.native import (
    NativeApns,
    NativeMessage,
    encode_native,
    native_request,
)
from expo_gateway.protocol.stored import decode_stored, plain_body

TO = ["ExponentPushToken[a]", "ExponentPushToken[b]"]
MESSAGE = NativeMessage(
    to=TO,
    title="T",
    body="B",
    data=Raw(b'{"a":1}'),
    apns=NativeApns(headers={"apns-push-type": "alert"}, payload=Raw(b'{"aps":{}}')),
    fcm=Raw(b'{"data":{"a":"1"}}'),
    local=Raw(b'{"message":"B"}'),
)


def test_a_native_batch_is_read_back_as_it_was_stored() -> None:
    request = decode_stored(encode_native([MESSAGE]))

    (read,) = request.messages
    assert isinstance(read, NativeMessage)
    assert read.apns is not None
    assert (read.title, read.body, bytes(read.data)) == ("T", "B", b'{"a":1}')
    assert (read.apns.headers, bytes(read.apns.payload)) == ({"apns-push-type": "alert"}, b'{"aps":{}}')
    assert (bytes(read.fcm), bytes(read.local)) == (b'{"data":{"a":"1"}}', b'{"message":"B"}')
    assert request.tokens == TO == native_request([MESSAGE]).tokens


def test_what_a_message_does_not_have_it_does_not_have_when_it_is_read_back() -> None:
    (read,) = decode_stored(encode_native([NativeMessage(to=TO[0])])).messages

    assert isinstance(read, NativeMessage)
    assert (read.apns, bytes(read.fcm), bytes(read.local), read.data_object()) == (None, b"", b"", None)


@pytest.mark.parametrize("pack", [lambda body: body, gzip.compress, zlib.compress])
def test_what_clients_send_is_read_back_as_before(pack: object) -> None:
    body = b'[{"to":"ExponentPushToken[a]","body":"x","fcm":{"data":{}}}]'
    stored = pack(body)  # type: ignore[operator]

    (read,) = decode_stored(stored).messages

    assert type(read) is PushMessage
    assert plain_body(stored) == body


def test_no_client_can_send_a_native_batch() -> None:
    body = encode_native([MESSAGE])

    assert body.startswith(NATIVE_MARK)
    with pytest.raises(RequestRefused):
        decode_send_request(inflate(body))


def test_a_damaged_native_batch_is_refused_and_not_half_read() -> None:
    with pytest.raises(RequestRefused, match="can't be read"):
        decode_stored(encode_native([MESSAGE])[:-5])


@pytest.mark.parametrize("part", ["fcm", "local", "data"])
def test_a_part_that_no_provider_takes_makes_the_message_too_big(part: str) -> None:
    big = Raw(b'{"a":"' + b"x" * MAX_DATA_BYTES + b'"}')

    assert NativeMessage(**{"to": TO, part: big}).is_too_big  # type: ignore[arg-type]
    assert NativeMessage(to=TO, apns=NativeApns(payload=big)).is_too_big
    assert not MESSAGE.is_too_big


def test_the_journal_shows_the_json_of_a_native_batch() -> None:
    assert plain_body(encode_native([MESSAGE])).startswith(b'[{"to":["ExponentPushToken[a]"')
