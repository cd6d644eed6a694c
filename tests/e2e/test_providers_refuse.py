"""What a provider's refusal means for the next messages, from the API to the emulators' wire and back."""

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from expo_gateway.app import App, open_app
from expo_gateway.dispatcher.holds import BREAKER_FIRST_S
from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Answer
from expo_gateway.settings import Settings
from tests.dispatcher.conftest import until
from tests.e2e.wire import SEND
from tests.waiting import receipts_async

PROJECT_ID = "51092087-87a4-4b12-8008-145625477434"
DEVICE_TOKENS = {"apns": "a1" * 32, "fcm": "cHd3Yk1xSGZ1bGxpbmc3Xw:APA91b" + "x" * 134}
RETRY_AFTER_S = 120
# A retry may come later by a quarter of its delay.
SURELY_DUE_S = RETRY_AFTER_S * 1.3


class Clock:
    """The time of day, moved on by tests that will not wait."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def app(clock: Clock, tmp_path: Path) -> AsyncIterator[App]:
    async with open_app(Settings(), tmp_path, clock=clock) as opened:
        await opened.emulators.up()
        yield opened


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://test") as opened:
        yield opened


async def register(client: httpx.AsyncClient, kind: str) -> str:
    """A push token. The same phone each time."""
    device = {"type": kind, "deviceId": f"phone-{kind}", "development": False, "appId": "com.acme.shop"}
    device |= {"deviceToken": DEVICE_TOKENS[kind], "projectId": PROJECT_ID}
    answer = await client.post("/--/api/v2/push/getExpoPushToken", json=device)
    return str(answer.raise_for_status().json()["data"]["expoPushToken"])


async def send(client: httpx.AsyncClient, token: str) -> dict[str, Any]:
    """The ticket."""
    answer = await client.post(SEND, json=[{"to": token, "body": "x"}])
    (ticket,) = answer.raise_for_status().json()["data"]
    found: dict[str, Any] = ticket
    return found


async def deliver(client: httpx.AsyncClient, token: str) -> dict[str, Any]:
    """The receipt."""
    ticket = await send(client, token)
    return (await receipts_async(client, [ticket["id"]]))[ticket["id"]]


def statuses(app: App, kind: str) -> list[int]:
    return [capture.status for capture in app.emulators.opened.inbox if capture.emulator == kind]


async def test_a_quota_of_fcm_makes_the_whole_project_wait_as_long_as_fcm_says(
    app: App, client: httpx.AsyncClient, clock: Clock
) -> None:
    android, iphone = await register(client, "fcm"), await register(client, "apns")
    quota = fcm_errors.quota_exceeded("1", retry_after_s=RETRY_AFTER_S)
    app.emulators.opened.faults.force(quota, provider="fcm", times=1)
    held = app.dispatcher.counts.held

    first = await send(client, android)
    await until(lambda: app.dispatcher.counts.retries["fcm"] == 1)
    second = await send(client, android)
    await until(lambda: held["fcm", "paused"] == 1)
    assert await deliver(client, iphone) == {"status": "ok"}
    assert statuses(app, "fcm") == [429]

    await move_on(app, clock, RETRY_AFTER_S - 10)
    third = await send(client, android)
    await until(lambda: held["fcm", "paused"] == 2)
    assert statuses(app, "fcm") == [429]

    await move_on(app, clock, SURELY_DUE_S - RETRY_AFTER_S + 10)
    ids = [ticket["id"] for ticket in (first, second, third)]
    assert await receipts_async(client, ids) == {id_: {"status": "ok"} for id_ in ids}
    assert sorted(statuses(app, "fcm")) == [200, 200, 200, 429]


async def move_on(app: App, clock: Clock, seconds: float) -> None:
    clock.ahead_s += seconds
    app.dispatcher.clock_moved()


async def test_a_credential_that_apple_refuses_is_asked_once_until_its_time_is_over(
    app: App, client: httpx.AsyncClient, clock: Clock
) -> None:
    iphone, android = await register(client, "apns"), await register(client, "fcm")
    app.emulators.opened.faults.force(Answer(status=403, reason="InvalidProviderToken"), provider="apns")

    found = [await deliver(client, iphone) for _ in range(3)]

    assert [receipt["details"]["error"] for receipt in found] == ["InvalidCredentials"] * 3
    assert found[2]["details"]["apns"] == {"reason": "InvalidProviderToken", "statusCode": 403}
    asked = statuses(app, "apns")
    assert set(asked) == {403}
    assert app.dispatcher.counts.attempts["apns", "rejected", "InvalidProviderToken"] == 1
    assert await deliver(client, android) == {"status": "ok"}

    app.emulators.opened.faults.clear()
    await move_on(app, clock, BREAKER_FIRST_S + 1)
    assert [await deliver(client, iphone) for _ in range(2)] == [{"status": "ok"}] * 2
    assert statuses(app, "apns") == [*asked, 200, 200]


@pytest.mark.parametrize(
    ("since", "is_dead"), [(lambda now: now + 1, True), (lambda now: now - 3600, False)], ids=["now", "an hour ago"]
)
async def test_a_device_that_apple_calls_dead_since_its_registration_has_error_tickets(
    since: Callable[[float], float], is_dead: bool, app: App, client: httpx.AsyncClient, clock: Clock
) -> None:
    """Apple's word is of the device token; who registered it again later is alive."""
    iphone = await register(client, "apns")
    timestamp_ms = int(since(clock()) * 1000)
    app.emulators.opened.faults.force(
        Answer(status=410, reason="Unregistered", timestamp_ms=timestamp_ms), provider="apns", times=1
    )

    receipt = await deliver(client, iphone)
    ticket = await send(client, iphone)

    assert receipt["details"]["error"] == "DeviceNotRegistered"
    assert (ticket["status"] == "error") is is_dead
    if is_dead:
        assert ticket["details"] == {"error": "DeviceNotRegistered", "expoPushToken": iphone}
