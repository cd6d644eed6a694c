"""Telling somebody something by Home Assistant's actions."""

from typing import Any

import orjson
import pytest

from expo_gateway.protocol.stored import decode_stored
from expo_gateway.registry.home_assistant import HaRegistration
from tests.doors.home_assistant.scene import NOW, Scene

NOTIFY = "/api/services/notify"
CREATE = "/api/services/persistent_notification/create"
CLOUD = {"push_token": "abc:ok201", "push_url": "http://127.0.0.1:1/"}


async def test_the_api_runs(scene: Scene) -> None:
    assert await scene.call("GET", "/api/") == (200, '{"message":"API running."}')
    assert await scene.call("GET", "/api/", token=None) == (401, "401: Unauthorized")


async def test_every_device_that_can_be_told_something_has_a_service(scene: Scene) -> None:
    await scene.register()
    await scene.register(device_name="Silent", app_data={})

    status, text = await scene.call("GET", "/api/services")

    assert status == 200
    notify, _ = orjson.loads(text)
    assert list(notify["services"]) == ["notify", "mobile_app_bob_s_phone"]


async def test_a_notification_is_accepted_for_the_device(scene: Scene) -> None:
    phone = await scene.register(app_data=CLOUD)

    answer = await scene.post(f"{NOTIFY}/mobile_app_bob_s_phone", {"message": "Hello", "title": "T", "data": {"a": 1}})

    assert answer == (200, "[]")
    assert await accepted(scene) == [(phone.push_token, {"message": "Hello", "title": "T", "data": {"a": 1}})]


async def test_of_two_devices_of_one_name_the_last_is_meant(scene: Scene) -> None:
    await scene.register(app_data=CLOUD)
    last = await scene.register(app_data=CLOUD)

    await scene.post(f"{NOTIFY}/mobile_app_bob_s_phone", {"message": "m"})

    assert [to for to, _ in await accepted(scene)] == [last.push_token]


async def test_notify_without_targets_tells_everybody(scene: Scene) -> None:
    phones = [await scene.register(device_name=name, app_data=CLOUD) for name in ("one", "two")]

    assert await scene.post(f"{NOTIFY}/notify", {"message": "m"}) == (200, "[]")
    assert {to for to, _ in await accepted(scene)} == {phone.push_token for phone in phones}


@pytest.mark.parametrize("key", ["target", "targets"])
@pytest.mark.parametrize("by", ["webhook", "slug", "service", "name"])
async def test_a_target_is_told_by_any_of_its_names(scene: Scene, key: str, by: str) -> None:
    await scene.register(device_name="one", app_data=CLOUD)
    phone = await scene.register(app_data=CLOUD)

    answer = await scene.post(f"{NOTIFY}/notify", {"message": "m", key: [name_of(phone, by)]})

    assert answer == (200, "[]")
    assert [to for to, _ in await accepted(scene)] == [phone.push_token]


async def test_a_target_that_is_no_device_is_said_without_repeating_it(scene: Scene) -> None:
    await scene.register(app_data=CLOUD)

    status, text = await scene.post(f"{NOTIFY}/notify", {"message": "m", "target": ["bob_s_phone", "secret"]})

    assert (status, orjson.loads(text)["message"]) == (400, "Target 2 of 2 is no device here.")
    assert await accepted(scene) == []


async def test_a_device_that_can_not_be_reached_is_an_error_and_the_others_are_told(scene: Scene) -> None:
    await scene.register()
    other = await scene.register(device_name="other", app_data=CLOUD)

    status, text = await scene.post(f"{NOTIFY}/notify", {"message": "m"})

    assert (status, orjson.loads(text)["message"]) == (
        500,
        "Device(s) Bob's phone not connected to local push notifications",
    )
    assert [to for to, _ in await accepted(scene)] == [other.push_token]


async def test_of_many_that_can_not_be_reached_some_are_named(scene: Scene) -> None:
    for number in range(22):
        await scene.register(device_name=f"phone {number}")

    status, text = await scene.post(f"{NOTIFY}/notify", {"message": "m"})

    assert status == 500
    assert "phone 19 and 2 more not connected" in orjson.loads(text)["message"]


