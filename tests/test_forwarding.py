"""Named push tokens reach Apple and Google, which are emulators elsewhere; everything else is captured here."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.outside import Outside
from tests.protocol.test_outwards import OF_APPLE, OF_GOOGLE
from tests.running import command, gateway
from tests.test_real_projects import IPHONE, Running, config_of, outside, shop

__all__ = ["outside"]
UNKNOWN = "ExponentPushToken[nobodysnobodysnobody12]"
OTHER_IPHONE = OF_APPLE[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """A gateway with the shop as a real project, before and after it is told whom to forward to."""

    config: Path
    data: Path
    logged: list[str] = field(default_factory=list)
    """What each of its processes has logged."""

    @asynccontextmanager
    async def run(self, *, allow: str | None = None, enabled: str | None = None) -> AsyncIterator[Running]:
        given = {"EXPO_GATEWAY_FORWARD__ALLOW": allow, "EXPO_GATEWAY_FORWARD__ENABLED": enabled}
        env = {name: value for name, value in given.items() if value is not None}
        with gateway("--config", str(self.config), "--data", str(self.data), env=env) as (process, ready):
            running = Running(self.data, ready["url"])
            async with running.client:
                yield running
            process.kill()
            self.logged.append(process.stderr.read() if process.stderr is not None else "")


@pytest.fixture
def staging(outside: Outside, tmp_path: Path) -> Staging:
    return Staging(config=config_of(outside, tmp_path, **shop(outside)), data=tmp_path / "data")


def left(outside: Outside) -> set[tuple[str, str]]:
    """(provider, device token) of what Apple and Google were sent."""
    return {(capture.emulator, capture.device_token or "") for capture in outside.inbox}


async def captured(client: httpx.AsyncClient) -> int:
    page = (await client.get("/metrics")).text
    found = re.search(r"^expo_gateway_emulator_captures_total (\d+)", page, re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_named_push_tokens_leave_and_all_others_are_captured(outside: Outside, staging: Staging) -> None:
    async with staging.run() as running:
        iphone = await running.register(kind="apns", device_token=OF_APPLE)
        android = await running.register(kind="fcm", device_token=OF_GOOGLE)
        other = await running.register(kind="apns", device_token=OTHER_IPHONE, development=True)

    async with staging.run(allow=f"{iphone}, {android}") as running:
        receipts = await running.deliver(iphone, other, UNKNOWN, android)
        captures = await captured(running.client)

    assert receipts == [{"status": "ok"}] * 4
    assert left(outside) == {("apns", OF_APPLE), ("fcm", OF_GOOGLE)}
    assert captures == 2
    assert "captured, but for 2 push tokens in forward.allow" in staging.logged[1]
    assert "captured" not in staging.logged[0]
    assert iphone not in staging.logged[1]


@pytest.mark.parametrize("allow", ["", None])
async def test_nothing_leaves_when_nobody_is_named(outside: Outside, staging: Staging, allow: str | None) -> None:
    async with staging.run() as running:
        iphone = await running.register(kind="apns", device_token=OF_APPLE)

    async with staging.run(allow=allow, enabled="true") as running:
        receipts = await running.deliver(iphone)

    assert receipts == [{"status": "ok"}]
    assert left(outside) == set()


async def test_everything_leaves_when_it_is_switched_off(outside: Outside, staging: Staging) -> None:
    async with staging.run() as running:
        iphone = await running.register(kind="apns", device_token=OF_APPLE)

    async with staging.run(allow=UNKNOWN, enabled="false") as running:
        await running.deliver(iphone)

    assert left(outside) == {("apns", OF_APPLE)}


async def test_what_is_named_and_made_up_is_refused(outside: Outside, staging: Staging) -> None:
    async with staging.run() as running:
        made_up = await running.register(kind="apns", device_token=IPHONE)

    async with staging.run(allow=f"{made_up},{UNKNOWN}") as running:
        receipts = await running.deliver(made_up, UNKNOWN)

    assert [receipt["message"] for receipt in receipts] == [
        "The push token is named in forward.allow, but its device token has not the form of Apple's: nothing was sent.",
        "The push token is named in forward.allow, but it belongs to a virtual device: nothing was sent.",
    ]
    assert {receipt["details"]["error"] for receipt in receipts} == {"ExpoError"}
    assert left(outside) == set()


def test_a_magic_push_token_in_the_list_ends_the_start() -> None:
    ended = command(
        "serve", env={"EXPO_GATEWAY_FORWARD__ALLOW": f"{UNKNOWN},ExponentPushToken[magic-toobig-000000001]"}
    )

    assert ended.returncode == 2
    assert "forward.allow[1]: got ExponentPushToken[magi…01], a magic push token, which is nobody's" in ended.stderr
