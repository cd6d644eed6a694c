"""Peers that break HTTP/2: what they said before counts, and nothing after it."""

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from expo_gateway.providers.apns_http2 import ApnsHttp2
from tests.providers.apns_wire import answer, ended, failure, greeted, wire


@pytest.fixture
def conn() -> ApnsHttp2:
    return greeted()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", ErrorCodes.FRAME_SIZE_ERROR),
        (b"\x01\x00\x00\x42\x00\x00\x00\x00\x00", ErrorCodes.FRAME_SIZE_ERROR),
        (b"HTTP/1.1 400 Bad Request\r\n", ErrorCodes.FRAME_SIZE_ERROR),
        (b"\x00\x00\x05\x04\x00\x00\x00\x00\x00" + bytes(5), ErrorCodes.FRAME_SIZE_ERROR),
        (b"\x00\x00\x06\x04\x01\x00\x00\x00\x00" + bytes(6), ErrorCodes.FRAME_SIZE_ERROR),
        (b"\x00\x00\x07\x06\x00\x00\x00\x00\x00" + bytes(7), ErrorCodes.FRAME_SIZE_ERROR),
        (b"\x00\x00\x07\x07\x00\x00\x00\x00\x00" + bytes(7), ErrorCodes.FRAME_SIZE_ERROR),
        (b"\x00\x00\x03\x03\x00\x00\x00\x00\x01" + bytes(3), ErrorCodes.FRAME_SIZE_ERROR),
        (b"\x00\x00\x05\x08\x00\x00\x00\x00\x00" + bytes(5), ErrorCodes.FRAME_SIZE_ERROR),
        (b"\x00\x00\x06\x04\x00\x00\x00\x00\x01" + bytes(6), ErrorCodes.PROTOCOL_ERROR),
        (b"\x00\x00\x08\x06\x00\x00\x00\x00\x01" + bytes(8), ErrorCodes.PROTOCOL_ERROR),
        (b"\x00\x00\x08\x07\x00\x00\x00\x00\x01" + bytes(8), ErrorCodes.PROTOCOL_ERROR),
        (b"\x00\x00\x04\x08\x00\x00\x00\x00\x00" + bytes(4), ErrorCodes.PROTOCOL_ERROR),
        (b"\x00\x00\x02\x00\x08\x00\x00\x00\x01\x02x", ErrorCodes.PROTOCOL_ERROR),
        (b"\x00\x00\x00\x00\x08\x00\x00\x00\x01", ErrorCodes.PROTOCOL_ERROR),
        (b"\x00\x00\x04\x01\x24\x00\x00\x00\x01" + bytes(4), ErrorCodes.PROTOCOL_ERROR),
        (wire(PushPromiseFrame(1, promised_stream_id=2)), ErrorCodes.PROTOCOL_ERROR),
        (wire(ContinuationFrame(1, b"")), ErrorCodes.PROTOCOL_ERROR),
        (wire(answer(5)), ErrorCodes.PROTOCOL_ERROR),
        (wire(answer(2)), ErrorCodes.PROTOCOL_ERROR),
        (wire(DataFrame(5)), ErrorCodes.PROTOCOL_ERROR),
        (wire(RstStreamFrame(5)), ErrorCodes.PROTOCOL_ERROR),
        (wire(WindowUpdateFrame(5, 1)), ErrorCodes.PROTOCOL_ERROR),
        (b"\x00\x00\x00\x00\x00\x00\x00\x00\x00", ErrorCodes.PROTOCOL_ERROR),
        (b"\x00\x00\x04\x03\x00\x00\x00\x00\x00" + bytes(4), ErrorCodes.PROTOCOL_ERROR),
        (wire(SettingsFrame(0, {SettingCodes.ENABLE_PUSH: 1})), ErrorCodes.PROTOCOL_ERROR),
        (wire(SettingsFrame(0, {SettingCodes.MAX_FRAME_SIZE: 16_383})), ErrorCodes.PROTOCOL_ERROR),
        (wire(SettingsFrame(0, {SettingCodes.MAX_FRAME_SIZE: 2**24})), ErrorCodes.PROTOCOL_ERROR),
        (wire(SettingsFrame(0, {SettingCodes.INITIAL_WINDOW_SIZE: 2**31})), ErrorCodes.FLOW_CONTROL_ERROR),
        (wire(WindowUpdateFrame(0, 2**31 - 1)), ErrorCodes.FLOW_CONTROL_ERROR),
        (wire(answer(1, flags=("END_HEADERS",)), *[DataFrame(1, b"x")]) + b"\x00\x00\x01\x00\x08\x00\x00\x00\x01\x01",
         ErrorCodes.PROTOCOL_ERROR),
        (wire(answer(1, status=b"\xff")), ErrorCodes.COMPRESSION_ERROR),
    ],
)  # fmt: skip
def test_a_breach_comes_after_what_was_good_and_nothing_comes_after_it(
    conn: ApnsHttp2, frames: bytes, code: ErrorCodes
) -> None:
    events = conn.receive(wire(answer(3)) + frames + wire(PingFrame(0, bytes(8), flags=("ACK",))))

    assert ended(events) == [(3, b"200", b"")]
    assert failure(events) is code
    assert conn.receive(wire(answer(1))) == []


def test_more_than_the_window_of_a_connection_is_a_breach(conn: ApnsHttp2) -> None:
    conn.reset(1, ErrorCodes.CANCEL)
    conn._receive_window_bytes = 10

    assert failure(conn.receive(wire(DataFrame(1, b"x" * 11)))) is ErrorCodes.FLOW_CONTROL_ERROR


def test_settings_come_first() -> None:
    conn = ApnsHttp2()
    conn.greet()

    assert failure(conn.receive(wire(PingFrame(0, bytes(8))))) is ErrorCodes.PROTOCOL_ERROR
