"""Home Assistant's WebSocket on a real wire: every transcript, who listens, and how it ends."""

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest

from expo_gateway.protocol.home_assistant.websocket import MAX_TEXT_CHARS
from tests import evidence
from tests.doors.home_assistant.scene import CONFIRM_ID, OTHER_TOKEN, TOKEN, Scene, doors

TRANSCRIPTS = [name for name in evidence.names("home_assistant") if name.startswith("websocket_")]


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_a_conversation_goes_as_it_was_seen(name: str, scene: Scene) -> None:
    phone, other = await scene.register(), await scene.register(token=OTHER_TOKEN)
    values = {
        "<token>": TOKEN,
        "<webhook id>": phone.webhook_id,
        "<webhook id of another>": other.webhook_id,
        "<confirm id>": CONFIRM_ID,
    }
    async with scene.socket(token=None) as socket:
        for who, said in evidence.filled(evidence.load("home_assistant", name), values)["frames"]:
            match who:
                case "client":
                    await socket.say(said)
                case "notify":
                    assert scene.offer(phone, orjson.loads(said)) is not None
                case "server":
                    text = await socket.heard()
                    assert evidence.pattern(said).fullmatch(text), (text, said)
                case "close":
                    assert (await socket.ended())[0] == said


async def test_who_says_nothing_is_let_go_without_a_word() -> None:
    async with doors(auth_s=0.05) as scene, scene.socket(token=None) as socket:
        await socket.heard()

        assert await socket.ended() == (1000, "")


async def test_a_bearer_token_on_the_upgrade_does_not_authenticate(scene: Scene) -> None:
    async with scene.socket(token=None, headers={"authorization": f"Bearer {TOKEN}"}) as socket:
        await socket.hears({"type": "auth_required", "ha_version": "2026.11.0"})
        await socket.say({"id": 1, "type": "ping"})

        assert "auth_invalid" in await socket.heard()


