"""HTTP/2 as the provider speaks it, against the server side of h2."""

import random
from collections.abc import Callable

import h2.events
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

from expo_gateway.providers.apns_events import (
    Answered,
)
from expo_gateway.providers.apns_http2 import MAX_BODY_BYTES, RECEIVE_WINDOW_BYTES, ApnsHttp2
from tests.providers.apns_wire import BLOCK


class Server:
    """h2's server side. Answers each request as `say` wants it."""

    def __init__(self, say: Callable[[H2Connection, int], None]) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=False))
        self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1000})
        self.h2.initiate_connection()
        self.say = say
        self.bodies: dict[int, bytes] = {}

    def exchange(self, data: bytes) -> bytes:
        for event in self.h2.receive_data(data) if data else ():
            if isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.say(self.h2, event.stream_id)
        return self.h2.data_to_send()


def say_something(server: H2Connection, stream_id: int) -> None:
    """All that an answer may be made of, by the number of the stream."""
    kind = stream_id // 2 % 4
    body = b'{"reason":"%d"}' % stream_id
    if kind == 0:
        server.send_headers(stream_id, [(":status", "200"), ("apns-id", str(stream_id))], end_stream=True)
        return
    if kind == 3:
        server.send_headers(stream_id, [(":status", "103")])
    server.send_headers(stream_id, [(":status", "400"), ("apns-unique-id", str(stream_id)), ("date", "x" * 200)])
    server.send_data(stream_id, body[:5], pad_length=kind * 20)
    server.send_data(stream_id, body[5:], end_stream=kind != 3)
    if kind == 3:
        server.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)


@pytest.mark.parametrize("seed", [None, *range(10)], ids=str)
def test_answers_are_the_same_however_their_bytes_are_cut(seed: int | None) -> None:
    """None: byte by byte."""
    dice = random.Random(seed)
    conn, server = ApnsHttp2(), Server(say_something)
    conn.greet()
    streams, events = [], []
    for burst in range(20):
        streams += [conn.post(BLOCK, b"%d" % burst) for _ in range(10)]
        data = server.exchange(conn.data_to_send())
        while data:
            length = 1 if seed is None else dice.randrange(1, 300)
            events += conn.receive(data[:length])
            data = data[length:]
    assert server.exchange(conn.data_to_send()) == b""

    assert [event.stream for event in events if isinstance(event, Answered)] == streams
    for stream in streams:
        number = b"%d" % stream.stream_id
        is_good = stream.stream_id // 2 % 4 == 0
        expected = (b"200", b"", b"") if is_good else (b"400", number, b'{"reason":"' + number + b'"}')
        assert (stream.status, stream.unique_id, stream.body) == expected
    assert not conn.streams
    assert server.bodies == {stream.stream_id: b"%d" % (index // 10) for index, stream in enumerate(streams)}


def test_flow_control_is_kept_in_both_directions() -> None:
    def say(server: H2Connection, stream_id: int) -> None:
        server.send_headers(stream_id, [(":status", "400")])
        server.send_data(stream_id, b"x" * 16_000, end_stream=True)

    conn, server = ApnsHttp2(), Server(say)
    conn.greet()
    conn.receive(server.exchange(conn.data_to_send()))
    for _ in range(RECEIVE_WINDOW_BYTES // 15_000):
        conn.post(BLOCK, b"y" * 10_000)
        [answered] = [e for e in conn.receive(server.exchange(conn.data_to_send())) if isinstance(e, Answered)]
        assert len(answered.stream.body) == MAX_BODY_BYTES
        conn.receive(server.exchange(conn.data_to_send()))
        assert conn.window_bytes == server.h2.inbound_flow_control_window


def test_the_greeting_is_one_that_h2_takes() -> None:
    conn, server = ApnsHttp2(), Server(say_something)
    conn.greet()
    server.exchange(conn.data_to_send())

    assert server.h2.remote_settings.enable_push == 0
    assert server.h2.outbound_flow_control_window == RECEIVE_WINDOW_BYTES
