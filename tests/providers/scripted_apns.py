"""A server that misbehaves on purpose, frame by frame: what the APNs emulator is too well-behaved to do."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

HTML = b"<html>502 Bad Gateway</html>"


@dataclass(slots=True, kw_only=True, eq=False)
class Received:
    """A request, and what can be done with it. Nothing is answered unless the script does it."""

    line: "Line"
    stream_id: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def number(self) -> int:
        """1 for the first request of its connection."""
        return self.stream_id // 2 + 1

    def answer(
        self, status: int = 200, *chunks: bytes, end: bool = True, headers: dict[str, str] | None = None
    ) -> None:
        fields = [(":status", str(status)), *(headers or {}).items()]
        self.line.h2.send_headers(self.stream_id, fields, end_stream=end and not chunks)
        for index, chunk in enumerate(chunks, start=1):
            self.line.h2.send_data(self.stream_id, chunk, end_stream=end and index == len(chunks))
        self.line.flush()

    def reset(self, error_code: int) -> None:
        self.line.h2.reset_stream(self.stream_id, error_code)
        self.line.flush()


Script = Callable[[Received], None]


def accept(request: Received) -> None:
    request.answer(200, headers={"apns-id": request.headers["apns-id"]})


def ignore(request: Received) -> None:
    """Never answered."""


@dataclass(slots=True, kw_only=True)
class Habits:
    """How the server treats every connection."""

    settings: dict[SettingCodes | int, int] = field(default_factory=lambda: {SettingCodes.MAX_CONCURRENT_STREAMS: 1000})
    gives_window: bool = True
    """Acknowledge what is received, so that the client may send more."""
    hangs_up: bool = False
    """As soon as TLS stands."""


class Line(asyncio.Protocol):
    """The server's end of one connection."""

    def __init__(self, server: "ScriptedApns") -> None:
        self.server = server
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests: list[Received] = []
        self.pings = 0
        self.resets: list[int] = []
        self.is_deaf = False
        """Set by a script: nothing that comes in is looked at any more, as when the way is gone."""
        self._open: dict[int, Received] = {}
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.lines.append(self)
        if self.server.habits.hangs_up:
            transport.close()
            return
        self.h2.local_settings.update(self.server.habits.settings)
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self.is_deaf:
            return
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.lost.set()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                headers = {str(name): str(value) for name, value in event.headers}
                self._open[event.stream_id] = Received(line=self, stream_id=event.stream_id, headers=headers)
            case h2.events.DataReceived():
                self._open[event.stream_id].body += event.data
                if self.server.habits.gives_window:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self._complete(self._open.pop(event.stream_id))
            case h2.events.StreamReset():
                self.resets.append(event.stream_id)
                self.server.changed.set()
            case h2.events.PingReceived():
                self.pings += 1
                self.server.changed.set()
            case _:
                pass

    def _complete(self, request: Received) -> None:
        self.requests.append(request)
        self.server.script(request)
        self.server.changed.set()

    def change(self, setting: SettingCodes, value: int) -> None:
        self.h2.update_settings({setting: value})
        self.flush()

    def go_away(self, *, last_stream_id: int, reason: bytes = b'{"reason":"Shutdown"}') -> None:
        """Written past h2, which could not answer anything afterwards."""
        self.flush()
        self.write(GoAwayFrame(0, last_stream_id=last_stream_id, error_code=0, additional_data=reason).serialize())

    def flush(self) -> None:
        self.write(self.h2.data_to_send())

    def write(self, data: bytes) -> None:
        if data and not self.transport.is_closing():
            self.transport.write(data)


class ScriptedApns:
    """Listens on 127.0.0.1 with TLS; `script` is called for every complete request and may be exchanged."""

    def __init__(self, script: Script, *, ssl_context: ssl.SSLContext, habits: Habits | None = None) -> None:
        self.script = script
        self.habits = habits or Habits()
        self.lines: list[Line] = []
        self.changed = asyncio.Event()
        """Something came in, or a script was called."""
        self.lost = asyncio.Event()
        self._ssl_context = ssl_context
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def requests(self) -> list[Received]:
        return [request for line in self.lines for request in line.requests]

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Line(self), "127.0.0.1", 0, ssl=self._ssl_context, ssl_shutdown_timeout=0.5
        )

    async def until(self, condition: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
        """TimeoutError unless the condition comes true; looked at whenever something came in."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for line in self.lines:
            line.transport.abort()
        # The transports tell their protocols in the next turns of the loop.
        for _ in range(3):
            await asyncio.sleep(0)
