"""h2 as a client of APNs needs it: drains after GOAWAY, forgets finished streams, takes ready header blocks.

This leans on private parts of h2; the tests of the provider run against the versions that pyproject.toml allows.
"""

from collections.abc import Iterable
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event
from h2.settings import SettingCodes
from h2.stream import StreamClosedBy
from hpack import Encoder
from hyperframe.frame import Frame, GoAwayFrame

from expo_gateway.providers.apns_headers import NO_DYNAMIC_TABLE

# Our choice: room for half a million error bodies that nobody has read yet. h2 hands room back at half of it.
RECEIVE_WINDOW_BYTES = 16 * 1024 * 1024
_DEFAULT_WINDOW_BYTES = 65535

_RESET = frozenset({StreamClosedBy.SEND_RST_STREAM, StreamClosedBy.RECV_RST_STREAM})


class _ReadyBlocks(Encoder):
    """Stands where h2 expects an HPACK encoder; what it is given is a block already.

    Neither side's dynamic table is ever used, so there is nothing to keep in step.
    """

    def __init__(self) -> None:
        self._announcement = b""

    @property
    def header_table_size(self) -> int:
        return 0

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        """The peer changed the size of its table: RFC 7541 section 4.2 wants that acknowledged in the next block."""
        self._announcement = NO_DYNAMIC_TABLE

    def encode(self, headers: Iterable[object], huffman: bool = True) -> bytes:
        """`headers` is one pair, whose value is the block."""
        announcement, self._announcement = self._announcement, b""
        return announcement + b"".join(cast("tuple[bytes, bytes]", pair)[1] for pair in headers)


class ApnsH2(H2Connection):
    """The HTTP/2 state of one connection to APNs. No IO."""

    def __init__(self) -> None:
        super().__init__(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                # Our own blocks need no checking, and h2 can't see into them.
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                # Names come in lower case or are malformed, which validation finds.
                normalize_inbound_headers=False,
            )
        )
        self.encoder = _ReadyBlocks()
        self._next_stream_id = 1

    @property
    def next_stream_id(self) -> int:
        """The id that the next request gets; all lower odd ones were used."""
        return self._next_stream_id

    @property
    def streams_used(self) -> int:
        return self._next_stream_id // 2

    def greet(self) -> None:
        """The preface, our settings and a wide window."""
        self.local_settings[SettingCodes.ENABLE_PUSH] = 0
        self.initiate_connection()
        self.increment_flow_control_window(RECEIVE_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)

    def post(self, header_block: bytes, body: bytes) -> int:
        """Open a stream with a whole request; returns its id. The caller has seen to it that there is room."""
        stream_id = self._next_stream_id
        self._next_stream_id += 2
        self.send_headers(stream_id, [(b"", header_block)])
        self.send_data(stream_id, body, end_stream=True)
        return stream_id

    def forget(self, stream_id: int) -> None:
        """The stream has ended: keep nothing of it.

        h2 itself would remember 65,536 ended streams, some 9 MB for each connection, and walk all open ones on every
        request. It only needs those that were reset, because frames may still come for them.
        """
        stream = self.streams.pop(stream_id, None)
        if stream is not None and stream.closed_by in _RESET:
            self._closed_streams[stream_id] = stream.closed_by

    @property
    def open_outbound_streams(self) -> int:
        """All that are kept are open: `forget` removes the others, and push is disabled."""
        return len(self.streams)

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """h2 would go to its closed state and refuse the answers that are still to come (RFC 9113, section 6.8)."""
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data or None
        return [], [event]
