"""HTTP/2 as the provider speaks it, frame by frame."""

import random

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from expo_gateway.providers.apns_events import (
    DEFAULT_WINDOW_BYTES,
    Broken,
    Ponged,
    SettingsChanged,
    WentAway,
)
from expo_gateway.providers.apns_http2 import RECEIVE_WINDOW_BYTES, ApnsHttp2
from tests.providers.apns_wire import BLOCK, STATUS_400, answer, ended, failure, greeted, sent, wire


@pytest.fixture
def conn() -> ApnsHttp2:
    return greeted()


def test_an_answer_with_padding_and_priority_is_read(conn: ApnsHttp2) -> None:
    headers = HeadersFrame(1, STATUS_400, pad_length=7, depends_on=3, stream_weight=9)
    headers.flags |= {"END_HEADERS", "PADDED", "PRIORITY"}
    data = DataFrame(1, b"body", pad_length=255, flags=("PADDED", "END_STREAM"))

    assert ended(conn.receive(wire(headers, data))) == [(1, b"400", b"body")]


def test_a_header_block_may_come_in_pieces(conn: ApnsHttp2) -> None:
    frames = [
        HeadersFrame(1, b"\x48", flags=("END_STREAM",)),
        ContinuationFrame(1, b""),
        ContinuationFrame(1, b"\x034"),
    ]

    assert conn.receive(wire(*frames)) == []
    assert ended(conn.receive(wire(ContinuationFrame(1, b"10", flags=("END_HEADERS",))))) == [(1, b"410", b"")]


@pytest.mark.parametrize(
    "between",
    [PingFrame(0, b"12345678"), ContinuationFrame(3, b""), answer(1), ExtensionFrame(0x42, 0)],
    ids=lambda frame: type(frame).__name__,
)
def test_nothing_may_come_between_the_pieces_of_a_header_block(conn: ApnsHttp2, between: Frame) -> None:
    assert failure(conn.receive(wire(HeadersFrame(1, b""), between))) is ErrorCodes.PROTOCOL_ERROR


@pytest.mark.parametrize("piece", [b"", b"x" * 10_000], ids=len)
def test_a_header_block_without_end_is_given_up(conn: ApnsHttp2, piece: bytes) -> None:
    flood = wire(HeadersFrame(1, b""), *[ContinuationFrame(1, piece)] * 10_000)

    assert failure(conn.receive(flood)) is ErrorCodes.ENHANCE_YOUR_CALM


def test_a_ping_is_answered_and_an_answer_is_told(conn: ApnsHttp2) -> None:
    conn.ping(b"expo-gw?")
    assert conn.receive(wire(PingFrame(0, b"abcdefgh"), PingFrame(0, b"expo-gw?", flags=("ACK",)))) == [Ponged()]

    ours, theirs = sent(conn)

    assert (ours.opaque_data, set(ours.flags)) == (b"expo-gw?", set())
    assert (theirs.opaque_data, set(theirs.flags)) == (b"abcdefgh", {"ACK"})


def test_settings_are_obeyed_and_acknowledged(conn: ApnsHttp2) -> None:
    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 7, SettingCodes.INITIAL_WINDOW_SIZE: 9, 0x4242: 1}

    assert conn.receive(wire(SettingsFrame(0, settings))) == [SettingsChanged()]

    assert (conn.max_streams, conn.stream_window_bytes) == (7, 9)
    [acknowledgement] = sent(conn)
    assert "ACK" in acknowledgement.flags


def test_a_new_header_table_is_acknowledged_in_the_next_block_only(conn: ApnsHttp2) -> None:
    conn.receive(wire(SettingsFrame(0, {SettingCodes.HEADER_TABLE_SIZE: 100})))
    conn.post(BLOCK, b"")
    conn.post(BLOCK, b"")

    _, first, _, second, _ = sent(conn)

    assert (first.data, second.data) == (b"\x20" + BLOCK, BLOCK)


def test_what_is_sent_and_given_back_moves_the_window(conn: ApnsHttp2) -> None:
    assert conn.window_bytes == DEFAULT_WINDOW_BYTES - 4

    conn.receive(wire(WindowUpdateFrame(0, 1000), WindowUpdateFrame(1, 1000)))

    assert conn.window_bytes == DEFAULT_WINDOW_BYTES + 996


def test_the_window_of_a_stream_is_refilled_too(conn: ApnsHttp2) -> None:
    frames = [answer(1, flags=("END_HEADERS",)), *[DataFrame(1, b"x" * 16_000)] * 3]

    conn.receive(wire(*frames))

    [update] = sent(conn)
    assert (update.stream_id, update.window_increment) == (1, 48_000)


@pytest.mark.parametrize("code", [ErrorCodes.REFUSED_STREAM, 4711])
def test_a_reset_stream_is_told_with_what_had_come_of_it(conn: ApnsHttp2, code: int) -> None:
    stream = conn.streams[1]

    events = conn.receive(wire(answer(1, flags=("END_HEADERS",)), RstStreamFrame(1, code)))

    assert events == [Broken(stream, code, by_peer=True)]
    assert stream.status == b"200"
    assert list(conn.streams) == [3]


def test_goaway_may_come_twice_and_streams_that_it_spares_are_answered(conn: ApnsHttp2) -> None:
    warning = GoAwayFrame(0, last_stream_id=2**31 - 1)
    last = GoAwayFrame(0, last_stream_id=1, error_code=2, additional_data=b"{}")

    events = conn.receive(wire(warning, last, answer(3), answer(1)))

    assert events[:2] == [WentAway(2**31 - 1, 0, b""), WentAway(1, 2, b"{}")]
    assert ended(events) == [(1, b"200", b"")]


