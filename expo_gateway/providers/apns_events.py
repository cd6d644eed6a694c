"""What comes of the bytes that APNs sends, as `ApnsHttp2` tells it."""

from dataclasses import dataclass
from typing import NamedTuple

from expo_gateway.providers.apns_frames import Http2Error

# RFC 9113, section 6.9.2.
DEFAULT_WINDOW_BYTES = 65_535


@dataclass(slots=True, kw_only=True, eq=False)
class Stream:
    """A request that was sent whole, and as much of its answer as has come."""

    stream_id: int
    status: bytes = b""
    unique_id: bytes = b""
    body: bytes = b""
    """Its first MAX_BODY_BYTES."""
    receive_window_bytes: int = DEFAULT_WINDOW_BYTES


class Answered(NamedTuple):
    """The stream has its whole answer."""

    stream: Stream


class Broken(NamedTuple):
    """The stream was reset, and no more will come."""

    stream: Stream
    code: int
    by_peer: bool
    """False: by us, because its answer was malformed."""


class SettingsChanged(NamedTuple):
    """Look at `max_streams` and `stream_window_bytes` again."""


class WentAway(NamedTuple):
    """GOAWAY: requests after that stream were not looked at. It may come twice, the first time as a mere warning."""

    last_stream_id: int
    code: int
    reason: bytes


class Ponged(NamedTuple):
    """Our PING was answered."""


class Failed(NamedTuple):
    """The peer broke the protocol. Always the last event; what came before it is as good as ever."""

    error: Http2Error


Event = Answered | Broken | SettingsChanged | WentAway | Ponged | Failed
