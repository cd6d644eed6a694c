"""What an emulator can be made to do instead of its ordinary judgement: the acts, as they are performed.

Which requests they are for, and how often, is in `fault_rules.py`. Those with a tag stand in JSON as they are.
"""

from collections.abc import Mapping
from typing import Annotated

import orjson
from msgspec import Meta, Struct


class Answer(Struct, frozen=True, kw_only=True):
    """A complete answer. APNs: `reason` (and `timestamp_ms` for 410). FCM: `body` is the whole error JSON."""

    status: int
    reason: str = ""
    timestamp_ms: int | None = None
    body: bytes | None = None
    """Sent instead of the JSON made of `reason`; b"" sends headers only, with END_STREAM."""
    headers: tuple[tuple[str, str], ...] = ()
    split_at: int | None = None
    """APNs: the body goes out in two DATA frames, cut here."""


def json_answer(status: int, value: Mapping[str, object]) -> Answer:
    """As Google's token endpoint writes them."""
    headers = (("content-type", "application/json; charset=utf-8"), ("cache-control", "no-cache, no-store, max-age=0"))
    return Answer(status=status, reason=str(value.get("error", "")), body=orjson.dumps(value), headers=headers)


class Slow(Struct, frozen=True):
    """The ordinary answer, but `delay_s` later."""

    delay_s: float


class Hang(Struct, frozen=True, tag_field="type", tag="hang", forbid_unknown_fields=True):
    """The request is read and never answered."""


class Disconnect(Struct, frozen=True, tag_field="type", tag="disconnect", forbid_unknown_fields=True):
    """The connection is cut without a word, after the request was read; with `reset` by a TCP RST."""

    reset: bool = False


class Outage(Struct, frozen=True, tag_field="type", tag="outage", forbid_unknown_fields=True):
    """Nobody is there: the connection is cut, and what came on it was received by nobody, so there is no capture."""


class Reset(Struct, frozen=True, tag_field="type", tag="rst_stream", forbid_unknown_fields=True):
    """APNs: RST_STREAM with this HTTP/2 error code (7 = REFUSED_STREAM)."""

    error_code: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]


class GoAway(Struct, frozen=True, kw_only=True, tag_field="type", tag="goaway", forbid_unknown_fields=True):
    """APNs: GOAWAY with the JSON reason.

    Graceful: this request and those before it are answered, later ones are not, then the connection closes.
    Abrupt: the connection closes at once and last_stream_id leaves this request out.
    """

    reason: str = "Shutdown"
    graceful: bool = True


class StreamLimit(Struct, frozen=True, tag_field="type", tag="stream_limit", forbid_unknown_fields=True):
    """APNs: SETTINGS_MAX_CONCURRENT_STREAMS of the connection that carries the request, until one comes that no such
    rule is for. The request itself is judged as ever."""

    max_streams: Annotated[int, Meta(ge=1, le=0xFFFFFFFF)] = 1


class SmallWindow(Struct, frozen=True, tag_field="type", tag="small_window", forbid_unknown_fields=True):
    """APNs: the receive window of connections is 65,535 bytes, refilled at half, as Apple's.

    HTTP/2 can't take back a window: a connection that has a larger one is told to go, by GOAWAY.
    """


Act = Answer | Slow | Hang | Disconnect | Outage | Reset | GoAway
ConnectionAct = StreamLimit | SmallWindow
