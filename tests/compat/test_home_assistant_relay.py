"""Home Assistant core 2024.3.3, unmodified, with our relay as the `push_url` of its apps."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import httpx
import pytest

from tests.compat.home_assistant_core import TRIPPED, HomeAssistantCore, running_home_assistant
from tests.compat.home_assistant_gateway import CONTROL, HomeGateway, running_home_gateway
from tests.compat.home_assistant_js import js_client
from tests.compat.posted import Answer, Posted, eventually, posted
from tests.compat.relay_requests import ASKED, Ask, Relays

pytestmark = pytest.mark.slow
LEGACY, ANDROID = "/api/sendPushNotification", "/api/sendPush/android/v1"
MAX_PER_DAY = 2
CRITICAL = {"push": {"sound": {"name": "default", "critical": 1, "volume": 1.0}}}


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeAssistantCore]:
    with running_home_assistant(tmp_path_factory.mktemp("core")) as running:
        yield running


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relays]:
    """One with its defaults, but few notifications a day, and one that is as exact as the official one."""
    few = {"EXPO_GATEWAY_HOME_ASSISTANT__MAX_PER_DAY": str(MAX_PER_DAY)}
    exact = {"EXPO_GATEWAY_HOME_ASSISTANT__EXACT": "true"}
    with ExitStack() as stack:
        yield Relays(
            default=stack.enter_context(running_home_gateway(tmp_path_factory.mktemp("relay"), **few)),
            exact=stack.enter_context(running_home_gateway(tmp_path_factory.mktemp("exact"), **few, **exact)),
        )


@pytest.fixture
def relay(relays: Relays) -> HomeGateway:
    return relays.default


@pytest.fixture
def push_token() -> str:
    return f"ExponentPushToken[{uuid.uuid4().hex[:22]}]"


@pytest.fixture(scope="module")
def replay(core: HomeAssistantCore) -> Iterator[Posted]:
    """The `push_url` of a phone named `replay`."""
    with posted() as posts:
        core.register("replay", push_token="x", push_url=posts.url)
        yield posts


def new_phone(core: HomeAssistantCore, relay: HomeGateway, push_token: str, *, path: str = LEGACY) -> str:
    name = f"phone_{uuid.uuid4().hex[:8]}"
    core.register(name, push_token=push_token, push_url=f"{relay.url}{path}")
    return name


def notify(core: HomeAssistantCore, name: str, message: str, **more: object) -> list[tuple[str, str]]:
    """(level, text) of what Home Assistant logs of it."""
    since = core.log_size_bytes()
    answer = core.notify(f"mobile_app_{name}", message, **more)
    assert (answer.status_code, TRIPPED.search(core.log(since=since))) == (200, None), core.log(since=since)
    return core.said_of_pushes(since=since)


def limits(relay: HomeGateway, push_token: str) -> dict[str, Any]:
    answer = relay.ask("POST", "/api/checkRateLimits", {"push_token": push_token})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()["rateLimits"]
    return found


def counted(relay: HomeGateway, push_token: str) -> tuple[int, int]:
    """(successful, errors) of today."""
    found = limits(relay, push_token)
    return found["successful"], found["errors"]


def test_a_notification_reaches_the_phone_and_is_counted(
    core: HomeAssistantCore, relay: HomeGateway, push_token: str
) -> None:
    name = new_phone(core, relay, push_token)

    said = notify(core, name, "Somebody rang", title="Door", data={"tag": "door", "url": "/lovelace"})

    [delivery] = relay.deliveries(to=push_token)
    assert (delivery["title"], delivery["body"]) == ("Door", "Somebody rang")
    assert counted(relay, push_token) == (1, 0)
    [(level, text)] = said
    assert level == "INFO"
    assert all(part in text for part in (name, "1 sent", f"{MAX_PER_DAY} allowed", "0 errors", "resets in"))


def test_beyond_the_limit_it_is_told_and_the_phone_gets_nothing_more(
    core: HomeAssistantCore, relay: HomeGateway, push_token: str
) -> None:
    name = new_phone(core, relay, push_token)
    for n in range(MAX_PER_DAY):
        notify(core, name, f"message {n}")

    said = notify(core, name, "one too many")

    assert {level for level, _ in said} == {"WARNING"}
    assert "maximum number of notifications" in said[0][1]
    assert f"{MAX_PER_DAY} sent" in said[1][1]
    # The notices come last, so "one too many" would be there.
    delivered = relay.deliveries(to=push_token, count=MAX_PER_DAY + 1)
    assert [one["body"] for one in delivered[:MAX_PER_DAY]] == ["message 0", "message 1"]
    assert [one["title"] for one in delivered[MAX_PER_DAY:]] == ["Notifications Rate Limited"]


def test_beyond_the_limit_commands_and_critical_alerts_still_come(
    core: HomeAssistantCore, relay: HomeGateway, push_token: str
) -> None:
    name = f"phone_{uuid.uuid4().hex[:8]}"
    app_data = {"push_token": push_token, "push_url": f"{relay.url}{LEGACY}"}
    core.register_app(name, app_data, app_id="io.robbie.HomeAssistant")
    for n in range(MAX_PER_DAY + 1):
        notify(core, name, f"message {n}")

    for message, data in (("clear_notification", {"tag": "door"}), ("Smoke", CRITICAL)):
        assert {level for level, _ in notify(core, name, message, data=data)} == {"INFO"}

    # Two messages, one notice, the command, the alert.
    assert len(relay.deliveries(to=push_token, count=MAX_PER_DAY + 3)) == MAX_PER_DAY + 3
    assert counted(relay, push_token) == (MAX_PER_DAY, 0)


def test_an_android_phone_gets_all_as_data(core: HomeAssistantCore, relay: HomeGateway) -> None:
    """By its FCM token, which the relay has not seen before."""
    fcm_token = f"abc:{uuid.uuid4().hex}"
    name = new_phone(core, relay, fcm_token, path=ANDROID)

    notify(core, name, "Washing is done", title="Home", data={"ttl": 0, "priority": "high", "channel": "laundry"})

    query = httpx.QueryParams({"device_token": fcm_token})
    captures = eventually(lambda: relay.ask("GET", f"{CONTROL}/captures?{query}").json()["captures"])
    [message] = [one["body"]["message"] for one in captures]
    assert message["data"].items() >= {"message": "Washing is done", "title": "Home", "channel": "laundry"}.items()
    assert message["android"] == {"ttl": "0s", "priority": "HIGH"}


def test_a_phone_without_the_app_is_an_error_from_its_second_notification_on(
    core: HomeAssistantCore, relay: HomeGateway, push_token: str
) -> None:
    """The first finds it out, and is no longer counted."""
    name = new_phone(core, relay, push_token)
    relay.ask("POST", f"{CONTROL}/devices", {"push_token": push_token})
    relay.ask("POST", f"{CONTROL}/devices/{push_token}/unregister", {})

    first = notify(core, name, "Are you there?")
    assert eventually(lambda: counted(relay, push_token) == (0, 1)), counted(relay, push_token)
    second = notify(core, name, "Hello?")

    assert [level for level, _ in first] == ["INFO"]
    assert [level for level, _ in second] == ["ERROR"]


def test_a_push_token_that_cannot_be_one_is_an_error(core: HomeAssistantCore, relay: HomeGateway) -> None:
    [(level, text)] = notify(core, new_phone(core, relay, "not a token"), "Hello")

    assert (level, "push token" in text) == ("ERROR", True)


def test_what_local_push_could_not_deliver_comes_by_the_relay(
    core: HomeAssistantCore, relay: HomeGateway, push_token: str
) -> None:
    """With `hass_confirm_id` in it, which is nobody else's business."""
    name = f"phone_{uuid.uuid4().hex[:8]}"
    webhook_id = core.register(name, push_token=push_token, push_url=f"{relay.url}{LEGACY}")
    with js_client(core.url, core.access_token) as app:
        app.subscribe(webhook_id)
        notify(core, name, "Hello")
        app.events(1)

    [delivery] = relay.deliveries(to=push_token)
    assert delivery["body"] == "Hello"
    assert "hass_confirm_id" not in str(relay.ask("GET", f"{CONTROL}/deliveries/{delivery['id']}").json())