async def test_a_confirmed_notification_has_arrived(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.listen(1, phone, support_confirm=True)
        arrived = scene.offer(phone, {"message": "Hello"})
        await socket.hears({"id": 1, "type": "event", "event": {"message": "Hello", "hass_confirm_id": CONFIRM_ID}})
        await socket.say(confirm(2, phone.webhook_id))
        await socket.hears(ok(2))

        assert arrived is not None
        assert await arrived


async def test_who_listens_confirms_without_the_store(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.listen(1, phone, support_confirm=True)
        arrived = scene.offer(phone, {"message": "Hello"})
        await socket.heard()
        await scene.file.close()
        await socket.say(confirm(2, phone.webhook_id))

        await socket.hears({"id": 2, "type": "result", "success": True, "result": None})
    assert arrived is not None
    assert arrived.result() is True


async def test_a_confirm_may_come_from_another_connection_of_the_same_user(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as one, scene.socket() as other:
        await one.listen(1, phone, support_confirm=True)
        arrived = scene.offer(phone, {"message": "Hello"})
        await other.say(confirm(1, phone.webhook_id))
        await other.hears(ok(1))

        assert arrived is not None
        assert await arrived


async def test_nobody_confirms_for_another_user(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as one, scene.socket(token=OTHER_TOKEN) as other:
        await one.listen(1, phone, support_confirm=True)
        arrived = scene.offer(phone, {"message": "Hello"})
        await other.say(confirm(1, phone.webhook_id))

        assert orjson.loads(await other.heard())["error"]["code"] == "unauthorized"
        assert arrived is not None
        assert not arrived.done()


async def test_the_newest_channel_wins_and_the_older_client_hears_no_more(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as older, scene.socket() as newer:
        await older.listen(1, phone)
        await newer.listen(7, phone)
        scene.offer(phone, {"message": "Hello"})

        await newer.hears({"id": 7, "type": "event", "event": {"message": "Hello"}})
        await older.say({"id": 2, "type": "ping"})
        await older.hears({"id": 2, "type": "pong"})


async def test_an_older_subscription_is_unsubscribed_without_harm_to_the_newer(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.listen(1, phone)
        await socket.listen(2, phone)
        await socket.say({"id": 3, "type": "unsubscribe_events", "subscription": 1})
        await socket.hears(ok(3))

        assert scene.channels.is_open(phone.registration_id)


async def test_who_leaves_with_a_confirm_open_is_known_to_at_once(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.listen(1, phone, support_confirm=True)
        arrived = scene.offer(phone, {"message": "Hello"})
        await socket.heard()
    assert arrived is not None

    async with asyncio.timeout(5):
        assert not await arrived
    assert not scene.channels.is_open(phone.registration_id)


async def test_unsubscribing_ends_the_channel(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.listen(1, phone, support_confirm=True)
        arrived = scene.offer(phone, {"message": "Hello"})
        await socket.heard()
        await socket.say({"id": 2, "type": "unsubscribe_events", "subscription": 1})
        await socket.hears(ok(2))

        assert arrived is not None
        assert not await arrived


async def test_a_client_that_confirms_nothing_is_told_to_connect_again(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.listen(1, phone, support_confirm=True)
        for _ in range(3):
            scene.offer(phone, {"message": "Hello"})
            scene.channels.missed(phone.registration_id, CONFIRM_ID)
            await socket.heard()

        code, reason = await socket.ended()
        assert code == 1000
        assert "not confirmed" in reason


async def test_a_registration_that_goes_takes_its_channel_along(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.listen(1, phone)
        await scene.registrations.delete(phone.registration_id)

        assert await socket.ended() == (1000, "the registration is gone")


async def test_nobody_listens_for_a_registration_that_is_gone(scene: Scene) -> None:
    phone = await scene.register()
    await scene.registrations.delete(phone.registration_id)
    async with scene.socket() as socket:
        await socket.say({"id": 1, "type": "mobile_app/push_notification_channel", "webhook_id": phone.webhook_id})

        assert orjson.loads(await socket.heard())["error"]["message"] == "Webhook ID not found"


async def test_messages_that_wait_come_as_one_array_when_the_client_asked_for_it(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.say({"id": 1, "type": "supported_features", "features": {"coalesce_messages": 1}})
        await socket.hears(ok(1))
        await socket.listen(2, phone)
        for number in range(3):
            scene.offer(phone, {"message": str(number)})

        heard = orjson.loads(await socket.heard())
        assert [one["event"]["message"] for one in heard] == ["0", "1", "2"]


async def test_a_stop_tells_the_client(scene: Scene) -> None:
    async with scene.socket() as socket:
        scene.stopping.set()

        assert await socket.ended() == (1001, "the gateway is stopping")


async def test_a_message_over_the_bound_ends_the_connection(scene: Scene) -> None:
    async with scene.socket() as socket:
        await socket.say("x" * (MAX_TEXT_CHARS + 1))

        assert (await socket.ended())[0] == 1009


async def test_binary_is_ignored_once_the_client_is_known(scene: Scene) -> None:
    async with scene.socket() as socket:
        await socket.wire.send_bytes(b"\x01audio")
        await socket.say({"id": 1, "type": "ping"})

        await socket.hears({"id": 1, "type": "pong"})


async def test_a_client_that_reads_nothing_is_let_go(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.listen(1, phone)
        for _ in range(5000):
            scene.offer(phone, {"message": "Hello"})

        assert await socket.ended() == (1000, "too much was left unread")


async def test_a_store_that_does_not_answer_is_no_wrong_token(scene: Scene) -> None:
    """Some clients never come back after `auth_invalid`."""
    async with scene.socket(token=None) as socket:
        await socket.heard()
        await scene.file.__aexit__(None, None, None)
        await socket.say({"type": "auth", "access_token": "x.y.z"})

        assert (await socket.ended())[0] == 1011


async def test_without_channels_the_upgrade_is_refused_with_the_reason() -> None:
    async with doors(has_channels=False) as scene:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with scene.socket(token=None):
                pass

        assert refused.value.status == 501


async def test_a_plain_request_is_told_what_is_wanted(scene: Scene) -> None:
    status, text = await scene.call("GET", "/api/websocket", token=None)

    assert (status, "UPGRADE" in text) == (400, True)


async def test_an_upgrade_elsewhere_is_refused(scene: Scene) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with scene.http.ws_connect(f"{scene.url}/api/elsewhere"):
            pass

    assert refused.value.status == 403


def ok(id_: int) -> dict[str, Any]:
    return {"id": id_, "type": "result", "success": True, "result": None}


def confirm(id_: int, webhook_id: str) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "mobile_app/push_notification_confirm",
        "webhook_id": webhook_id,
        "confirm_id": CONFIRM_ID,
    }
