"""Projects that send to Apple and Google, beside emulated ones, in a running gateway."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from expo_gateway.emulators.faults import Answer
from expo_gateway.protocol.device import project_id_of
from tests.outside import TEAM_ID, Outside, open_outside
from tests.running import command, gateway
from tests.waiting import receipts_async

SHOP = "@acme/shop"
PROJECT_ID = project_id_of(SHOP)
MADE_ID, STRANGE_ID = (f"d3a7c0de-0000-4000-8000-00000000000{number}" for number in (1, 2))
VIRTUAL = "ExponentPushToken[virtualvirtualvirtual1]"
IPHONE, ANDROID = "a1" * 32, "fcm-registration-token-of-a-real-phone"
# A change must be seen within a second; the rest is for a busy machine.
SEEN_S = 5.0


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    async with open_outside(tmp_path / "outside") as outside:
        yield outside


class Running:
    """A gateway with a data directory, asked as its clients and its operator ask it."""

    def __init__(self, data: Path, url: str) -> None:
        self.data = data
        self.client = httpx.AsyncClient(base_url=url)

    async def register(
        self, *, kind: str, device_token: str, development: bool = False, project_id: str = PROJECT_ID
    ) -> str:
        """A push token of the project."""
        answer = await self.ask_for_token(kind, device_token, development=development, project_id=project_id)
        return str(answer.raise_for_status().json()["data"]["expoPushToken"])

    async def ask_for_token(
        self, kind: str, device_token: str, *, development: bool = False, project_id: str = PROJECT_ID
    ) -> httpx.Response:
        body = {
            "type": kind,
            "deviceId": f"phone-{kind}-{development}",
            "development": development,
            "appId": "com.acme.shop",
            "deviceToken": device_token,
            "projectId": project_id,
        }
        return await self.client.post("/--/api/v2/push/getExpoPushToken", json=body)

    async def send(self, *tokens: str, bearer: str | None = None) -> httpx.Response:
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        message = [{"to": list(tokens), "title": "Hello"}]
        return await self.client.post("/--/api/v2/push/send", json=message, headers=headers)

    async def deliver(self, *tokens: str, bearer: str | None = None) -> list[dict[str, Any]]:
        """Their receipts."""
        answer = (await self.send(*tokens, bearer=bearer)).raise_for_status()
        ids = [ticket["id"] for ticket in answer.json()["data"]]
        found = await receipts_async(self.client, ids)
        return [found[ticket_id] for ticket_id in ids]

    async def operate(self, *arguments: str) -> Any:
        """The command's JSON."""
        ended = await asyncio.to_thread(command, *arguments, "--data", str(self.data), "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    async def is_refused(self, token: str) -> bool:
        return "DeviceNotRegistered" in (await self.send(token)).text

    async def is_sent(self, *tokens: str) -> bool:
        return "error" not in (await self.send(*tokens)).text

    async def is_delivered(self, *tokens: str) -> bool:
        return all(receipt == {"status": "ok"} for receipt in await self.deliver(*tokens))

    async def is_without_credentials(self, token: str, *, bearer: str) -> bool:
        return "InvalidCredentials" in (await self.send(token, bearer=bearer)).text

    async def until_sent(self, status: int, *tokens: str, bearer: str | None = None) -> httpx.Response:
        answer = await self.send(*tokens, bearer=bearer)

        async def is_answered_so() -> bool:
            nonlocal answer
            answer = await self.send(*tokens, bearer=bearer)
            return answer.status_code == status

        await until(is_answered_so)
        return answer


async def has_one_connection(outside: Outside) -> bool:
    return outside.apns.connection_count == 1


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SEEN_S):
        while True:
            if await is_so():
                return
            await asyncio.sleep(0.05)


def config_of(outside: Outside, tmp_path: Path, **project: object) -> Path:
    """A settings file with the shop as a real project."""
    lines = ["[providers]", *(f"{key} = {json.dumps(value)}" for key, value in outside.addresses.items())]
    if project:
        lines += ["[[projects]]", *(f"{key} = {json.dumps(value)}" for key, value in project.items())]
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join(lines))
    return path


def shop(outside: Outside, **changes: object) -> dict[str, object]:
    return {
        "full_name": SHOP,
        "apns_key_file": str(outside.new_apns_key()),
        "apns_key_id": "ABCDEFGHIJ",
        "apns_team_id": TEAM_ID,
        "fcm_service_account_file": str(outside.new_service_account()),
        **changes,
    }


def key_options(outside: Outside) -> list[str]:
    return [
        *("--apns-key-file", str(outside.new_apns_key())),
        *("--apns-key-id", "ABCDEFGHIJ", "--apns-team-id", TEAM_ID),
    ]


