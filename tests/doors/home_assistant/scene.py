"""Home Assistant's doors on a real port, over a store in memory. Nothing is delivered: `offer` plays the provider."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import aiohttp
import msgspec
import orjson
from starlette.applications import Starlette

from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.home_assistant import registrations as registrations_door
from expo_gateway.doors.home_assistant import services as services_door
from expo_gateway.doors.home_assistant import websocket as websocket_door
from expo_gateway.doors.home_assistant.answers import MAX_BODY_BYTES
from expo_gateway.doors.http import with_plain_paths
from expo_gateway.gateway import Gateway, TokenPolicy
from expo_gateway.home_assistant.access import AccessTokens
from expo_gateway.home_assistant.registrations import PROJECT, Channels, HaRegistration, Registrations
from expo_gateway.listener import bind, serving
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.registry.sqlite_home_assistant import SqliteHomeAssistant
from expo_gateway.settings import Server
from expo_gateway.sqlite_file import SqliteFile

NOW = 1_767_657_694.556
TOKEN, OTHER_TOKEN = "a.good.token", "another.good.token"
WAIT_S = 10.0
CONFIRM_ID = "0123456789abcdef0123456789abcdef"
PHONE: Mapping[str, Any] = {
    "app_id": "io.example.app",
    "app_name": "Example",
    "app_version": "1.0",
    "device_name": "Bob's phone",
    "manufacturer": "Acme",
    "model": "One",
    "os_name": "Android",
    "app_data": {"push_websocket_channel": True},
}


@dataclass(slots=True)
class Scene:
    url: str
    http: aiohttp.ClientSession
    store: SqliteHomeAssistant
    outbox: SqliteOutbox
    registrations: Registrations
    channels: Channels
    stopping: asyncio.Event
    file: SqliteFile

    async def call(
        self, method: str, path: str, *, token: str | None = TOKEN, data: bytes | None = None, **how: Any
    ) -> tuple[int, str]:
        """Status and text."""
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        async with self.http.request(method, f"{self.url}{path}", headers=headers, data=data, **how) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, value: object, **how: Any) -> tuple[int, str]:
        return await self.call("POST", path, json=value, **how)

    async def register(self, *, token: str = TOKEN, **changed: object) -> HaRegistration:
        status, text = await self.post("/api/mobile_app/registrations", {**PHONE, **changed}, token=token)
        assert status == 201, text
        made = await self.registrations.by_webhook(orjson.loads(text)["webhook_id"])
        assert made is not None
        return made

    @asynccontextmanager
    async def socket(self, *, token: str | None = TOKEN, **how: Any) -> AsyncIterator["Socket"]:
        """`token` None: nothing was said yet."""
        connecting = self.http.ws_connect(f"{self.url}/api/websocket", **how)
        async with connecting as wire:
            socket = Socket(wire)
            if token is not None:
                await socket.hears({"type": "auth_required", "ha_version": "2026.11.0"})
                await socket.say({"type": "auth", "access_token": token})
                await socket.hears({"type": "auth_ok", "ha_version": "2026.11.0"})
            yield socket

    def offer(self, registration: HaRegistration, event: Mapping[str, Any]) -> "asyncio.Future[bool] | None":
        """As the local provider: None, there is no channel."""
        raw = msgspec.Raw(orjson.dumps(event))
        return self.channels.offer(registration.registration_id, raw, confirm_id=CONFIRM_ID)


class Socket:
    def __init__(self, wire: aiohttp.ClientWebSocketResponse) -> None:
        self.wire = wire

    async def say(self, value: object) -> None:
        await self.wire.send_str(value if isinstance(value, str) else orjson.dumps(value).decode())

    async def next(self) -> aiohttp.WSMessage:
        return await self.wire.receive(timeout=WAIT_S)

    async def heard(self) -> str:
        message = await self.next()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return str(message.data)

    async def hears(self, value: object) -> None:
        assert orjson.loads(await self.heard()) == value

    async def ended(self) -> tuple[int | None, str]:
        """Code and reason; nothing else may come before."""
        message = await self.next()
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return message.data, str(message.extra)

    async def listen(self, id_: int, registration: HaRegistration, **options: Any) -> None:
        kind = "mobile_app/push_notification_channel"
        await self.say({"id": id_, "type": kind, "webhook_id": registration.webhook_id, **options})
        await self.hears({"id": id_, "type": "result", "success": True, "result": None})


@asynccontextmanager
async def doors(
    *, has_channels: bool = True, exact: bool = False, auth_s: float = WAIT_S, body_timeout_s: float = WAIT_S
) -> AsyncIterator[Scene]:
    async with SqliteFile(":memory:", durability="process") as file:
        outbox, registry = SqliteOutbox(file), SqliteRegistry(file)
        await outbox.open()
        await registry.open()
        gateway = Gateway(
            registry=registry,
            outbox=outbox,
            policy=TokenPolicy(project=PROJECT, strict=True),
            clock=lambda: NOW,
            random_bytes=os.urandom,
            wake=lambda project_id: None,
        )
        store, channels, stopping = SqliteHomeAssistant(file), Channels(exact=exact), asyncio.Event()
        registrations = Registrations(
            store=store,
            registry=registry,
            gateway=gateway,
            channels=channels,
            # Who registers later is the later one.
            clock=partial(next, count(NOW)),
            random_bytes=os.urandom,
        )
        tokens = AccessTokens(store=store, configured=(TOKEN, OTHER_TOKEN))
        bodies = Bodies(timeout_s=body_timeout_s, max_body_bytes=MAX_BODY_BYTES)
        routes = [
            *registrations_door.routes(registrations, tokens, bodies=bodies),
            *services_door.routes(registrations, tokens, store, bodies=bodies, clock=lambda: NOW),
            *websocket_door.routes(),
        ]
        websocket = websocket_door.WebSocketDoor(
            registrations=registrations,
            tokens=tokens,
            channels=channels if has_channels else None,
            ha_version="2026.11.0",
            stopping=stopping,
            auth_s=auth_s,
        )
        app = with_plain_paths(Starlette(routes=routes), websockets={websocket_door.PATH: websocket})
        sockets = bind("127.0.0.1", 0)
        url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        async with (
            serving(app, sockets=sockets, tls=None, settings=Server(drain_s=0.5)),
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_S)) as http,
        ):
            yield Scene(url, http, store, outbox, registrations, channels, stopping, file)