async def test_a_device_that_listens_is_reached_without_a_cloud(scene: Scene) -> None:
    phone = await scene.register()
    async with scene.socket() as socket:
        await socket.listen(1, phone)

        assert await scene.post(f"{NOTIFY}/mobile_app_bob_s_phone", {"message": "m"}) == (200, "[]")


@pytest.mark.parametrize(
    "value", [{}, {"title": "T"}, {"message": "m", "x": 1}, {"message": "m", "data": None}, [], "m"]
)
@pytest.mark.parametrize("service", ["notify", "mobile_app_bob_s_phone"])
async def test_a_call_that_is_not_as_it_should_be_is_a_bad_request(scene: Scene, service: str, value: object) -> None:
    await scene.register(app_data=CLOUD)

    assert await scene.post(f"{NOTIFY}/{service}", value) == (400, "400: Bad Request")


@pytest.mark.parametrize("path", ["notify/mobile_app_nobody", "notify/other", "script/foo", "light/turn_on"])
async def test_an_unknown_service_is_a_bad_request(scene: Scene, path: str) -> None:
    assert await scene.post(f"/api/services/{path}", {"message": "m"}) == (400, "400: Bad Request")


async def test_a_call_that_is_no_json_says_so(scene: Scene) -> None:
    answer = await scene.call("POST", f"{NOTIFY}/notify", data=b"{")

    assert answer == (400, '{"message":"Data should be valid JSON."}')


@pytest.mark.parametrize("path", [f"{NOTIFY}/notify", CREATE])
async def test_a_call_needs_a_token_and_a_post(scene: Scene, path: str) -> None:
    assert await scene.post(path, {"message": "m"}, token=None) == (401, "401: Unauthorized")
    assert (await scene.call("GET", path))[0] == 405


async def test_a_note_is_kept_and_overwritten_by_its_id(scene: Scene) -> None:
    await scene.post(CREATE, {"message": "one", "title": "T", "notification_id": "x"})

    assert await scene.post(CREATE, {"message": "two", "notification_id": "x"}) == (200, "[]")
    assert [(one.notification_id, one.message, one.title, one.created_at) for one in await notes(scene)] == [
        ("x", "two", None, NOW)
    ]


async def test_notes_without_an_id_are_kept_apart(scene: Scene) -> None:
    await scene.post(CREATE, {"message": "one"})
    await scene.post(CREATE, {"message": "one"})

    assert len({one.notification_id for one in await notes(scene)}) == 2


async def test_a_note_is_dismissed(scene: Scene) -> None:
    await scene.post(CREATE, {"message": "one", "notification_id": "x"})

    answer = await scene.post("/api/services/persistent_notification/dismiss", {"notification_id": "x"})

    assert answer == (200, "[]")
    assert await notes(scene) == []


@pytest.mark.parametrize("value", [{}, {"message": "m", "data": {}}, {"message": None}])
async def test_a_note_is_taken_strictly(scene: Scene, value: object) -> None:
    assert await scene.post(CREATE, value) == (400, "400: Bad Request")


async def test_a_device_that_never_said_that_it_takes_pushes_has_no_service(scene: Scene) -> None:
    await scene.register(app_data={})

    assert (await scene.post(f"{NOTIFY}/mobile_app_bob_s_phone", {"message": "m"}))[0] == 400


async def notes(scene: Scene) -> list[Any]:
    return list(await scene.store.notifications())


async def accepted(scene: Scene) -> list[tuple[str, Any]]:
    """Push token and event of everything that waits to be delivered."""
    found = []
    for batch in await scene.outbox.claim(now=NOW, limit=100, lease_s=1.0):
        for message in decode_stored(batch.body).messages:
            found += [(token, orjson.loads(bytes(message.local))) for token in message.recipients]  # type: ignore[attr-defined]
    return found


def name_of(phone: HaRegistration, by: str) -> str:
    names = {"webhook": phone.webhook_id, "slug": phone.slug, "service": f"mobile_app_{phone.slug}"}
    return names.get(by, phone.device_name)
