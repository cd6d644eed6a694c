"""h2 as the emulator uses it, and the connection's answer to a full write buffer: in memory, without a socket."""

import asyncio

import h2.config
import h2.connection

from expo_gateway.emulators.apns_connection import ApnsConnection, ConnectionRules
from expo_gateway.emulators.apns_http2 import ServerConnection, goaway_bytes
from tests.emulators.apns_client import BODY, push_headers
from tests.emulators.apns_world import World, worlds_of


def connected() -> tuple[h2.connection.H2Connection, ServerConnection]:
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    server = ServerConnection(max_streams=10)
    client.initiate_connection()
    server.receive(client.data_to_send())
    client.receive_data(server.data_to_send())
    return client, server


def requested(client: h2.connection.H2Connection, server: ServerConnection) -> int:
    stream_id = client.get_next_available_stream_id()
    client.send_headers(stream_id, list(push_headers("bearer x").items()))
    client.send_data(stream_id, BODY, end_stream=True)
    server.receive(client.data_to_send())
    return stream_id


def test_closed_streams_are_forgotten() -> None:
    client, server = connected()
    for _ in range(10):
        server.send_headers(requested(client, server), [(b":status", b"200")], end_stream=True)

    server.drop_closed_streams()

    assert server.streams == {}


def test_after_a_goaway_of_ours_requests_are_still_read_and_answered() -> None:
    client, server = connected()
    stream_id = requested(client, server)

    frame = goaway_bytes(last_stream_id=stream_id, additional_data=b'{"reason":"Shutdown"}')
    server.send_headers(stream_id, [(b":status", b"200")], end_stream=True)

    assert frame[9:] == bytes.fromhex("00000001" "00000000") + b'{"reason":"Shutdown"}'  # fmt: skip
    assert requested(client, server) == 3


class IdleTransport(asyncio.Transport):
    """Takes everything and notes whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        return

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


async def test_a_client_that_doesnt_read_its_answers_isnt_read_either(apns_world: World) -> None:
    loop = asyncio.get_running_loop()
    connection = ApnsConnection(worlds=worlds_of(apns_world), rules=ConnectionRules(), loop=loop)
    transport = IdleTransport()
    connection.connection_made(transport)

    connection.pause_writing()
    assert not transport.is_read
    connection.resume_writing()
    assert transport.is_read
    connection.connection_lost(None)
