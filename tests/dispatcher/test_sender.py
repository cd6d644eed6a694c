"""One attempt of one delivery, and what it means for others."""

import json
from typing import Any

import pytest

from expo_gateway.dispatcher.decision import Again, Final
from expo_gateway.dispatcher.holds import BREAKER_FIRST_S
from expo_gateway.dispatcher.sender import Delivery, ProjectProviders
from expo_gateway.protocol.device import Device
from expo_gateway.protocol.message import MAX_DATA_BYTES, decode_send_request
from expo_gateway.protocol.receipt import ReceiptError, apns_dropped, apns_refused
from expo_gateway.providers.base import Backoff, Rejected, Scope, Unsent
from tests.dispatcher.conftest import PROJECT, START, Outsider, World, until

BAD_KEY = Rejected(
    reason="InvalidProviderToken",
    status=403,
    receipt=apns_refused(ReceiptError.INVALID_CREDENTIALS, reason="InvalidProviderToken", status=403),
    scope=Scope.CREDENTIAL,
)
BAD_TOKEN = Rejected(
    reason="BadDeviceToken",
    status=400,
    receipt=apns_refused(ReceiptError.DEVELOPER_ERROR, reason="BadDeviceToken", status=400),
)


def gone(gone_at: float | None) -> Rejected:
    receipt = apns_refused(ReceiptError.DEVICE_NOT_REGISTERED, reason="Unregistered", status=410)
    return Rejected(reason="Unregistered", status=410, receipt=receipt, device_gone=True, gone_at=gone_at)


async def phone(world: World, name: str = "phone", *, platform: str = "ios") -> Device:
    token = await world.register(name, platform=platform)
    return (await world.registry.devices([token]))[token]


async def is_alive(world: World, device: Device) -> bool:
    return (await world.registry.devices([device.push_token]))[device.push_token].gone_at is None


def delivery(device: Device, *, data: str = "null") -> Delivery:
    (message,) = decode_send_request(f'[{{"to":"{device.push_token}","data":{data}}}]'.encode()).messages
    ticket_id = "018bcfe5-6800-7000-8000-000000000000"
    return Delivery(ticket_id=ticket_id, message=message, device=device, accepted_at=START, attempts=0)


async def attempt(world: World, device: Device, *, data: str = "null") -> Final | Again:
    follows, _ = await world.sender.attempt(delivery(device, data=data))
    return follows


async def receipt(world: World, device: Device, *, data: str = "null") -> dict[str, Any]:
    follows = await attempt(world, device, data=data)
    assert isinstance(follows, Final)
    found: dict[str, Any] = json.loads(follows.receipt)
    return found


# -- what is not sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", ["ios", "android"])
async def test_a_project_without_credentials_for_the_platform_has_a_receipt_that_says_so(
    platform: str, world: World
) -> None:
    world.providers[PROJECT] = ProjectProviders(apns=None, fcm=None)
    device = await phone(world, platform=platform)

    found = await receipt(world, device)

    assert (found["details"]["error"], found["message"]) == (
        "ExpoError",
        f"The project has no credentials for {platform}.",
    )


async def test_data_that_no_provider_takes_is_neither_sent_nor_decoded(world: World) -> None:
    """So deep that it can't be written again either."""
    data = '{"x":' * 900 + f'"{"y" * MAX_DATA_BYTES}"' + "}" * 900

    found = await receipt(world, await phone(world), data=data)

    assert (found["details"]["error"], world.apns.sent) == ("MessageTooBig", [])
    assert f"the payload is {len(data)} bytes, the maximum is {MAX_DATA_BYTES} bytes" in found["message"]


# -- dead devices -----------------------------------------------------------------------------------------------------


async def test_a_device_is_dead_since_the_provider_says_so(world: World) -> None:
    world.apns.script.append(gone(gone_at=START + 50))
    device = await phone(world)
    world.clock.now += 100

    await attempt(world, device)

    assert (await world.registry.devices([device.push_token]))[device.push_token].gone_at == START + 50


async def test_a_device_that_registered_after_its_death_is_alive(world: World) -> None:
    world.apns.script.append(gone(gone_at=START - 1))
    device = await phone(world)

    found = await receipt(world, device)

    assert (found["details"]["error"], await is_alive(world, device)) == ("DeviceNotRegistered", True)


