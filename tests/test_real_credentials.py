"""Real projects by certificate and by key, in production and in the sandbox, and who may ask for receipts."""

from pathlib import Path

import httpx
import pytest

from tests.outside import TEAM_ID, Outside
from tests.running import gateway
from tests.test_real_projects import IPHONE, SHOP, Running, config_of, outside, shop, until
from tests.waiting import receipts_async

__all__ = ["outside"]
PRODUCTION, SANDBOX = "api.push.apple.com", "api.sandbox.push.apple.com"
IPHONE_IN_DEVELOPMENT = "b2" * 32


def hosts(outside: Outside) -> list[tuple[str, str, int]]:
    """(device token, the host that was addressed, status) of each push."""
    return [
        (capture.device_token, dict(capture.headers)[":authority"], capture.status)
        for capture in outside.inbox
        if capture.emulator == "apns"
    ]


@pytest.mark.parametrize("by_command", [False, True])
async def test_a_push_certificate_serves_both_environments(
    outside: Outside, tmp_path: Path, *, by_command: bool
) -> None:
    certificate = str(outside.new_push_certificate())
    project: dict[str, object] = {"full_name": SHOP, "apns_certificate_file": certificate}
    config = config_of(outside, tmp_path, **({} if by_command else project))
    with gateway("--config", str(config), "--data", str(tmp_path / "data")) as (_, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            if by_command:
                await running.operate("projects", "add", SHOP, "--apns-certificate-file", certificate)
            released = await running.register(kind="apns", device_token=IPHONE)
            developed = await running.register(kind="apns", device_token=IPHONE_IN_DEVELOPMENT, development=True)
            await until(lambda: running.is_sent(released, developed))
            receipts = await running.deliver(released, developed)

    assert receipts == [{"status": "ok"}] * 2
    assert {(IPHONE, PRODUCTION, 200), (IPHONE_IN_DEVELOPMENT, SANDBOX, 200)} == set(hosts(outside))
    assert all("authorization" not in dict(capture.headers) for capture in outside.inbox)


async def test_a_certificate_that_apple_does_not_know_is_no_ok_receipt(outside: Outside, tmp_path: Path) -> None:
    sandbox_only = str(outside.new_push_certificate(sandbox_only=True))
    config = config_of(outside, tmp_path, full_name=SHOP, apns_certificate_file=sandbox_only)
    with gateway("--config", str(config), "--data", str(tmp_path / "data")) as (_, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            (receipt,) = await running.deliver(await running.register(kind="apns", device_token=IPHONE))

    assert receipt["status"] == "error"
    assert receipt["details"]["error"] == "InvalidCredentials"
    assert hosts(outside) == [(IPHONE, PRODUCTION, 403)]


async def test_each_environment_may_have_a_credential_of_its_own(outside: Outside, tmp_path: Path) -> None:
    """Production by key, development builds by a certificate that is good for nothing else."""
    config = config_of(outside, tmp_path)
    with gateway("--config", str(config), "--data", str(tmp_path / "data")) as (_, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            await running.operate(
                *("projects", "add", SHOP, "--apns-environment", "production"),
                *("--apns-key-file", str(outside.new_apns_key())),
                *("--apns-key-id", "ABCDEFGHIJ", "--apns-team-id", TEAM_ID),
            )
            released = await running.register(kind="apns", device_token=IPHONE)
            developed = await running.register(kind="apns", device_token=IPHONE_IN_DEVELOPMENT, development=True)
            await until(lambda: running.is_sent(released))
            without = (await running.send(developed)).json()["data"][0]
            await running.operate(
                *("projects", "set", SHOP, "--apns-environment", "sandbox"),
                *("--apns-certificate-file", str(outside.new_push_certificate(sandbox_only=True))),
            )
            await until(lambda: running.is_sent(developed))
            receipts = await running.deliver(released, developed)

    assert without["details"]["error"] == "InvalidCredentials"
    assert receipts == [{"status": "ok"}] * 2
    assert set(hosts(outside)) == {(IPHONE, PRODUCTION, 200), (IPHONE_IN_DEVELOPMENT, SANDBOX, 200)}


async def test_receipts_need_the_token_where_that_is_set(outside: Outside, tmp_path: Path) -> None:
    config = config_of(outside, tmp_path, **shop(outside, requires_token=True))
    env = {"EXPO_GATEWAY_SERVER__RECEIPTS_NEED_TOKEN": "true"}
    with gateway("--config", str(config), "--data", str(tmp_path / "data"), env=env) as (_, ready):
        running = Running(tmp_path / "data", ready["url"])
        async with running.client:
            iphone = await running.register(kind="apns", device_token=IPHONE)
            made = await running.operate("tokens", "create", SHOP, "ci")
            accepted = await running.until_sent(200, iphone, bearer=made["token"])
            ids = [ticket["id"] for ticket in accepted.json()["data"]]
            body = {"ids": ids}
            missing = await running.client.post("/--/api/v2/push/getReceipts", json=body)
            wrong = await running.client.post(
                "/--/api/v2/push/getReceipts", json=body, headers={"Authorization": "Bearer wrong"}
            )
        bearer = {"Authorization": f"Bearer {made['token']}"}
        async with httpx.AsyncClient(base_url=ready["url"], headers=bearer) as client:
            found = await receipts_async(client, ids)

    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (403, "UNAUTHORIZED")
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_token")
    assert found == {ids[0]: {"status": "ok"}}
