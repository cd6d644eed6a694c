"""Frames to and from an `ApnsHttp2`, written and read by the hyperframe package."""

from typing import Any

from h2.errors import ErrorCodes
from hyperframe.frame import Frame, HeadersFrame, SettingsFrame

from expo_gateway.providers.apns_events import Answered, Event, Failed, SettingsChanged
from expo_gateway.providers.apns_headers import HeaderBlocks
from expo_gateway.providers.apns_http2 import ApnsHttp2
from tests.providers.apns_scene import new_request

BLOCK = HeaderBlocks(authority="a").block(new_request(), authorization="bearer x")
STATUS_200, STATUS_400 = b"\x88", b"\x8c"


def greeted() -> ApnsHttp2:
    """Greeted on both sides, with two requests out, streams 1 and 3."""
    conn = ApnsHttp2()
    conn.greet()
    assert conn.receive(wire(SettingsFrame(0))) == [SettingsChanged()]
    for _ in range(2):
        conn.post(BLOCK, b"{}")
    conn.data_to_send()
    return conn


def wire(*frames: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in frames)


def sent(conn: ApnsHttp2) -> list[Any]:
    """The frames that it wants to send, read by hyperframe."""
    data = memoryview(conn.data_to_send())
    frames = []
    while data:
        frame, length = Frame.parse_frame_header(data[:9])
        frame.parse_body(data[9 : 9 + length])
        frames.append(frame)
        data = data[9 + length :]
    return frames


def answer(
    stream_id: int, *, status: bytes = STATUS_200, flags: tuple[str, ...] = ("END_HEADERS", "END_STREAM")
) -> Frame:
    return HeadersFrame(stream_id, status, flags=flags)


def ended(events: list[Event]) -> list[tuple[int, bytes, bytes]]:
    return [(e.stream.stream_id, e.stream.status, e.stream.body) for e in events if isinstance(e, Answered)]


def failure(events: list[Event]) -> ErrorCodes:
    [*_, last] = events
    assert isinstance(last, Failed)
    return last.error.code