def test_after_goaway_no_stream_is_opened_that_was_not_sent_yet(conn: ApnsHttp2) -> None:
    """Another connection sends it; here it would be a push twice."""
    conn.data_to_send()
    unsent = conn.post(BLOCK, b"{}")

    (event,) = conn.receive(wire(GoAwayFrame(0, last_stream_id=2**31 - 1)))

    assert event == WentAway(unsent.stream_id - 2, 0, b"")
    assert unsent.stream_id not in conn.streams
    assert conn.data_to_send() == b""


@pytest.mark.parametrize(
    "malformed",
    [
        answer(1, status=b"\x00\x01a\x01b"),
        answer(1, status=b"\x08\x03103"),
        DataFrame(1, b"before the headers"),
        WindowUpdateFrame(1, 1),
    ],
    ids=["no status", "nothing after 103", "data first", "no increment"],
)
def test_a_malformed_answer_is_reset_and_harms_no_other(conn: ApnsHttp2, malformed: Frame) -> None:
    stream = conn.streams[1]
    data = wire(malformed)
    if isinstance(malformed, WindowUpdateFrame):
        data = data[:-1] + b"\x00"  # hyperframe itself refuses to write it

    events = conn.receive(data + wire(answer(3)))

    assert events[0] == Broken(stream, ErrorCodes.PROTOCOL_ERROR, by_peer=False)
    assert ended(events) == [(3, b"200", b"")]
    [reset] = sent(conn)
    assert (reset.stream_id, reset.error_code) == (1, ErrorCodes.PROTOCOL_ERROR)


def test_headers_in_the_middle_of_an_answer_are_malformed(conn: ApnsHttp2) -> None:
    again = answer(1, flags=("END_HEADERS",))

    [event] = conn.receive(wire(again, again))

    assert isinstance(event, Broken)
    assert event.stream.status == b"200"


@pytest.mark.parametrize(
    "late",
    [answer(1), DataFrame(1, b"x", flags=("END_STREAM",)), RstStreamFrame(1, 0), WindowUpdateFrame(1, 5)],
    ids=lambda frame: type(frame).__name__,
)
@pytest.mark.parametrize("end", ["answered", "reset"])
def test_frames_of_a_stream_that_is_over_are_ignored(conn: ApnsHttp2, late: Frame, end: str) -> None:
    if end == "answered":
        conn.receive(wire(answer(1)))
    else:
        conn.reset(1, ErrorCodes.CANCEL)

    assert conn.receive(wire(late)) == []


def test_a_block_that_nobody_waits_for_still_fills_the_table(conn: ApnsHttp2) -> None:
    conn.reset(1, ErrorCodes.CANCEL)
    conn.receive(wire(answer(1, status=b"\x48\x03410")))

    assert ended(conn.receive(wire(answer(3, status=b"\xbe")))) == [(3, b"410", b"")]


def test_data_that_nobody_waits_for_is_given_back(conn: ApnsHttp2) -> None:
    conn.reset(1, ErrorCodes.CANCEL)
    conn.data_to_send()

    for _ in range(2 * RECEIVE_WINDOW_BYTES // 16_000):
        assert conn.receive(wire(DataFrame(1, b"x" * 16_000))) == []

    assert sum(frame.window_increment for frame in sent(conn)) >= RECEIVE_WINDOW_BYTES


def test_frames_that_nobody_knows_are_ignored(conn: ApnsHttp2) -> None:
    unknown = b"\x00\x00\x03\x42\xff\x00\x00\x00\x01xyz"
    priorities = wire(PriorityFrame(1, depends_on=3), PriorityFrame(99))

    assert ended(conn.receive(unknown + priorities + wire(answer(1)))) == [(1, b"200", b"")]


@pytest.mark.parametrize(("block", "body"), [(b"x" * 16_385, b""), (b"", b"x" * 16_385), (b"", "text")], ids=len)
def test_what_cannot_be_posted_leaves_no_trace(conn: ApnsHttp2, block: bytes, body: bytes) -> None:
    before = (conn.next_stream_id, conn.window_bytes, len(conn.streams))

    with pytest.raises((ValueError, TypeError)):
        conn.post(block, body)

    assert (conn.next_stream_id, conn.window_bytes, len(conn.streams)) == before
    assert conn.data_to_send() == b""


def test_a_goodbye_stands_in_the_place_of_what_was_not_sent(conn: ApnsHttp2) -> None:
    conn.post(BLOCK, b"{}")

    conn.say_goodbye(ErrorCodes.PROTOCOL_ERROR)

    [goodbye] = sent(conn)
    assert (goodbye.last_stream_id, goodbye.error_code) == (0, ErrorCodes.PROTOCOL_ERROR)
    assert conn.receive(wire(answer(1))) == []


@pytest.mark.parametrize("seed", range(5))
def test_noise_never_raises(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(1000):
        conn = ApnsHttp2()
        conn.receive(wire(SettingsFrame(0)))
        conn.post(BLOCK, b"{}")
        for _ in range(5):
            payload = dice.randbytes(dice.randrange(12))
            conn.receive(
                bytes((0, 0, len(payload), dice.randrange(11), dice.randrange(64), 0, 0, 0, dice.randrange(4)))
            )
            conn.receive(payload)
