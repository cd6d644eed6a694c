"""A WebSocket of a client, on Hypercorn's use of wsproto, with what that leaves open closed.

Hypercorn 0.18 asks nobody whether he is still there and never hears an answer; takes compressed frames, of which 64 kB
become 64 MB before they are counted; and leaves an app waiting whose client was told that its message is too large.

https://www.rfc-editor.org/rfc/rfc6455
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError, WebsocketBuffer, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping, Pong
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

# Home Assistant's: a ping so often, and half of that for its answer. NAT forgets a silent connection within minutes.
PING_S: Final = 55.0
PONG_S: Final = PING_S / 2
# Our choice, in characters or bytes: far more than a client's commands need.
MAX_MESSAGE_CHARS: Final = 256 * 1024


class WebSocket(WSStream):
    """One connection after its upgrade. Hypercorn calls `handle` with what the client sends."""

    ping_s = PING_S
    pong_s = PONG_S

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.buffer = WebsocketBuffer(MAX_MESSAGE_CHARS)
        self._heard = asyncio.Event()
        self._over = asyncio.Event()

    async def handle(self, event: Any) -> None:
        try:
            await super().handle(event)
        except RemoteProtocolError as error:
            await self._fail(CloseReason.PROTOCOL_ERROR, reply=error.event_hint)
        if self.closed:
            self._over.set()
            self._heard.set()

    async def _accept(self, message: Any) -> None:
        # Without compression.
        self.handshake.extensions = None
        await super()._accept(message)
        self.task_group.spawn(self._watch)

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Message):
                await self._take(event)
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, Pong):
                self._heard.set()
            elif isinstance(event, CloseConnection):
                is_asked = self.connection.state is ConnectionState.REMOTE_CLOSING
                await self._send_wsproto_event(event.response() if is_asked else event)
                await self._end()
            if self.closed:
                return

    async def _take(self, event: "Message[Any]") -> None:
        try:
            self.buffer.extend(event)
        except FrameTooLargeError:
            self.buffer.clear()
            await self._fail(CloseReason.MESSAGE_TOO_BIG)
            return
        if event.message_finished:
            # None until the app is there, which is before the client may speak.
            if self.app_put is not None:
                await self.app_put(self.buffer.to_message())
            self.buffer.clear()

    async def _fail(self, code: CloseReason, *, reply: Any = None) -> None:
        """The client broke the rules: it is told, and nothing more is heard from it."""
        await self._send_wsproto_event(reply if reply is not None else CloseConnection(code=code))
        await self._end()

    async def _end(self) -> None:
        self.state = ASGIWebsocketState.CLOSED
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _watch(self) -> None:
        """Ends the connection when nobody is there any more; and itself with the connection."""
        while not await _within(self._over, self.ping_s):
            self._heard.clear()
            await self._send_wsproto_event(Ping())
            if not await _within(self._heard, self.pong_s):
                await self._end()


async def _within(event: asyncio.Event, wait_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()
    return event.is_set()
