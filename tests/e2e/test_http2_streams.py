"""HTTP/2 frame by frame, with prior knowledge: streams that stall, end early or are reset do not hold up the others."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import h2.config
import h2.connection
import h2.events
import pytest

from tests.conftest import Server, StartServer
from tests.e2e.wire import MESSAGE, SEND, still_serves


class Streams:
    """A client's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.statuses: dict[int, int] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def open(self, *headers: tuple[str, str], path: str = SEND, ends: bool = False) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "exp.host"), (":path", path)]
        self.h2.send_headers(stream_id, [*pseudo, *headers], end_stream=ends)
        self.flush()
        return stream_id

    def send(self, stream_id: int, body: bytes, *, ends: bool = True) -> None:
        self.h2.send_data(stream_id, body, end_stream=ends)
        self.flush()

    def post(self, body: bytes = MESSAGE) -> int:
        stream_id = self.open()
        self.send(stream_id, body)
        return stream_id

    def wait_for(self, stream_id: int) -> int:
        """The status of the answer, once the stream has ended. The socket's timeout is the deadline."""
        while stream_id not in self.ended:
            received = self.socket.recv(65536)
            assert received, "the connection was closed"
            for event in self.h2.receive_data(received):
                self._take(event)
            self.flush()
        return self.statuses[stream_id]

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=int(stream_id), headers=list(headers)):
                self.statuses[stream_id] = int(dict(headers)[b":status"])
            case h2.events.DataReceived(stream_id=int(stream_id), data=bytes(data)):
                self.bodies[stream_id] = self.bodies.get(stream_id, b"") + data
            case h2.events.StreamEnded(stream_id=int(stream_id)):
                self.ended.add(stream_id)
            case h2.events.StreamReset(stream_id=int(stream_id), error_code=code):
                self.resets[stream_id] = int(code or 0)
            case _:
                pass


@contextmanager
def streams(server: Server) -> Iterator[Streams]:
    with socket.create_connection((server.host, server.port), timeout=10.0) as connection:
        yield Streams(connection)


def test_streams_are_answered_beside_one_that_stalls(server: Server) -> None:
    with streams(server) as client:
        stalled = client.open()
        client.send(stalled, MESSAGE[:5], ends=False)

        assert [client.wait_for(client.post()) for _ in range(5)] == [200] * 5

        client.send(stalled, MESSAGE[5:])
        assert client.wait_for(stalled) == 200


def test_a_stream_that_stalls_is_answered_408_and_its_connection_lives_on(start_server: StartServer) -> None:
    server = start_server(EXPO_GATEWAY_SERVER__BODY_TIMEOUT_S="1")
    with streams(server) as client:
        stalled = client.open()
        client.send(stalled, MESSAGE[:5], ends=False)
        started_at = time.monotonic()

        assert client.wait_for(stalled) == 408
        assert time.monotonic() - started_at < 5.0
        assert client.wait_for(client.post()) == 200


def test_fifty_stalled_streams_do_not_hold_up_another(server: Server) -> None:
    with streams(server) as client:
        for _ in range(50):
            client.send(client.open(), b"[", ends=False)

        assert client.wait_for(client.post()) == 200


@pytest.mark.parametrize("sent", [0, 5, len(MESSAGE)])
def test_a_stream_that_its_client_resets_does_no_harm(sent: int, server: Server) -> None:
    with streams(server) as client:
        for _ in range(20):
            stream_id = client.open()
            if sent:
                client.send(stream_id, MESSAGE[:sent], ends=False)
            client.h2.reset_stream(stream_id)
            client.flush()

        assert client.wait_for(client.post()) == 200
    still_serves(server)


def test_a_body_in_many_small_frames_is_read(server: Server) -> None:
    with streams(server) as client:
        stream_id = client.open()
        for at in range(len(MESSAGE)):
            client.send(stream_id, MESSAGE[at : at + 1], ends=at == len(MESSAGE) - 1)

        assert client.wait_for(stream_id) == 200


def test_a_stream_without_a_body_is_an_empty_body(server: Server) -> None:
    with streams(server) as client:
        stream_id = client.open(ends=True)

        assert client.wait_for(stream_id) == 400
        assert b"The request body is not valid JSON" in client.bodies[stream_id]


def test_a_client_that_goes_away_with_open_streams_does_no_harm(server: Server) -> None:
    for _ in range(10):
        with streams(server) as client:
            for _ in range(10):
                client.post()
    still_serves(server)
