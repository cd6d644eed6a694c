"""h2 as APNs speaks it: its SETTINGS and windows, and the places where h2 gives up too early or too late for us.

Standard: RFC 9113. The SETTINGS are those of a real connection (pushy issue 356; the stream limit: apnotic issue 140).
"""

import h2.config
import h2.connection
import h2.events
import h2.settings
from h2.errors import ErrorCodes
from h2.exceptions import FrameTooLargeError
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame

MAX_STREAMS = 1000
INITIAL_WINDOW_BYTES = 65_535
MAX_FRAME_BYTES = 16_384
FRAME_HEAD_BYTES = 9
WIDE_WINDOW_BYTES = 16 * 1024 * 1024
# Our choice: above this a peer that ignores our limit is ended instead of refused stream by stream.
FLOOD_STREAMS = 4096

_SETTINGS = {
    SettingCodes.HEADER_TABLE_SIZE: 4096,
    SettingCodes.INITIAL_WINDOW_SIZE: INITIAL_WINDOW_BYTES,
    SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
    SettingCodes.MAX_HEADER_LIST_SIZE: 8000,
}


class ServerConnection(h2.connection.H2Connection):
    """The server side of one connection to APNs. IO is the caller's.

    h2 ends the connection when the peer opens too many streams; APNs refuses the stream. So the caller counts.
    h2 can do nothing more once a GOAWAY came in; but a client that leaves still waits for its answers (Node does).
    h2 sees that a frame is too large when it has all of it, up to 16 MiB; here it ends as soon as that is clear.
    """

    def __init__(self, *, max_streams: int) -> None:
        super().__init__(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,  # ours are right: a quarter of the time of an answer
                normalize_outbound_headers=False,
                normalize_inbound_headers=False,  # captures show what came
            )
        )
        self.local_settings = _settings(max_streams)
        # Defaults of h2 that APNs doesn't send. h2 looks them up later, so they are back after the first SETTINGS.
        del self.local_settings[SettingCodes.ENABLE_PUSH]
        del self.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]
        self.initiate_connection()
        self.local_settings = _settings(max_streams)

    def receive(self, data: bytes) -> list[h2.events.Event]:
        """As `receive_data`; ProtocolError when the peer is to be left, with GOAWAY in `data_to_send`."""
        events = self.receive_data(data)
        if len(self.incoming_buffer._data) > FRAME_HEAD_BYTES + MAX_FRAME_BYTES:
            self.close_connection(ErrorCodes.FRAME_SIZE_ERROR)
            raise FrameTooLargeError(f"an unfinished frame has more than {MAX_FRAME_BYTES} bytes")
        return events

    @property
    def open_inbound_streams(self) -> int:
        return 0 if len(self.streams) < FLOOD_STREAMS else super().open_inbound_streams

    def drop_closed_streams(self) -> None:
        """Must be called now and then: it happens in the count that is replaced above."""
        _ = super().open_inbound_streams

    def widen(self) -> None:
        """Raise the connection's receive window, once."""
        self.increment_flow_control_window(WIDE_WINDOW_BYTES - INITIAL_WINDOW_BYTES)

    def limit_streams(self, max_streams: int) -> None:
        self.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: max_streams})

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        return [], []


def _settings(max_streams: int) -> h2.settings.Settings:
    return h2.settings.Settings(
        client=False, initial_values=_SETTINGS | {SettingCodes.MAX_CONCURRENT_STREAMS: max_streams}
    )


def goaway_bytes(*, last_stream_id: int, additional_data: bytes) -> bytes:
    """A GOAWAY frame written past h2, whose own one would leave it unable to answer what is in flight."""
    frame = GoAwayFrame(0, last_stream_id=last_stream_id, error_code=0, additional_data=additional_data)
    return frame.serialize()
