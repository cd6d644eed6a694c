"""The relay: what it takes in, what it counts, what it says."""

import asyncio
import json
from typing import Any

import pytest

from expo_gateway.errors import StoreUnavailable
from expo_gateway.outbox.base import Progress
from expo_gateway.protocol.device import Platform
from expo_gateway.protocol.receipt import ReceiptError, expo_error, fcm_not_registered, fcm_refused, too_big
from expo_gateway.providers.local import RelayAnswer
from tests import evidence
from tests.home_assistant.relay_scene import APNS_TOKEN, DAY_S, FCM_TOKEN, PHONE, Scene, body, opened, posted

OFFICIAL: list[dict[str, Any]] = evidence.load("home_assistant", "official_answers")["answers"]
CRITICAL = {"push": {"sound": {"name": "default", "critical": 1, "volume": 1.0}}}
ALL_LIMITS = {"attempts", "successful", "errors", "total", "maximum", "remaining", "resetsAt"}


def limits(answer: RelayAnswer) -> dict[str, Any]:
    found: Any = answer.body["rateLimits"]
    assert set(found) == ALL_LIMITS
    return dict(found)


def counted(answer: RelayAnswer) -> tuple[int, int, int, int]:
    found = limits(answer)
    return found["attempts"], found["successful"], found["errors"], found["total"]


async def test_a_notification_is_durable_when_it_is_answered(scene: Scene) -> None:
    answer = await scene.relay().push("legacy", posted(title="T"))

    assert answer.status == 201
    assert answer.body["target"] == PHONE
    (message,) = await scene.accepted()
    assert (message.recipients, message.title, message.body) == ([PHONE], "T", "Hello World")


async def test_the_answer_has_all_that_home_assistant_and_its_apps_read(scene: Scene) -> None:
    answer = await scene.relay().push("legacy", posted())

    assert set(answer.body) == {"messageId", "sentPayload", "target", "rateLimits"}
    assert limits(answer) == {
        "attempts": 1,
        "successful": 1,
        "errors": 0,
        "total": 1,
        "maximum": 500,
        "remaining": 499,
        "resetsAt": "2026-11-23T00:00:00.000Z",
    }


async def test_the_answer_shows_the_payload_with_its_target(scene: Scene) -> None:
    sent: Any = (await scene.relay().push("android", posted(FCM_TOKEN))).body["sentPayload"]

    assert (sent["token"], sent["data"]["message"]) == (FCM_TOKEN, "Hello World")


async def test_one_too_many_is_refused_early(scene: Scene) -> None:
    relay = scene.relay(max_per_day=2)
    for _ in range(2):
        assert (await relay.push("legacy", posted())).status == 201

    answer = await relay.push("legacy", posted())

    assert answer.status == 429
    assert answer.body["errorType"] == "RateLimited"
    assert answer.body["message"]
    assert answer.body["target"] == PHONE
    assert counted(answer) == (3, 2, 0, 2)
    assert limits(answer)["remaining"] == 0


async def test_many_at_once_pass_no_more_than_the_limit(scene: Scene) -> None:
    relay = scene.relay(max_per_day=5)

    found = await asyncio.gather(*(relay.push("legacy", posted()) for _ in range(20)))

    assert sorted(answer.status for answer in found) == [201] * 5 + [429] * 15


async def test_each_push_token_has_its_own_day(scene: Scene) -> None:
    relay = scene.relay(max_per_day=1)
    await relay.push("legacy", posted())

    assert (await relay.push("android", posted(FCM_TOKEN))).status == 201


async def test_the_day_ends_at_midnight_utc(scene: Scene) -> None:
    relay = scene.relay(max_per_day=1)
    await relay.push("legacy", posted())

    scene.now += DAY_S
    answer = await relay.push("legacy", posted())

    assert counted(answer) == (1, 1, 0, 1)
    assert limits(answer)["resetsAt"] == "2026-11-24T00:00:00.000Z"


async def test_counts_survive_a_restart(scene: Scene) -> None:
    await scene.relay().push("legacy", posted())

    answer = await scene.relay().push("legacy", posted())

    assert counted(answer) == (2, 2, 0, 2)


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        ("legacy", {"message": "clear_notification", "data": {"tag": "x"}}),
        ("legacy", {"message": "request_location_update"}),
        ("legacy", {"message": "Fire!", "data": CRITICAL}),
        ("android", {"message": "command_dnd"}),
    ],
    ids=["clear", "location", "critical", "android"],
)
async def test_what_is_exempt_passes_a_limit_and_does_not_count(scene: Scene, endpoint: Any, fields: Any) -> None:
    relay = scene.relay(max_per_day=1)
    await relay.push("legacy", posted())

    answer = await relay.push(endpoint, posted(**fields))

    assert (answer.status, counted(answer)) == (201, (1, 1, 0, 1))


async def test_a_phone_is_told_once_a_day_that_it_is_limited(scene: Scene) -> None:
    relay = scene.relay(max_per_day=1)
    for _ in range(4):
        await relay.push("legacy", posted())

    titles = [message.title for message in await scene.accepted()]

    assert titles == [None, "Notifications Rate Limited"]


