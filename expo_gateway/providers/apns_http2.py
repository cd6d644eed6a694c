"""HTTP/2 as a client of APNs speaks it: the state of one connection, without IO.

Standard: RFC 9113 (https://www.rfc-editor.org/rfc/rfc9113). Bytes go in and events come out, as with h2; but a push
costs a fifth, because every request is one POST whose header block and body are ready and go out whole. Hence no stream
needs a send window once it is open, none is ever half sent, and nothing of one is kept when its answer is complete.
"""

from collections.abc import Callable

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from expo_gateway.providers import apns_frames as frames
from expo_gateway.providers.apns_answer_headers import AnswerHeaders
from expo_gateway.providers.apns_events import (
    DEFAULT_WINDOW_BYTES,
    Answered,
    Broken,
    Event,
    Failed,
    Ponged,
    SettingsChanged,
    Stream,
    WentAway,
)
from expo_gateway.providers.apns_frames import MAX_FRAME_BYTES, Frame, FrameReader, Http2Error
from expo_gateway.providers.apns_headers import NO_DYNAMIC_TABLE

MAX_WINDOW_BYTES = 2**31 - 1
# Our choice: room for half a million error bodies that nobody has read yet.
RECEIVE_WINDOW_BYTES = 16 * 1024 * 1024
# Our choice: APNs' errors are some 60 bytes long, and a proxy's page is not worth more.
MAX_BODY_BYTES = 4096
_PADDED_OR_PRIORITY = frames.PADDED | frames.PRIORITY
# Our choice: APNs sends some 100 bytes. Each CONTINUATION counts with its head, so that empty ones come to an end too.
MAX_HEADER_BLOCK_BYTES = 65_536


