"""A provider's side of APNs for the tests: its key, one valid push to spoil, and an HTTP/2 connection over real TLS."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hyperframe.frame import Frame, GoAwayFrame

DEVICE_TOKEN = "0f" * 32
TOPIC = "com.example.app"
APNS_ID = "123e4567-e89b-12d3-a456-426655440000"
BODY = b'{"aps":{"alert":"hello"}}'
WAIT_S = 5.0


class ProviderKey:
    """A .p8 key as Apple gives one out, and the tokens made with it."""

    def __init__(self, *, key_id: str = "KEY1234567", team_id: str = "TEAM123456") -> None:
        self.key_id = key_id
        self.team_id = team_id
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def private_pem(self) -> str:
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def public_pem(self) -> str:
        return (
            self._key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def token(self, *, issued_at: float, **claims: object) -> str:
        payload: dict[str, object] = {"iss": self.team_id, "iat": issued_at, **claims}
        return jwt.PyJWS().encode(orjson.dumps(payload), self._key, algorithm="ES256", headers={"kid": self.key_id})

    def bearer(self, *, issued_at: float) -> str:
        return "bearer " + self.token(issued_at=issued_at)


def push_headers(authorization: str, *, device_token: str = DEVICE_TOKEN) -> dict[str, str]:
    """Those of a push that APNs accepts."""
    return {
        ":method": "POST",
        ":scheme": "https",
        ":path": f"/3/device/{device_token}",
        ":authority": "api.push.apple.com",
        "authorization": authorization,
        "apns-topic": TOPIC,
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": "0",
        "apns-collapse-id": "news",
        "apns-id": APNS_ID,
    }


class _ClientConnection(h2.connection.H2Connection):
    """Goes on after GOAWAY and opens streams above the limit, so that a test sees what the emulator does then."""

    @property
    def open_outbound_streams(self) -> int:
        return 0

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.last_stream_id = frame.last_stream_id
        event.error_code = frame.error_code
        event.additional_data = frame.additional_data
        return [], [event]


@dataclass(slots=True)
class Response:
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    is_ended: bool = False
    reset_code: int | None = None

    @property
    def is_over(self) -> bool:
        return self.is_ended or self.reset_code is not None

    @property
    def status(self) -> int:
        return int(self.headers[":status"])

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def reason(self) -> str:
        return str(orjson.loads(self.body)["reason"]) if self.body else ""


class ApnsTestClient:
    """One connection. `settings`, `goaways` and `responses` hold what came in so far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, acknowledges: bool) -> None:
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.h2 = _ClientConnection(config)
        self.responses: dict[int, Response] = {}
        self.settings: list[dict[int, int]] = []
        self.goaways: list[h2.events.ConnectionTerminated] = []
        self.window_bytes = 65_535
        self.is_closed = False
        self.was_reset = False
        """By TCP, when it was closed."""
        self.is_settled = False
        """A ping was answered, so all that was sent before it was read."""
        self._reader = reader
        self._writer = writer
        self._acknowledges = acknowledges

    @classmethod
    async def connect(cls, port: int, ssl_context: ssl.SSLContext, *, acknowledges: bool = True) -> Self:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=ssl_context, server_hostname="api.push.apple.com"
        )
        client = cls(reader, writer, acknowledges=acknowledges)
        client.h2.initiate_connection()
        client.flush()
        try:
            await client.until(lambda: bool(client.settings))
        except BaseException:
            writer.transport.abort()
            raise
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), WAIT_S)
        except OSError:  # the emulator was faster
            return

    def send(self, headers: dict[str, str] | list[tuple[str, str]], body: bytes = BODY, *, ends: bool = True) -> int:
        """Queues a request for `flush`; its stream id."""
        stream_id = self.h2.get_next_available_stream_id()
        fields = list(headers.items()) if isinstance(headers, dict) else headers
        self.h2.send_headers(stream_id, fields, end_stream=ends and not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=ends)
        self.responses[stream_id] = Response()
        return stream_id

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def request(self, headers: dict[str, str] | list[tuple[str, str]], body: bytes = BODY) -> Response:
        stream_id = self.send(headers, body)
        self.flush()
        return await self.response(stream_id)

    async def response(self, stream_id: int) -> Response:
        response = self.responses[stream_id]
        await self.until(lambda: response.is_over)
        return response

    async def settle(self) -> None:
        """Until the emulator has read all that was sent so far."""
        self.is_settled = False
        self.h2.ping(b"settled?")
        self.flush()
        await self.until(lambda: self.is_settled)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Reads until the condition holds; AssertionError when the connection ends before."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                await self._read()
                assert is_so() or not self.is_closed, "the connection was closed"

    async def _read(self) -> None:
        try:
            data = await self._reader.read(65_536)
        except ConnectionError as error:
            data = b""
            self.was_reset = isinstance(error, ConnectionResetError)
        self.is_closed = not data
        if data:
            self._take(data)
            self.flush()

    def _take(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    self.responses[event.stream_id].headers = {str(name): str(value) for name, value in event.headers}
                case h2.events.DataReceived():
                    self.responses[event.stream_id].chunks.append(event.data)
                    if self._acknowledges:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.responses[event.stream_id].is_ended = True
                case h2.events.StreamReset():
                    self.responses[event.stream_id].reset_code = int(event.error_code)
                case h2.events.RemoteSettingsChanged():
                    self.settings.append({int(c.setting): c.new_value for c in event.changed_settings.values()})
                case h2.events.WindowUpdated(stream_id=0):
                    self.window_bytes += event.delta
                case h2.events.PingAckReceived():
                    self.is_settled = True
                case h2.events.ConnectionTerminated():
                    self.goaways.append(event)
                case _:
                    pass