async def test_without_the_provider_s_word_a_device_is_dead_from_now_on(world: World) -> None:
    world.fcm.script.append(gone(gone_at=None))
    device = await phone(world, platform="android")
    world.clock.now += 7

    await attempt(world, device)

    assert (await world.registry.devices([device.push_token]))[device.push_token].gone_at == START + 7


async def test_the_receipt_of_a_dead_device_does_not_need_the_store(world_on_disk: World, outsider: Outsider) -> None:
    world = world_on_disk
    world.apns.script.append(gone(gone_at=None))
    device = await phone(world)
    outsider.lock()

    found = await receipt(world, device)

    outsider.unlock()
    assert (found["details"]["error"], await is_alive(world, device)) == ("DeviceNotRegistered", True)


# -- holds ------------------------------------------------------------------------------------------------------------


async def test_a_refusal_of_one_delivery_says_that_the_credential_works(world: World) -> None:
    device = await phone(world)
    world.apns.script.extend([BAD_KEY, BAD_TOKEN])
    await attempt(world, device)
    world.clock.now += BREAKER_FIRST_S

    found = [await receipt(world, device) for _ in range(2)]

    assert [one.get("details", {}).get("error") for one in found] == ["DeveloperError", None]
    assert len(world.apns.sent) == 3


async def test_a_delivery_that_is_accepted_says_so_too(world: World) -> None:
    device = await phone(world)
    world.apns.script.append(BAD_KEY)
    await attempt(world, device)
    world.clock.now += BREAKER_FIRST_S

    assert [await receipt(world, device) for _ in range(2)] == [{"status": "ok"}] * 2


async def test_a_delivery_that_was_not_sent_says_nothing_of_the_credential(world: World) -> None:
    device = await phone(world)
    unsent = Unsent(why="no connection", receipt=apns_dropped(), backoff=Backoff(first_s=2))
    world.apns.script.extend([BAD_KEY, unsent])
    await attempt(world, device)
    world.clock.now += BREAKER_FIRST_S

    await attempt(world, device)
    found = await receipt(world, device)

    assert (found["details"]["error"], len(world.apns.sent)) == ("InvalidCredentials", 2)


@pytest.mark.parametrize("scope", [Scope.PROJECT, Scope.CREDENTIAL])
async def test_a_refusal_with_a_time_to_wait_holds_the_others_back_as_long(scope: Scope, world: World) -> None:
    wait = Backoff(first_s=10, retry_after_s=90)
    world.apns.script.append(
        Rejected(reason="Slow down", status=429, receipt=BAD_KEY.receipt, backoff=wait, scope=scope)
    )
    first, second = await phone(world, "a"), await phone(world, "b")

    follows = [await attempt(world, device) for device in (first, second)]

    assert follows == [Again(due_at=START + 90)] * 2
    assert len(world.apns.sent) == 1


async def test_a_mistake_of_ours_is_a_receipt_and_a_line_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.apns.script.append(ValueError("boom"))

    found = await receipt(world, await phone(world))

    assert found["details"]["error"] == "ExpoError"
    assert "failed inside the gateway" in caplog.text


async def test_the_log_names_a_refused_device_but_not_its_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    world.apns.script.append(BAD_TOKEN)
    device = await phone(world)

    await attempt(world, device)
    await until(lambda: "BadDeviceToken" in caplog.text)

    secret = device.push_token.removeprefix("ExponentPushToken[").removesuffix("]")
    assert f"ExponentPushToken[{secret[:4]}…{secret[-2:]}]: BadDeviceToken" in caplog.text
    assert secret not in caplog.text
    assert device.device_token not in caplog.text


# -- captured instead of sent -----------------------------------------------------------------------------------------


async def test_what_goes_wrong_at_an_emulator_says_nothing_of_the_real_credential(world: World) -> None:
    device = await phone(world)
    world.apns.script.append(BAD_KEY)
    world.providers[PROJECT] = ProjectProviders(apns=world.apns, fcm=None, captures=True)
    await attempt(world, device)
    assert (await receipt(world, device))["details"]["error"] == "InvalidCredentials"
    assert len(world.apns.sent) == 1

    del world.providers[PROJECT]

    assert await receipt(world, device) == {"status": "ok"}
