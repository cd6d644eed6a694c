"""Apps register themselves, and change it by webhook."""

import orjson
import pytest

from expo_gateway.doors.home_assistant.answers import MAX_BODY_BYTES
from tests.doors.home_assistant.scene import OTHER_TOKEN, PHONE, TOKEN, Scene

REGISTRATIONS = "/api/mobile_app/registrations"
CHANGE = {"app_version": "2.0", "device_name": "Ann's phone", "manufacturer": "Acme", "model": "Two"}


async def test_a_registration_is_answered_as_home_assistant_does(scene: Scene) -> None:
    status, text = await scene.post(REGISTRATIONS, PHONE)

    answer = orjson.loads(text)
    assert (status, list(answer)) == (201, ["cloudhook_url", "remote_ui_url", "secret", "webhook_id"])
    assert (answer["cloudhook_url"], answer["remote_ui_url"], answer["secret"]) == (None, None, None)
    assert len(bytes.fromhex(answer["webhook_id"])) == 32


async def test_encryption_is_not_offered(scene: Scene) -> None:
    _, text = await scene.post(REGISTRATIONS, {**PHONE, "supports_encryption": True})

    assert orjson.loads(text)["secret"] is None


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"{", "Invalid JSON."), (b"", "Invalid JSON."), (b"[]", "Message format incorrect: expected a dictionary")],
)
async def test_a_registration_that_can_not_be_read_says_why(scene: Scene, body: bytes, said: str) -> None:
    assert await scene.call("POST", REGISTRATIONS, data=body) == (400, orjson.dumps({"message": said}).decode())


async def test_what_is_missing_is_named(scene: Scene) -> None:
    status, text = await scene.post(REGISTRATIONS, {"app_id": "x"})

    assert (status, "data['device_name']" in text) == (400, True)


@pytest.mark.parametrize("authorization", [None, "Basic dTpw", "Bearer", "Bearer wrong", f"Basic {TOKEN}"])
async def test_nobody_registers_without_a_bearer_token(scene: Scene, authorization: str | None) -> None:
    headers = {"authorization": authorization} if authorization is not None else {}
    async with scene.http.post(f"{scene.url}{REGISTRATIONS}", json=PHONE, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (401, "401: Unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_counts_from_the_moment_that_it_is_made(scene: Scene) -> None:
    from expo_gateway.protocol.home_assistant.access_token import TOKEN_RANDOM_BYTES, digest, new_token
    from expo_gateway.registry.home_assistant import LongLivedToken

    token, id_ = new_token(bytes(TOKEN_RANDOM_BYTES), now=0)
    before, _ = await scene.post(REGISTRATIONS, PHONE, token=token)
    await scene.store.add_token(LongLivedToken(id=id_, name="x", sha256=digest(token), created_at=0))
    after, _ = await scene.post(REGISTRATIONS, PHONE, token=token)
    await scene.store.revoke_token("x")
    revoked, _ = await scene.post(REGISTRATIONS, PHONE, token=token)

    assert (before, after, revoked) == (401, 201, 401)


async def test_a_registration_by_get_is_refused(scene: Scene) -> None:
    assert await scene.call("GET", REGISTRATIONS) == (405, "405: Method Not Allowed")


async def test_a_body_over_the_bound_is_refused(scene: Scene) -> None:
    status, text = await scene.call("POST", REGISTRATIONS, data=b" " * (MAX_BODY_BYTES + 1))

    assert (status, "message" in orjson.loads(text)) == (413, True)


async def test_a_change_is_answered_without_secrets(scene: Scene) -> None:
    phone = await scene.register()

    status, text = await scene.post(f"/api/webhook/{phone.webhook_id}", {"type": "update_registration", "data": CHANGE})

    assert (status, orjson.loads(text)) == (
        200,
        {
            "app_data": {"push_websocket_channel": True},
            "app_id": "io.example.app",
            "app_name": "Example",
            "app_version": "2.0",
            "device_name": "Ann's phone",
            "manufacturer": "Acme",
            "model": "Two",
            "os_version": None,
            "supports_encryption": False,
        },
    )
    changed = await scene.registrations.by_webhook(phone.webhook_id)
    assert changed is not None
    assert (changed.slug, changed.app_data) == ("ann_s_phone", {"push_websocket_channel": True})


async def test_app_data_is_replaced_and_not_merged(scene: Scene) -> None:
    phone = await scene.register()
    change = {**CHANGE, "app_data": {"push_token": "abc:ok201", "push_url": "http://127.0.0.1:1/"}}

    await scene.post(f"/api/webhook/{phone.webhook_id}", {"type": "update_registration", "data": change})

    changed = await scene.registrations.by_webhook(phone.webhook_id)
    assert changed is not None
    assert changed.app_data == change["app_data"]


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "HEAD"])
@pytest.mark.parametrize("webhook_id", ["0" * 64, "x", "y" * 5000])
async def test_an_unknown_webhook_is_answered_like_a_known_one(scene: Scene, method: str, webhook_id: str) -> None:
    assert await scene.call(method, f"/api/webhook/{webhook_id}", token=None, data=b"{") == (200, "")


async def test_a_deleted_webhook_is_gone(scene: Scene) -> None:
    phone = await scene.register()
    await scene.registrations.delete(phone.registration_id)

    assert await scene.post(f"/api/webhook/{phone.webhook_id}", {"type": "get_config"}) == (410, "")


async def test_registering_again_replaces_the_older_registration(scene: Scene) -> None:
    older = await scene.register(device_id="one")
    newer = await scene.register(device_id="one")

    assert (await scene.post(f"/api/webhook/{older.webhook_id}", {"type": "get_config"}))[0] == 410
    assert await scene.post(f"/api/webhook/{newer.webhook_id}", {"type": "get_config"}) == (200, "{}")


@pytest.mark.parametrize(
    "value",
    [
        {"type": "get_config"},
        {"type": "fire_event", "data": {"event_type": "x"}},
        {"type": "unheard_of"},
        {"type": "update_registration", "data": {**CHANGE, "app_id": "x"}},
        {"type": "update_registration"},
        {"type": "encrypted", "encrypted": True, "encrypted_data": "AAAA"},
        {},
        [],
    ],
)
async def test_a_webhook_that_is_not_understood_is_answered_with_an_empty_object(scene: Scene, value: object) -> None:
    phone = await scene.register()

    assert await scene.post(f"/api/webhook/{phone.webhook_id}", value) == (200, "{}")
    assert await scene.registrations.by_webhook(phone.webhook_id) == phone


async def test_a_webhook_that_is_no_json_is_a_bad_request(scene: Scene) -> None:
    phone = await scene.register()

    assert await scene.call("POST", f"/api/webhook/{phone.webhook_id}", data=b"{") == (400, "{}")


async def test_who_wants_encryption_later_is_told_that_there_is_none(scene: Scene) -> None:
    phone = await scene.register()

    status, text = await scene.post(f"/api/webhook/{phone.webhook_id}", {"type": "enable_encryption"})

    assert (status, orjson.loads(text)["error"]["code"]) == (400, "encryption_not_available")


async def test_a_webhook_needs_no_token(scene: Scene) -> None:
    phone = await scene.register(token=OTHER_TOKEN)

    status, _ = await scene.post(
        f"/api/webhook/{phone.webhook_id}", {"type": "update_registration", "data": CHANGE}, token=None
    )

    assert status == 200