async def test_the_official_relay_tells_it_each_time(scene: Scene) -> None:
    relay = scene.relay(max_per_day=1, exact=True, exact_wait_s=0.01)
    for _ in range(4):
        await relay.push("android", posted(FCM_TOKEN))

    assert len(await scene.accepted()) == 4


async def test_what_failed_uses_up_nothing(scene: Scene) -> None:
    relay = scene.relay(max_per_day=1)
    await scene.settle(await relay.push("legacy", posted()), fcm_not_registered())

    answer = await relay.push("legacy", posted())

    assert (answer.status, counted(answer)) == (201, (2, 1, 1, 2))


async def test_what_was_delivered_counts_and_is_asked_for_once(scene: Scene) -> None:
    relay = scene.relay()
    await scene.settle(await relay.push("legacy", posted()))

    for expected in (1, 1):
        answer = await relay.check_body(body())
        assert limits(answer)["successful"] == expected


async def test_how_much_is_left_can_be_asked(scene: Scene) -> None:
    relay = scene.relay(max_per_day=3)
    await relay.push("legacy", posted())

    answer = await relay.check_body(json.dumps({"push_token": PHONE}).encode())

    assert (answer.status, answer.body["target"]) == (200, PHONE)
    assert limits(answer)["remaining"] == 2


async def test_asking_counts_nothing(scene: Scene) -> None:
    relay = scene.relay()
    for _ in range(2):
        answer = await relay.check_body(body())

    assert counted(answer) == (0, 0, 0, 0)


async def test_a_device_token_of_a_registered_device_is_that_device(scene: Scene) -> None:
    push_token = await scene.register(Platform.IOS, APNS_TOKEN)

    answer = await scene.relay().push("legacy", posted(APNS_TOKEN.upper()))

    assert answer.status == 201
    assert answer.body["target"] == APNS_TOKEN.upper()
    assert [message.recipients for message in await scene.accepted()] == [[push_token]]


async def test_an_fcm_token_becomes_one_device(scene: Scene) -> None:
    relay = scene.relay()
    for _ in range(2):
        assert (await relay.push("android", posted(FCM_TOKEN))).status == 201

    (device,) = await scene.registry.list_devices()

    assert (device.device_token, device.platform) == (FCM_TOKEN, Platform.ANDROID)
    assert device.app_id == "io.robbie.HomeAssistant"


@pytest.mark.parametrize("token", [APNS_TOKEN, "not a token", "ExponentPushToken[", "https://x.org/y"])
async def test_a_token_that_nobody_can_have_is_unknown(scene: Scene, token: str) -> None:
    answer = await scene.relay().push("legacy", posted(token))

    assert answer.status == 404
    assert answer.body["errorType"] == "InvalidToken"
    assert answer.body["errorCode"] == "registration-token-not-registered"
    assert answer.body["message"]


async def test_an_unknown_token_leaves_nothing_behind(scene: Scene) -> None:
    relay = scene.relay()
    await relay.push("legacy", posted(APNS_TOKEN))

    assert counted(await relay.check_body(body(APNS_TOKEN))) == (0, 0, 0, 0)
    assert await scene.registry.count_devices() == 0


async def test_where_nobody_is_enrolled_raw_tokens_are_unknown() -> None:
    async with opened(strict=True) as scene:
        relay = scene.relay()

        assert (await relay.push("android", posted(FCM_TOKEN))).status == 404
        assert (await relay.push("legacy", posted(PHONE))).status == 404
        assert counted(await relay.check_body(body(PHONE))) == (1, 0, 1, 1)


async def test_a_dead_device_is_gone(scene: Scene) -> None:
    push_token = await scene.register(Platform.IOS, APNS_TOKEN)
    await scene.registry.mark_gone(push_token, device_token=APNS_TOKEN, gone_at=scene.now + 1)

    answer = await scene.relay().push("legacy", posted(APNS_TOKEN))

    assert answer.status == 410
    assert answer.body["errorCode"] == "registration-token-not-registered"


async def test_a_device_of_local_push_is_not_sent_round_and_round(scene: Scene) -> None:
    push_token = await scene.register(Platform.LOCAL, "c3" * 32)

    for token in (push_token, "c3" * 32):
        assert (await scene.relay().push("legacy", posted(token))).status == 404


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"[]", "a list"),
        (b"null", "null"),
        (b"\x1f\x8b\x08\x00broken", "ends too early"),
        (b'{"data":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "nested too deep"),
        (b'{"data":' + b"[" * 210 + b"]" * 210 + b"}", "nested too deep"),
        (b'{"message":"x"}', "push_token is missing"),
        (b'{"message":"x","push_token":""}', "push_token is missing"),
        (b'{"message":"x","push_token":7}', "push_token is a number"),
        (json.dumps({"message": "x", "push_token": "x" * 5000}).encode(), "has 5000 characters"),
        (b'{"push_token":"a:b"}', "message is missing"),
        (b'{"push_token":"a:b","message":["x"]}', "message is a list"),
        (b'{"push_token":"a:b","message":"x","title":true}', "title is a boolean"),
        (b'{"push_token":"a:b","message":"x","data":[]}', "data is a list"),
        (b'{"push_token":"a:b","message":"x","registration_info":"x"}', "registration_info is a string"),
        (b'{"push_token":"a:b","message":"x","registration_info":{"app_id":{}}}', "app_id is an object"),
        (b'{"push_token":"a:b","message":"x","live_activity_token":5}', "live_activity_token is a number"),
    ],
)
async def test_a_bad_request_is_answered_with_what_is_wrong(scene: Scene, spoilt: bytes, told: str) -> None:
    answer = await scene.relay().push_body("legacy", spoilt)

    assert answer.status == 400
    assert told in str(answer.body["message"])
    assert await scene.accepted() == []