async def test_real_and_emulated_projects_work_side_by_side(outside: Outside, tmp_path: Path) -> None:
    config = config_of(outside, tmp_path, **shop(outside))
    with gateway("--no-strict", "--config", str(config), "--data", str(tmp_path / "data")) as (_, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            iphone = await running.register(kind="apns", device_token=IPHONE)
            android = await running.register(kind="fcm", device_token=ANDROID)

            assert await running.deliver(iphone, android) == [{"status": "ok"}] * 2
            assert await running.deliver(VIRTUAL) == [{"status": "ok"}]
            mixed = await running.send(iphone, "ExponentPushToken[nobodysnobodysnobody12]")

    received = {(capture.emulator, capture.device_token, capture.status) for capture in outside.inbox}
    assert received == {("apns", IPHONE, 200), ("fcm", ANDROID, 200)}
    assert [ticket.get("details", {}).get("error") for ticket in mixed.json()["data"]] == [None, "DeviceNotRegistered"]


async def test_a_project_that_a_phone_made_is_taken_over_with_its_devices(outside: Outside, tmp_path: Path) -> None:
    config = config_of(outside, tmp_path)
    with gateway("--config", str(config), "--data", str(tmp_path / "data")) as (_, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            iphone = await running.register(kind="apns", device_token=IPHONE, project_id=MADE_ID)
            assert await running.deliver(iphone, VIRTUAL) == [{"status": "ok"}] * 2
            assert len(outside.inbox) == 0

            taken = await running.operate("projects", "add", SHOP, "--id", MADE_ID, *key_options(outside))
            await until(lambda: running.is_refused(VIRTUAL))
            stranger = await running.ask_for_token("apns", IPHONE, project_id=STRANGE_ID)
            receipts = await running.deliver(iphone)
            again = await running.register(kind="apns", device_token=IPHONE, project_id=MADE_ID)

    assert (taken["full_name"], taken["project_id"], taken["kind"]) == (SHOP, MADE_ID, "real")
    assert receipts == [{"status": "ok"}]
    assert [capture.device_token for capture in outside.inbox] == [IPHONE]
    assert again == iphone
    assert stranger.status_code == 400
    (error,) = stranger.json()["errors"]
    assert error == {
        "code": "EXPERIENCE_NOT_FOUND",
        "type": "USER",
        "message": f"There is no project with the id {STRANGE_ID}.",
        "isTransient": False,
        "requestId": error["requestId"],
    }


async def test_missing_credentials_are_tickets_and_come_right_while_it_runs(outside: Outside, tmp_path: Path) -> None:
    config = config_of(outside, tmp_path)
    with gateway("--config", str(config), "--data", str(tmp_path / "data")) as (_, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            await running.operate("projects", "add", SHOP)
            iphone = await running.register(kind="apns", device_token=IPHONE)
            android = await running.register(kind="fcm", device_token=ANDROID)

            refused = (await running.send(iphone, android)).json()["data"]
            key = str(outside.new_apns_key())
            await running.operate(
                *("projects", "set", SHOP, "--apns-key-file", key),
                *("--apns-key-id", "ABCDEFGHIJ", "--apns-team-id", TEAM_ID),
                *("--fcm-service-account-file", str(outside.new_service_account())),
            )
            await until(lambda: running.is_sent(iphone, android))
            receipts = await running.deliver(iphone, android)

    assert refused == [
        {
            "status": "error",
            "message": "Could not find APNs credentials for com.acme.shop (@acme/shop). "
            "You may need to generate or upload new push credentials.",
            "details": {"error": "InvalidCredentials"},
        },
        {
            "status": "error",
            "message": "Unable to retrieve the FCM server key for the recipient's app. "
            "Make sure you have provided a server key as directed by the Expo FCM documentation.",
            "details": {"error": "InvalidCredentials", "fault": "developer"},
        },
    ]
    assert receipts == [{"status": "ok"}] * 2


async def test_a_key_is_rotated_while_it_runs(outside: Outside, tmp_path: Path) -> None:
    config = config_of(outside, tmp_path, **shop(outside))
    with gateway("--config", str(config), "--data", str(tmp_path / "data")) as (process, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            iphone = await running.register(kind="apns", device_token=IPHONE)
            assert await running.deliver(iphone) == [{"status": "ok"}]
            # Apple revokes the old key: its signatures are checked with another one from now on.
            outside.new_apns_key()
            new = str(outside.new_apns_key("ROTATEDKEY"))
            await running.operate(
                *("projects", "set", SHOP, "--apns-key-file", new),
                *("--apns-key-id", "ROTATEDKEY", "--apns-team-id", TEAM_ID),
            )
            await until(lambda: running.is_delivered(iphone))
            await until(lambda: has_one_connection(outside))
        process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.to_thread(process.communicate, timeout=20)

    assert f"project {SHOP} has changed: apns" in logged


async def test_access_tokens_are_made_and_revoked_while_it_runs(outside: Outside, tmp_path: Path) -> None:
    config = config_of(outside, tmp_path, **shop(outside))
    with gateway("--no-strict", "--config", str(config), "--data", str(tmp_path / "data")) as (_, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            iphone = await running.register(kind="apns", device_token=IPHONE)
            assert (await running.send(iphone, bearer="left over from somewhere")).status_code == 200
            made = await running.operate("tokens", "create", SHOP, "ci")
            await running.operate("projects", "set", SHOP, "--requires-token")

            missing = await running.until_sent(403, iphone)
            accepted = await running.send(iphone, bearer=made["token"])
            wrong = await running.send(iphone, bearer="wrong")
            emulated = await running.send(VIRTUAL, bearer="wrong")
            await running.operate("tokens", "revoke", SHOP, "ci")
            revoked = await running.until_sent(401, iphone, bearer=made["token"])
            listed = await running.operate("tokens", "list", SHOP)

    error = missing.json()["errors"][0]
    assert (error["code"], error["isTransient"]) == ("UNAUTHORIZED", False)
    assert error["message"] == "Insufficient permissions to send push notifications to @acme/shop."
    assert (accepted.status_code, emulated.status_code) == (200, 200)
    for answer in (wrong, revoked):
        assert answer.status_code == 401
        assert answer.text == '{"error":"invalid_token","error_description":"The bearer token is invalid"}'
    assert listed == []


async def test_a_rate_limit_refuses_the_whole_request(outside: Outside, tmp_path: Path) -> None:
    config = config_of(outside, tmp_path, **shop(outside, notifications_per_second=1))
    with gateway("--config", str(config), "--data", str(tmp_path / "data")) as (_, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            iphone = await running.register(kind="apns", device_token=IPHONE)
            first, second = await running.send(*[iphone] * 20), await running.send(iphone)

    assert (first.status_code, second.status_code) == (200, 429)
    assert second.headers["retry-after"] == "20"  # until what it owes is paid
    (error,) = second.json()["errors"]
    assert error == {
        "code": "TOO_MANY_REQUESTS",
        "type": "USER",
        "message": "Exceeded 1 notifications per second, please try again.",
        "isTransient": True,
        "requestId": error["requestId"],
    }


async def test_no_secret_is_logged_whatever_happens(outside: Outside, tmp_path: Path) -> None:
    config = config_of(outside, tmp_path, **shop(outside))
    secrets = [line for path in outside.directory.glob("*.p8") for line in path.read_text().splitlines()[1:-1]]
    secrets += json.loads((outside.directory / "push.json").read_text())["private_key"].splitlines()[1:-1]
    env = {"EXPO_GATEWAY_LOGS__LEVEL": "debug", "EXPO_GATEWAY_LOGS__ACCESS": "true"}
    with gateway("--config", str(config), "--data", str(tmp_path / "data"), env=env) as (process, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            iphone = await running.register(kind="apns", device_token=IPHONE)
            android = await running.register(kind="fcm", device_token=ANDROID)
            token = (await running.operate("tokens", "create", SHOP, "ci"))["token"]
            await running.deliver(iphone, android, bearer=token)
            bad = Answer(status=400, reason="BadDeviceToken")
            outside.faults.force(bad, device_token=IPHONE, times=1)
            await running.deliver(iphone, bearer=token)
            iphone = await running.register(kind="apns", device_token=IPHONE)
            await running.until_sent(401, iphone, bearer="a-wrong-token-that-is-rather-long")
            outside.new_apns_key()
            await running.deliver(iphone, bearer=token)
            await running.operate("projects", "set", SHOP, "--no-apns", "--no-fcm")
            await until(lambda: running.is_without_credentials(iphone, bearer=token))
        process.send_signal(signal.SIGTERM)
        said, logged = await asyncio.to_thread(process.communicate, timeout=20)

    for line in ("accepted", "]: ok", "]: BadDeviceToken", "]: InvalidProviderToken", "has changed: apns, fcm"):
        assert line in logged
    assert '"status": 401' in logged
    secrets += [token, "a-wrong-token-that-is-rather-long", iphone, android, IPHONE, ANDROID]
    assert logged
    assert [secret for secret in secrets if secret in said + logged] == []
    assert "Traceback" not in logged