@pytest.mark.parametrize("ask", ASKED, ids=lambda ask: ask.name)
def test_no_answer_of_the_relay_trips_it(ask: Ask, relays: Relays, core: HomeAssistantCore, replay: Posted) -> None:
    """Whatever the relay can be brought to say, Home Assistant takes in; also what its own posts never bring about."""
    status, replay.answer = ask.answer(relays)
    assert status == ask.status, replay.answer

    said = notify(core, "replay", "Hello")

    wanted = "INFO" if status < 400 else "WARNING" if status == 429 else "ERROR"
    assert {level for level, _ in said} == {wanted}


def test_a_store_that_cannot_write_is_told_in_time(
    relay: HomeGateway, core: HomeAssistantCore, push_token: str
) -> None:
    """Home Assistant waits for ten seconds."""
    name = new_phone(core, relay, push_token)
    with closing(sqlite3.connect(relay.data / "gateway.db", isolation_level=None)) as outsider:
        outsider.execute("BEGIN EXCLUSIVE")

        [(level, text)] = notify(core, name, "Hello")

        outsider.execute("ROLLBACK")
    assert (level, "store" in text) == ("ERROR", True)


@pytest.mark.parametrize(
    "answer",
    [Answer(body=b"null"), Answer(body=b""), Answer(status=500, body=b"[]"), Answer.of(201, {"rateLimits": {}})],
)
def test_other_answers_do_trip_it(answer: Answer, core: HomeAssistantCore, replay: Posted) -> None:
    """So these tests would notice."""
    replay.answer = answer
    since = core.log_size_bytes()

    assert core.notify("mobile_app_replay", "Hello").status_code == 500
    assert TRIPPED.search(core.log(since=since))