@pytest.mark.parametrize(("exact", "status"), [(False, 413), (True, 500)])
async def test_what_no_provider_would_take_is_not_even_stored(scene: Scene, exact: bool, status: int) -> None:
    relay = scene.relay(exact=exact)

    answer = await relay.push("android", posted(FCM_TOKEN, data={"tag": "x" * 70_000}))

    assert (answer.status, answer.body["errorType"]) == (status, "PayloadTooLarge")
    assert await scene.accepted() == []
    assert counted(await relay.check_body(body(FCM_TOKEN))) == (1, 0, 1, 1)


async def test_nothing_but_token_and_message_is_needed(scene: Scene) -> None:
    answer = await scene.relay().push_body("legacy", b'{"push_token":"a:b","message":""}')

    assert answer.status == 201


async def test_lone_surrogates_are_taken_as_everywhere(scene: Scene) -> None:
    spoilt = b'{"push_token":"a:b","message":"\\ud800","data":{"x":"\\udfff"}}'

    assert (await scene.relay().push_body("android", spoilt)).status == 201
    (message,) = await scene.accepted()
    assert message.body == "\ufffd"


async def test_a_store_that_is_away_is_a_503_with_words() -> None:
    async with opened() as scene:
        relay = scene.relay()

        async def refuse(*_: object, **__: object) -> None:
            raise StoreUnavailable("full")

        scene.outbox.add = refuse  # type: ignore[method-assign]  # as a full disk would
        answer = await relay.push("legacy", posted())

        assert answer.status == 503
        assert answer.body["message"]
        assert limits(await relay.check_body(body()))["successful"] == 0


# -- exact ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", OFFICIAL, ids=lambda case: case["name"])
async def test_the_official_relay_answers_as_its_fixture_says(scene: Scene, case: Any) -> None:
    relay = scene.relay(exact=True, max_per_day=1, exact_wait_s=0.01)
    for _ in range(case["before"]):
        await relay.push("android", OFFICIAL[0]["request"])

    if case["path"] == "/api/checkRateLimits":
        answer = await relay.check_body(json.dumps(case["request"]).encode())
    else:
        answer = await relay.push("android", case["request"])

    expected = evidence.filled(case["body"], {"<id>": str(answer.body.get("messageId"))})
    assert (answer.status, answer.body) == (case["status"], expected)


async def test_the_official_relays_framework_has_words_for_a_bad_body(scene: Scene) -> None:
    answer = await scene.relay(exact=True).push_body("android", b"{")

    assert (answer.status, answer.body["statusCode"], answer.body["error"]) == (400, 400, "Bad Request")


@pytest.mark.parametrize(
    ("receipt", "error_type", "error_code"),
    [
        (fcm_not_registered(), "InvalidToken", "registration-token-not-registered"),
        (too_big(5000, 4096), "PayloadTooLarge", "payload-too-large"),
        (fcm_refused(ReceiptError.DEVELOPER_ERROR, None), "PayloadTooLarge", "invalid-argument"),
        (expo_error("It broke."), "InternalError", None),
    ],
    ids=["dead", "too big", "invalid", "other"],
)
async def test_the_official_relay_answers_with_what_became_of_it(
    scene: Scene, receipt: Any, error_type: str, error_code: str | None
) -> None:
    relay = scene.relay(exact=True)
    answering = asyncio.create_task(relay.push("android", posted(FCM_TOKEN)))
    await _fail_the_next(scene, receipt)

    answer = await answering

    assert answer.status == 500
    assert (answer.body["errorType"], answer.body.get("errorCode")) == (error_type, error_code)
    assert (answer.body["errorStep"], bool(answer.body["message"])) == ("sendNotification", True)
    assert counted(await relay.check_body(body(FCM_TOKEN))) == (1, 0, 1, 1)


async def _fail_the_next(scene: Scene, receipt: Any) -> None:
    async with asyncio.timeout(5):
        while not (claims := await scene.outbox.claim(now=scene.now + 1, lease_s=60, limit=1)):
            pass
    written = receipt.to_json(sent_at=scene.now)
    await scene.outbox.record([Progress(batch_id=claims[0].batch_id, receipts={0: written})])