class ApnsHttp2:
    """What it has to send is in `data_to_send`; whoever posts sees to it that there is room."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        """Those that are open."""
        self.next_stream_id = 1
        """The id that the next request gets; all lower odd ones were used."""
        self.max_streams = MAX_WINDOW_BYTES
        """How many the peer allows; without limit until it says so."""
        self.window_bytes = DEFAULT_WINDOW_BYTES
        """How much may be sent on the connection now."""
        self.stream_window_bytes = DEFAULT_WINDOW_BYTES
        """How much may be sent on a new stream."""
        self._receive_window_bytes = RECEIVE_WINDOW_BYTES
        self._reader = FrameReader()
        self._headers = AnswerHeaders()
        self._unfinished: Frame | None = None
        """HEADERS, and what CONTINUATION has added to them."""
        self._unfinished_bytes = 0
        self._announcement = b""
        self._is_greeted = False
        self._is_over = False
        self._out: list[bytes] = []
        self._requests: list[bytes] = []
        """Behind the other frames; those that are not sent yet can be taken back."""
        self._events: list[Event] = []
        self._takers: dict[int, Callable[[Frame], None]] = {
            frames.DATA: self._take_data,
            frames.HEADERS: self._take_headers,
            frames.RST_STREAM: self._take_reset,
            frames.SETTINGS: self._take_settings,
            frames.PUSH_PROMISE: self._refuse,
            frames.PING: self._take_ping,
            frames.GOAWAY: self._take_go_away,
            frames.WINDOW_UPDATE: self._take_window_update,
            frames.CONTINUATION: self._refuse,
        }

    @property
    def streams_used(self) -> int:
        return self.next_stream_id // 2

    # -- what goes out

    def greet(self) -> None:
        """The preface, our settings and a wide window."""
        self._out += (
            frames.PREFACE,
            frames.settings_frame({SettingCodes.ENABLE_PUSH: 0}),
            frames.window_update_frame(0, RECEIVE_WINDOW_BYTES - DEFAULT_WINDOW_BYTES),
        )

    def post(self, header_block: bytes, body: bytes) -> Stream:
        """Open a stream with a whole request. ValueError or TypeError: nothing has happened."""
        block = self._announcement + header_block
        if len(block) > MAX_FRAME_BYTES or len(body) > MAX_FRAME_BYTES:
            raise ValueError("larger than a frame")
        stream_id = self.next_stream_id
        headers_head = frames.head(frames.HEADERS, frames.END_HEADERS, stream_id, len(block))
        data_head = frames.head(frames.DATA, frames.END_STREAM, stream_id, len(body))
        self._requests.append(b"".join((headers_head, block, data_head, body)))
        self._announcement = b""
        self.next_stream_id = stream_id + 2
        self.window_bytes -= len(body)
        stream = self.streams[stream_id] = Stream(stream_id=stream_id)
        return stream

    def ping(self, payload: bytes) -> None:
        """Eight bytes."""
        self._out.append(frames.frame(frames.PING, 0, 0, payload))

    def reset(self, stream_id: int, code: int) -> None:
        """Give the stream up; frames that are still on their way are ignored."""
        self._out.append(frames.reset_frame(stream_id, code))
        self.streams.pop(stream_id, None)

    def say_goodbye(self, code: int) -> None:
        """In the place of everything that was not sent yet."""
        self._is_over = True
        self._requests.clear()
        self._out = [frames.go_away_frame(code)]

    def data_to_send(self) -> bytes:
        """Empties it."""
        data = b"".join((*self._out, *self._requests))
        self._out.clear()
        self._requests.clear()
        return data

    # -- what comes in

    def receive(self, data: bytes) -> list[Event]:
        """What the bytes bring about, in order. Nothing after the first error, and never an exception."""
        if self._is_over:
            return []
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except Http2Error as error:
            self._is_over = True
            self._events.append(Failed(error))
        events, self._events = self._events, []
        return events

    def _take(self, frame: Frame) -> None:
        if self._unfinished is not None:
            self._take_continuation(frame, self._unfinished)
        elif self._is_greeted or frame.type == frames.SETTINGS:
            take = self._takers.get(frame.type)
            if take is not None:  # section 5.5: what nobody knows is ignored; PRIORITY is deprecated
                take(frame)
        else:
            raise _breach("no SETTINGS at the beginning")

    def _refuse(self, frame: Frame) -> None:
        raise _breach(f"frame type {frame.type} out of place")

    def _stream(self, stream_id: int) -> Stream | None:
        """None: it is closed, and its frames are ignored. Even ids would be the peer's, which opens none."""
        stream = self.streams.get(stream_id)
        if stream is None and (stream_id % 2 == 0 or stream_id >= self.next_stream_id):
            raise _breach(f"a frame on stream {stream_id}, which is idle")
        return stream

    def _take_headers(self, frame: Frame) -> None:
        whole = frame._replace(payload=frames.content_of(frame)) if frame.flags & _PADDED_OR_PRIORITY else frame
        if frame.flags & frames.END_HEADERS:
            self._take_block(whole)
        else:
            self._unfinished = whole
            self._unfinished_bytes = len(whole.payload)

    def _take_continuation(self, frame: Frame, begun: Frame) -> None:
        if frame.type != frames.CONTINUATION or frame.stream_id != begun.stream_id:
            raise _breach("a header block was interrupted")
        self._unfinished_bytes += frames.HEAD_BYTES + len(frame.payload)
        if self._unfinished_bytes > MAX_HEADER_BLOCK_BYTES:
            raise Http2Error(ErrorCodes.ENHANCE_YOUR_CALM, "a header block without end")
        whole = begun._replace(payload=begun.payload + frame.payload)
        if frame.flags & frames.END_HEADERS:
            self._unfinished = None
            self._take_block(whole)
        else:
            self._unfinished = whole

    def _take_block(self, whole: Frame) -> None:
        """A header block that is complete, under the flags of its HEADERS."""
        # Also what nobody waits for, or the tables of the two ends would fall apart.
        status, unique_id = self._headers.read(whole.payload)
        stream = self._stream(whole.stream_id)
        if stream is None:
            return
        is_last = whole.flags & frames.END_STREAM != 0
        if stream.status:
            is_sound = is_last  # trailers, section 8.1
        elif status.startswith(b"1") and len(status) == 3:
            is_sound = not is_last  # an interim answer
        else:
            is_sound = status != b""
            stream.status, stream.unique_id = status, unique_id
        if not is_sound:
            self._spoil(stream)
        elif is_last:
            self._finish(stream)

    def _take_data(self, frame: Frame) -> None:
        stream = self._stream(frame.stream_id)
        # Padding counts, and so does what nobody waits for, or it would eat the window of the connection.
        length_bytes = len(frame.payload)
        self._receive_window_bytes -= length_bytes
        if self._receive_window_bytes < 0:
            raise Http2Error(ErrorCodes.FLOW_CONTROL_ERROR, "more than the connection's window")
        if self._receive_window_bytes < RECEIVE_WINDOW_BYTES // 2:
            self._out.append(frames.window_update_frame(0, RECEIVE_WINDOW_BYTES - self._receive_window_bytes))
            self._receive_window_bytes = RECEIVE_WINDOW_BYTES
        content = frames.content_of(frame)
        if stream is None:
            return
        stream.body += content[: MAX_BODY_BYTES - len(stream.body)]
        if not stream.status:
            self._spoil(stream)
        elif frame.flags & frames.END_STREAM:
            self._finish(stream)
        else:
            self._refill(stream, length_bytes)

    def _refill(self, stream: Stream, length_bytes: int) -> None:
        stream.receive_window_bytes -= length_bytes
        if stream.receive_window_bytes < 0:
            raise Http2Error(ErrorCodes.FLOW_CONTROL_ERROR, "more than a stream's window")
        if stream.receive_window_bytes < DEFAULT_WINDOW_BYTES // 2:
            increment_bytes = DEFAULT_WINDOW_BYTES - stream.receive_window_bytes
            self._out.append(frames.window_update_frame(stream.stream_id, increment_bytes))
            stream.receive_window_bytes = DEFAULT_WINDOW_BYTES

    def _finish(self, stream: Stream) -> None:
        del self.streams[stream.stream_id]
        self._events.append(Answered(stream))

    def _spoil(self, stream: Stream) -> None:
        """A malformed answer is a stream error, section 8.1.1: no other request is harmed."""
        self.reset(stream.stream_id, ErrorCodes.PROTOCOL_ERROR)
        self._events.append(Broken(stream, ErrorCodes.PROTOCOL_ERROR, by_peer=False))

    def _take_reset(self, frame: Frame) -> None:
        code = frames.number_in(frame)
        stream = self._stream(frame.stream_id)
        if stream is not None:
            del self.streams[frame.stream_id]
            self._events.append(Broken(stream, code, by_peer=True))

    def _take_settings(self, frame: Frame) -> None:
        _require_connection(frame)
        self._is_greeted = True
        if frame.flags & frames.ACK:
            frames.require_length(frame, 0)
            return
        for code, value in frames.settings_in(frame):
            self._set(code, value)
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._events.append(SettingsChanged())

    def _set(self, code: int, value: int) -> None:
        """Section 6.5.2. The size of the largest frame is nothing to us, that of a header list mere advice."""
        if code == SettingCodes.MAX_CONCURRENT_STREAMS:
            self.max_streams = value
        elif code == SettingCodes.INITIAL_WINDOW_SIZE:
            # Of open streams, too; but on those nothing is sent any more.
            if value > MAX_WINDOW_BYTES:
                raise Http2Error(ErrorCodes.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
            self.stream_window_bytes = value
        elif code == SettingCodes.HEADER_TABLE_SIZE:
            # RFC 7541, section 4.2: the next block must say that we keep to it.
            self._announcement = NO_DYNAMIC_TABLE
        elif code == SettingCodes.MAX_FRAME_SIZE:
            if not MAX_FRAME_BYTES <= value < 2**24:
                raise _breach(f"frames of {value} bytes")
        elif code == SettingCodes.ENABLE_PUSH and value:
            raise _breach("a server that wants to be pushed to")

    def _take_ping(self, frame: Frame) -> None:
        _require_connection(frame)
        frames.require_length(frame, 8)
        if frame.flags & frames.ACK:
            self._events.append(Ponged())
        else:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, frame.payload))

    def _take_go_away(self, frame: Frame) -> None:
        _require_connection(frame)
        last_stream_id, code, reason = frames.go_away_in(frame)
        if self._requests:
            # Section 6.8: no stream is opened after this. What was not sent yet stays so.
            last_stream_id = min(last_stream_id, self.next_stream_id - 2 * len(self._requests) - 2)
            self._requests.clear()
        for stream_id in [stream_id for stream_id in self.streams if stream_id > last_stream_id]:
            del self.streams[stream_id]
        self._events.append(WentAway(last_stream_id, code, reason))

    def _take_window_update(self, frame: Frame) -> None:
        increment_bytes = frames.number_in(frame) & MAX_WINDOW_BYTES
        if frame.stream_id:
            stream = self._stream(frame.stream_id)
            if stream is not None and not increment_bytes:
                self._spoil(stream)
            return
        if not increment_bytes:
            raise _breach("a window was enlarged by nothing")
        self.window_bytes += increment_bytes
        if self.window_bytes > MAX_WINDOW_BYTES:
            raise Http2Error(ErrorCodes.FLOW_CONTROL_ERROR, f"a window of {self.window_bytes} bytes")


def _require_connection(frame: Frame) -> None:
    if frame.stream_id:
        raise _breach(f"frame type {frame.type} on stream {frame.stream_id}")


def _breach(why: str) -> Http2Error:
    return Http2Error(ErrorCodes.PROTOCOL_ERROR, why)
