"""GET /api/websocket: the IO around `protocol/home_assistant/websocket.py`, and the channels that clients open there.

Who is silent is asked by pings and let go below (`connection_websocket.py`).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import orjson
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from expo_gateway.doors.home_assistant.answers import TEXT, Reply, message_reply, respond
from expo_gateway.doors.home_assistant.auth import Tokens
from expo_gateway.doors.home_assistant.outgoing import Outgoing
from expo_gateway.errors import StoreUnavailable
from expo_gateway.home_assistant.registrations import Channel, Channels, HaRegistration, Registrations, registration_id
from expo_gateway.protocol.home_assistant import websocket as protocol
from expo_gateway.protocol.home_assistant.websocket import (
    Authenticate,
    Confirm,
    Conversation,
    End,
    Event,
    Listen,
    Say,
    Unsubscribe,
)

log = logging.getLogger(__name__)

PATH: Final = "/api/websocket"
NO_CHANNELS: Final = "Local push is in one process: it needs server.workers = 1."
NO_WEBSOCKETS: Final = "WebSockets are not served here: local push needs server.http = hypercorn, and HTTP/1.1."
# Our choices: for what is still to be said at the end, and for the client's last word.
FLUSH_S: Final = 2.0
CLOSE_S: Final = 1.0

# https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
NORMAL, GOING_AWAY, INTERNAL_ERROR = 1000, 1001, 1011


def routes() -> list[BaseRoute]:
    """For who asks for it without an upgrade, or of a server that knows none."""
    return [Route(PATH, _NoUpgrade())]


class _NoUpgrade:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upgrade = dict(scope["headers"]).get(b"upgrade", b"")
        if upgrade.lower() == b"websocket":
            await respond(send, message_reply(501, NO_WEBSOCKETS))
        else:
            text = b'No WebSocket UPGRADE hdr: None\n Can "Upgrade" only to "WebSocket".'
            await respond(send, Reply(status=400, body=text, content_type=TEXT))


class WebSocketDoor:
    """ASGI, for the scope "websocket"."""

    def __init__(
        self,
        *,
        registrations: Registrations,
        tokens: Tokens,
        channels: Channels | None,
        ha_version: str,
        stopping: asyncio.Event,
        monotonic: Callable[[], float] = time.monotonic,
        auth_s: float = protocol.AUTH_S,
    ) -> None:
        """`channels` None: there are none in several processes. `stopping`: set when a stop has begun."""
        self._registrations = registrations
        self._tokens = tokens
        self._channels = channels
        self._ha_version = ha_version
        self._stopping = stopping
        self._monotonic = monotonic
        self._auth_s = auth_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        if self._channels is None:
            await _reject(send, 501, NO_CHANNELS)
            return
        await send({"type": "websocket.accept"})
        talk = Conversation(ha_version=self._ha_version)
        client = _Client(
            talk,
            registrations=self._registrations,
            tokens=self._tokens,
            channels=self._channels,
            monotonic=self._monotonic,
        )
        await client.serve(receive, send, stopping=self._stopping, auth_s=self._auth_s)


async def _reject(send: Send, status: int, message: str) -> None:
    """https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response"""
    body = orjson.dumps({"message": message})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


class _Client:
    """One connection."""

    def __init__(
        self,
        talk: Conversation,
        *,
        registrations: Registrations,
        tokens: Tokens,
        channels: Channels,
        monotonic: Callable[[], float],
    ) -> None:
        self._talk = talk
        self._registrations = registrations
        self._tokens = tokens
        self._channels = channels
        self._outgoing = Outgoing(monotonic=monotonic, on_overflow=self._overflowed)
        self._user_id: str | None = None
        self._open: dict[int, Channel] = {}
        """By subscription."""
        self._dismissed = asyncio.Event()
        self._last_word = (NORMAL, "")

    async def serve(self, receive: Receive, send: Send, *, stopping: asyncio.Event, auth_s: float) -> None:
        writing = asyncio.ensure_future(self._write(send))
        hearing = asyncio.ensure_future(self._hear(receive, auth_s=auth_s))
        dismissed, stop = (asyncio.ensure_future(event.wait()) for event in (self._dismissed, stopping))
        try:
            await asyncio.wait((writing, hearing, dismissed, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # First of all: what waits for a confirm goes another way.
            self._leave()
            for task in (hearing, dismissed, stop):
                task.cancel()
            self._outgoing.end()
            await asyncio.wait((writing,), timeout=FLUSH_S)
            writing.cancel()
            await asyncio.wait((writing, hearing, dismissed, stop))
        if not writing.cancelled():
            writing.result()
        if stopping.is_set():
            self._last_word = (GOING_AWAY, "the gateway is stopping")
        if hearing.cancelled() or hearing.result():
            await self._close(receive, send)

    # -- what we say --

    async def _write(self, send: Send) -> None:
        while frames := await self._outgoing.take():
            for frame in protocol.joined(frames) if self._talk.coalesces else frames:
                await send({"type": "websocket.send", "text": frame.decode()})

    async def _close(self, receive: Receive, send: Send) -> None:
        code, reason = self._last_word
        await send({"type": "websocket.close", "code": code, "reason": reason})
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while (await receive())["type"] != "websocket.disconnect":
                    pass

    def _leave(self) -> None:
        for channel in self._open.values():
            self._channels.close(channel)
        self._open.clear()
        if self._user_id is not None:
            self._channels.disconnected(self._user_id)
            self._user_id = None

    def _overflowed(self) -> None:
        log.warning("a local push client leaves too much unread, and is let go")
        self._dismiss("too much was left unread")

    def _dismiss(self, reason: str) -> None:
        """The client is to connect again."""
        self._last_word = (NORMAL, reason)
        self._dismissed.set()

    # -- what the client says --

    async def _hear(self, receive: Receive, *, auth_s: float) -> bool:
        """True: it is to be closed. False: the client has left."""
        self._outgoing.put(self._talk.greet())
        try:
            async with asyncio.timeout(auth_s):
                while not self._talk.is_authenticated:
                    if (over := await self._next(receive)) is not None:
                        return over
        except TimeoutError:
            return True
        while (over := await self._next(receive)) is None:
            pass
        return over

    async def _next(self, receive: Receive) -> bool | None:
        """As `_hear`; None: it goes on."""
        message: Any = await receive()
        if message["type"] != "websocket.receive":
            return False
        text = message.get("text")
        try:
            for event in self._talk.receive(text) if text is not None else self._talk.receive_bytes():
                if not await self._act(event):
                    return True
        except StoreUnavailable:
            # "auth_invalid" would keep some clients from ever coming back.
            self._last_word = (INTERNAL_ERROR, "the store is not available; try again")
            return True
        return None

    async def _act(self, event: Event) -> bool:
        """False: nothing more is heard."""
        match event:
            case Say():
                self._outgoing.put(event.frame)
            case Authenticate():
                return await self._authenticate(event)
            case Listen():
                await self._listen(event)
            case Confirm():
                await self._confirm(event)
            case Unsubscribe():
                channel = self._open.pop(event.subscription, None)
                if channel is not None:
                    self._channels.close(channel)
                self._outgoing.put(protocol.result(event.id))
            case End():
                return False
        return True

    async def _authenticate(self, event: Authenticate) -> bool:
        user_id = await self._tokens.user_of(event.access_token)
        if user_id is None:
            self._outgoing.put(self._talk.refuse())
            return False
        self._user_id = user_id
        self._channels.connected(user_id)
        self._outgoing.put(self._talk.admit())
        return True

    async def _listen(self, event: Listen) -> None:
        registration = await self._own(event)
        if registration is None:
            return
        outgoing, id_ = self._outgoing, event.id
        channel = self._channels.open(
            registration.registration_id,
            deliver=lambda pushed: outgoing.put(protocol.pushed(id_, pushed)),
            end=self._dismiss,
            support_confirm=event.support_confirm,
        )
        self._open = {id_: one for id_, one in self._open.items() if one.registration_id != channel.registration_id}
        self._open[id_] = channel
        self._outgoing.put(self._talk.opened(event))

    async def _confirm(self, event: Confirm) -> None:
        # Who listens here has shown that it is his. A look into the store for each confirm is slower than what is sent.
        mine = registration_id(event.webhook_id)
        listens = any(channel.registration_id == mine for channel in self._open.values())
        if listens and self._channels.confirm(mine, event.confirm_id):
            self._outgoing.put(protocol.result(event.id))
            return
        registration = await self._own(event)
        if registration is None:
            return
        if self._channels.confirm(registration.registration_id, event.confirm_id):
            self._outgoing.put(protocol.result(event.id))
        else:
            self._outgoing.put(protocol.channel_not_found(event.id))

    async def _own(self, event: Listen | Confirm) -> HaRegistration | None:
        """The registration; None when it is none of this user's, and the client was told so."""
        registration = await self._registrations.by_webhook(event.webhook_id)
        if registration is None or registration.deleted_at is not None:
            self._outgoing.put(protocol.webhook_not_found(event.id))
            return None
        if registration.user_id != self._user_id:
            self._outgoing.put(protocol.not_linked(event.id))
            return None
        return registration
