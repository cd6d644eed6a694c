"""HTTP/2 frames: bytes into frames, and back. No IO, and no idea of streams.

Standard: RFC 9113, sections 4 and 6 (https://www.rfc-editor.org/rfc/rfc9113).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from h2.errors import ErrorCodes

DATA = 0x0
HEADERS = 0x1
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

ACK = 0x1
END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# What every peer takes, and what we take: we never say otherwise in our SETTINGS.
MAX_FRAME_BYTES = 16_384

# 24 bits of length as 8 and 16, type, flags, stream id.
_HEAD = struct.Struct(">BHBBL")
HEAD_BYTES = _HEAD.size
_LOWER_31_BITS = 0x7FFFFFFF
_NUMBER = struct.Struct(">L")


class Http2Error(Exception):
    """The two ends are out of step for good: a connection error, RFC 9113 section 5.4.1."""

    def __init__(self, code: ErrorCodes, why: str) -> None:
        super().__init__(f"{why} ({code.name})")
        self.code = code


class Frame(NamedTuple):
    type: int
    flags: int
    stream_id: int
    payload: bytes


class FrameReader:
    """Cuts a stream of bytes into frames, however it comes in."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. To be read to the end, or never again after an Http2Error."""
        buffer = self._rest + data if self._rest else data
        at = 0
        while len(buffer) - at >= HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(buffer, at)
            if high or low > MAX_FRAME_BYTES:
                raise Http2Error(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {high << 16 | low} bytes")
            start = at + HEAD_BYTES
            if len(buffer) < start + low:
                break
            at = start + low
            yield Frame(kind, flags, stream_id & _LOWER_31_BITS, buffer[start:at])
        self._rest = buffer[at:]


def head(kind: int, flags: int, stream_id: int, length_bytes: int) -> bytes:
    """The nine bytes before a payload of that length, which is MAX_FRAME_BYTES at most."""
    return _HEAD.pack(0, length_bytes, kind, flags, stream_id)


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return head(kind, flags, stream_id, len(payload)) + payload


def settings_frame(settings: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", code, value) for code, value in settings.items()))


def window_update_frame(stream_id: int, increment_bytes: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, _NUMBER.pack(increment_bytes))


def reset_frame(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, _NUMBER.pack(code))


def go_away_frame(code: int) -> bytes:
    """From a client whose peer has opened no streams."""
    return frame(GOAWAY, 0, 0, _NUMBER.pack(0) + _NUMBER.pack(code))


def settings_in(frame: Frame) -> Iterator[tuple[int, int]]:
    if len(frame.payload) % 6:
        raise _wrong_length(frame)
    yield from struct.iter_unpack(">HL", frame.payload)


def number_in(frame: Frame) -> int:
    """The 32 bits that are the whole payload."""
    require_length(frame, 4)
    return int.from_bytes(frame.payload, "big")


def go_away_in(frame: Frame) -> tuple[int, int, bytes]:
    """The last stream that is looked at, the error code, and whatever the peer adds."""
    if len(frame.payload) < 8:
        raise _wrong_length(frame)
    last_stream_id, code = struct.unpack_from(">LL", frame.payload)
    return last_stream_id & _LOWER_31_BITS, code, frame.payload[8:]


def require_length(frame: Frame, length_bytes: int) -> None:
    if len(frame.payload) != length_bytes:
        raise _wrong_length(frame)


def _wrong_length(frame: Frame) -> Http2Error:
    return Http2Error(ErrorCodes.FRAME_SIZE_ERROR, f"frame type {frame.type} of {len(frame.payload)} bytes")


def content_of(frame: Frame) -> bytes:
    """The payload of DATA or HEADERS without padding and priority: sections 6.1 and 6.2."""
    payload, begins_at, padding_bytes = frame.payload, 0, 0
    if frame.flags & PADDED:
        begins_at, padding_bytes = 1, payload[0] if payload else 0
    if frame.type == HEADERS and frame.flags & PRIORITY:
        begins_at += 5
    ends_at = len(payload) - padding_bytes
    if begins_at > ends_at:
        raise Http2Error(ErrorCodes.PROTOCOL_ERROR, f"frame type {frame.type} is all padding or cut short")
    return payload[begins_at:ends_at]
