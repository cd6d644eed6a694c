"""Home Assistant's doors as `serve` has them: registration, channel, relay and emulator in one gateway."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from expo_gateway.app import App, open_app
from expo_gateway.listener import bind, serving
from expo_gateway.settings import load_settings
from tests.dispatcher.conftest import until

WAIT_S = 20.0
TOKEN = "sesame"
RELAY = "/api/sendPush/android/v1"
PHONE: Mapping[str, Any] = {
    "app_id": "io.example.app",
    "app_name": "Example",
    "app_version": "1.0",
    "device_name": "Phone",
    "manufacturer": "Acme",
    "model": "One",
    "os_name": "Android",
    "device_id": "a-device",
}


class House:
    """A gateway on a real port, and who talks to it."""

    def __init__(self, app: App, http: aiohttp.ClientSession, url: str) -> None:
        self.app = app
        self.http = http
        self.url = url

    async def ask(self, method: str, path: str, value: object = None) -> Any:
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with self.http.request(method, f"{self.url}{path}", json=value, headers=headers) as answer:
            assert answer.ok, await answer.text()
            return await answer.json()

    async def register(self, **app_data: object) -> str:
        """The webhook id."""
        made = await self.ask("POST", "/api/mobile_app/registrations", {**PHONE, "app_data": app_data})
        return str(made["webhook_id"])

    async def notify(self, **event: object) -> None:
        assert await self.ask("POST", "/api/services/notify/mobile_app_phone", event) == []

    @asynccontextmanager
    async def listening(self, webhook_id: str, *, support_confirm: bool = True) -> AsyncIterator["Listener"]:
        async with self.http.ws_connect(f"{self.url}/api/websocket") as wire:
            listener = Listener(wire, webhook_id)
            await listener.hear()
            await wire.send_json({"type": "auth", "access_token": TOKEN})
            assert (await listener.hear())["type"] == "auth_ok"
            await listener.say("push_notification_channel", support_confirm=support_confirm)
            yield listener

    async def deliveries(self) -> list[tuple[str, str, str, int]]:
        """Platform, text, state and attempts of each, once all have their receipts."""
        await self.ask("GET", f"/_gateway/v1/idle/wait?timeout_s={WAIT_S}")
        return await self._deliveries()

    async def has(self, delivery: tuple[str, str, str, int]) -> bool:
        return delivery in await self._deliveries()

    async def _deliveries(self) -> list[tuple[str, str, str, int]]:
        found = (await self.ask("GET", "/_gateway/v1/deliveries"))["deliveries"]
        return [(one["device"]["platform"], one["body"], one["state"], one["attempts_made"]) for one in found]


class Listener:
    def __init__(self, wire: aiohttp.ClientWebSocketResponse, webhook_id: str) -> None:
        self.wire = wire
        self.webhook_id = webhook_id
        self.said = 0

    async def hear(self) -> Any:
        return await self.wire.receive_json(timeout=WAIT_S)

    async def say(self, command: str, **fields: object) -> None:
        self.said += 1
        kind = f"mobile_app/{command}"
        await self.wire.send_json({"id": self.said, "type": kind, "webhook_id": self.webhook_id, **fields})
        assert await self.hear() == {"id": self.said, "type": "result", "success": True, "result": None}


@asynccontextmanager
async def house(**overrides: Mapping[str, object]) -> AsyncIterator[House]:
    """`overrides`: settings by section."""
    given = {**overrides, "home_assistant": {"tokens": [TOKEN], **overrides.get("home_assistant", {})}}
    settings = load_settings(environ={}, overrides=given)
    sockets = bind("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        app = await stack.enter_async_context(open_app(settings, Path(directory), port=port))
        await stack.enter_async_context(serving(app.asgi, sockets=sockets, tls=None, settings=settings.server))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield House(app, http, f"http://127.0.0.1:{port}")


async def test_who_listens_gets_it_and_the_cloud_does_not() -> None:
    async with house() as home:
        webhook_id = await home.register(push_websocket_channel=True, push_token="abc:ok201", push_url=home.url + RELAY)
        async with home.listening(webhook_id) as phone:
            await home.notify(message="Hello", data={"tag": "door"})
            event = (await phone.hear())["event"]
            confirm_id = event.pop("hass_confirm_id")
            await phone.say("push_notification_confirm", confirm_id=confirm_id)

            assert event == {"message": "Hello", "data": {"tag": "door"}}
            assert await home.deliveries() == [("local", "Hello", "delivered", 1)]
            counts = await home.ask("POST", "/api/checkRateLimits", {"push_token": "abc:ok201"})
            assert counts["rateLimits"]["total"] == 0


async def test_who_does_not_listen_gets_it_through_our_relay() -> None:
    async with house() as home:
        await home.register(push_websocket_channel=True, push_token="abc:ok201", push_url=home.url + RELAY)

        await home.notify(message="Hello", title="T")

        assert sorted(await home.deliveries()) == [
            ("android", "Hello", "delivered", 1),
            ("local", "Hello", "delivered", 1),
        ]
        (capture,) = (await home.ask("GET", "/_gateway/v1/captures"))["captures"]
        message = capture["body"]["message"]
        assert (message["token"], message["data"]["message"], message["data"]["title"]) == ("abc:ok201", "Hello", "T")


async def test_who_does_not_confirm_gets_it_through_the_cloud_once_and_still_listens() -> None:
    async with house(home_assistant={"confirm_s": 0.05}) as home:
        webhook_id = await home.register(push_websocket_channel=True, push_token="abc:ok201", push_url=home.url + RELAY)
        async with home.listening(webhook_id) as phone:
            await home.notify(message="first")
            await phone.hear()
            assert sorted(await home.deliveries()) == [
                ("android", "first", "delivered", 1),
                ("local", "first", "delivered", 2),
            ]

            await home.notify(message="second")

            assert (await phone.hear())["event"]["message"] == "second"


async def test_who_leaves_in_the_middle_gets_it_through_the_cloud_at_once() -> None:
    async with house() as home:
        webhook_id = await home.register(push_websocket_channel=True, push_token="abc:ok201", push_url=home.url + RELAY)
        async with home.listening(webhook_id) as phone:
            await home.notify(message="Hello")
            await phone.hear()

        assert sorted(await home.deliveries()) == [
            ("android", "Hello", "delivered", 1),
            ("local", "Hello", "delivered", 2),
        ]


async def test_at_a_stop_clients_are_told_and_what_they_owe_goes_another_way() -> None:
    async with house() as home:
        webhook_id = await home.register(push_websocket_channel=True, push_token="abc:ok201", push_url=home.url + RELAY)
        async with home.listening(webhook_id) as phone:
            await home.notify(message="Hello")
            await phone.hear()

            home.app.stopping.set()

            assert (await phone.wire.receive(timeout=WAIT_S)).data == aiohttp.WSCloseCode.GOING_AWAY
            await until(lambda: home.has(("local", "Hello", "delivered", 2)))


async def test_a_device_that_is_to_leave_the_machine_is_kept_in_and_told_so_by_its_receipt() -> None:
    async with house() as home:
        await home.register(push_token="t", push_url="http://203.0.113.1/push")
        await home.notify(message="Hello")

        assert await home.deliveries() == [("local", "Hello", "failed", 1)]
        (found,) = (await home.ask("GET", "/_gateway/v1/deliveries"))["deliveries"]
        assert "emulator" in found["receipt"]["message"]


async def test_it_is_posted_to_the_apps_own_push_url() -> None:
    posted: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def take(request: web.BaseRequest) -> web.Response:
        posted.put_nowait(await request.json())
        return web.json_response({"messageId": "theirs"}, status=201)

    async with house() as home, _listening(take) as url:
        webhook_id = await home.register(push_token="t", push_url=f"{url}/push", push_websocket_channel=False)
        await home.notify(message="Hello")

        assert await home.deliveries() == [("local", "Hello", "delivered", 1)]
        assert posted.get_nowait() == {
            "message": "Hello",
            "push_token": "t",
            "registration_info": {"app_id": "io.example.app", "app_version": "1.0", "webhook_id": webhook_id},
        }
        assert posted.empty()


@asynccontextmanager
async def _listening(take: Any) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(web.Server(take), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_app_that_registers_again_has_one_device() -> None:
    async with house() as home:
        older = await home.register(push_websocket_channel=True)
        async with home.listening(older) as phone:
            await home.register(push_websocket_channel=True)

            assert (await phone.wire.receive(timeout=WAIT_S)).type is aiohttp.WSMsgType.CLOSE
        devices = (await home.ask("GET", "/_gateway/v1/devices?platform=local"))["devices"]
        assert len(devices) == 1
        async with home.http.post(f"{home.url}/api/webhook/{older}", json={"type": "get_config"}) as answer:
            assert answer.status == 410


async def test_turned_off_none_of_its_paths_is_there() -> None:
    async with house(home_assistant={"enabled": False}) as home:
        for path in ("/api/", RELAY, "/api/websocket"):
            async with home.http.get(f"{home.url}{path}") as answer:
                assert answer.status == 404
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await home.http.ws_connect(f"{home.url}/api/websocket")


async def test_the_relay_is_under_its_prefix_and_the_rest_where_home_assistant_has_it() -> None:
    async with house(home_assistant={"prefix": "/relay"}) as home:
        assert (await home.ask("POST", "/relay/api/checkRateLimits", {"push_token": "abc:ok201"}))["rateLimits"]
        assert await home.ask("GET", "/api/") == {"message": "API running."}
        async with home.http.post(f"{home.url}{RELAY}", json={}) as answer:
            assert answer.status == 404


async def test_in_exact_mode_a_missed_confirm_ends_the_channel_in_silence() -> None:
    async with house(home_assistant={"confirm_s": 0.05, "exact": True}) as home:
        webhook_id = await home.register(push_websocket_channel=True, push_token="abc:ok201", push_url=home.url + RELAY)
        async with home.listening(webhook_id) as phone:
            await home.notify(message="first")
            await phone.hear()
            await home.deliveries()
            await home.notify(message="second")

            assert ("local", "second", "delivered", 1) in await home.deliveries()
            await phone.wire.send_json({"id": 9, "type": "ping"})
            assert await phone.hear() == {"id": 9, "type": "pong"}
