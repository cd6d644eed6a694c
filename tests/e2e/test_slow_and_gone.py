"""Clients that are slow, or leave: they are cut off in time, and hold nobody up."""

import itertools
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.conftest import Server, StartServer
from tests.e2e.wire import MESSAGE, Reply, Wire, connected, head, still_serves


@pytest.fixture(autouse=True)
def _serves_afterwards(server: Server) -> Iterator[None]:
    yield
    still_serves(server)


def test_a_sender_of_one_byte_a_second_is_cut_off_in_time(start_server: StartServer) -> None:
    server = start_server(EXPO_GATEWAY_SERVER__BODY_TIMEOUT_S="2")
    with connected(server) as slow:
        slow.write(head(**{"content-length": str(len(MESSAGE))}))
        started_at = time.monotonic()
        reply = answer_while_dripping(slow.socket, MESSAGE, pause_s=1.0)
        took_s = time.monotonic() - started_at
        closed = slow.is_closed()

    assert (reply.status, reply.error["code"], closed) == (408, "REQUEST_TIMEOUT", True)
    assert 1.5 < took_s < 5.0
    still_serves(server)


def test_slow_senders_do_not_hold_others_up(start_server: StartServer) -> None:
    server = start_server(EXPO_GATEWAY_SERVER__BODY_TIMEOUT_S="3")
    slow = [socket.create_connection((server.host, server.port), timeout=10.0) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(head(**{"content-length": "1000"}) + b"[")
        started_at = time.monotonic()
        still_serves(server)
        took_s = time.monotonic() - started_at
    finally:
        for connection in slow:
            connection.close()

    assert took_s < 2.0


def test_a_sender_of_slow_headers_is_cut_off(start_server: StartServer) -> None:
    server = start_server(EXPO_GATEWAY_SERVER__KEEP_ALIVE_S="1")
    with connected(server, timeout_s=1.0) as slow:
        started_at = time.monotonic()
        for byte in itertools.cycle(b"POST / HTTP/1.1\r\nX: "):
            try:
                slow.write(bytes([byte]))
                slow.socket.settimeout(0.3)
                if slow.socket.recv(1024) == b"":
                    break
            except TimeoutError:
                assert time.monotonic() - started_at < 10.0, "still connected"
            except OSError:
                break
    still_serves(server)


def answer_while_dripping(connection: socket.socket, body: bytes, *, pause_s: float) -> Reply:
    """Send a byte per pause until the server answers."""
    for byte in body:
        connection.sendall(bytes([byte]))
        connection.settimeout(pause_s)
        try:
            if connection.recv(1, socket.MSG_PEEK):
                connection.settimeout(10.0)
                return Wire(connection).read()
        except TimeoutError:
            continue
    raise AssertionError("no answer")


@pytest.mark.parametrize("sent_bytes", [0, 10, None])
@pytest.mark.parametrize("resets", [True, False])
def test_a_client_may_leave_before_the_answer(sent_bytes: int | None, resets: bool, server: Server) -> None:
    request = head(**{"content-length": str(len(MESSAGE))}) + MESSAGE[:sent_bytes]
    for _ in range(20):
        with connected(server) as wire:
            wire.write(request)
            if resets:
                # An RST instead of a FIN: the server's write fails.
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_client_that_leaves_in_the_middle_of_its_headers_is_forgotten(server: Server) -> None:
    with connected(server) as wire:
        wire.write(b"POST /--/api/v2/push/send HTTP/1.1\r\nhost: x\r\ncontent-")


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GARBAGE\r\n\r\n", b"\r\n" * 100]
)
def test_bytes_that_are_no_http_do_no_harm(garbage: bytes, server: Server) -> None:
    with connected(server) as wire:
        wire.write(garbage)
        wire.socket.shutdown(socket.SHUT_WR)
        wire.socket.settimeout(5.0)
        while wire.socket.recv(4096):
            pass
