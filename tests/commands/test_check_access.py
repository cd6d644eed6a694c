"""Credentials that parse, asked about: Google's token endpoint is the emulator's, at another address."""

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec.structs import replace

from expo_gateway.commands.check_access import check_access
from expo_gateway.commands.check_findings import Level
from expo_gateway.commands.check_network import check_clock_of_google, check_reach, targets
from expo_gateway.protocol.device import Project, ProjectKind
from expo_gateway.protocol.project import ApnsCredential, ApnsKeyFile, ConfiguredProject, FcmCredential
from expo_gateway.settings import Providers
from tests.outside import TEAM_ID, Outside, open_outside, private_pem


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    async with open_outside(tmp_path / "outside") as outside:
        yield outside


@pytest.fixture
def shop(outside: Outside) -> ConfiguredProject:
    """A real project, with credentials that Apple and Google know."""
    pem = outside.new_apns_key().read_text()
    secret = ApnsKeyFile(key_id="ABCDEFGHIJ", team_id=TEAM_ID, private_key_pem=pem)
    return ConfiguredProject(
        project=Project(project_id="p", full_name="@o/s", kind=ProjectKind.REAL),
        apns=(ApnsCredential(secret=secret),),
        fcm=FcmCredential(service_account=json.loads(outside.new_service_account().read_text())),
    )


def spoiled(shop: ConfiguredProject, **fields: object) -> ConfiguredProject:
    assert shop.fcm is not None
    return replace(shop, apns=(), fcm=FcmCredential(service_account={**shop.fcm.service_account, **fields}))


def addresses_of(outside: Outside) -> Providers:
    return Providers(**{**outside.addresses, "ca_file": outside.tls.ca_pem})


async def test_google_gives_access_and_apple_can_not_be_asked(outside: Outside, shop: ConfiguredProject) -> None:
    apple, google = await check_access([shop], ca=outside.tls.ca_pem)

    assert apple.level is Level.SKIP
    assert "not verified: Apple has no call for that without sending" in apple.text
    assert google.level is Level.OK
    assert "push@acme-shop-1234.iam.gserviceaccount.com" in google.text


async def test_a_service_account_whose_key_was_deleted_fails(outside: Outside, shop: ConfiguredProject) -> None:
    other = private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))

    (found,) = await check_access([spoiled(shop, private_key=other)], ca=outside.tls.ca_pem)

    assert found.level is Level.FAIL
    assert "invalid_grant: Invalid JWT Signature." in found.text
    assert "make a new key" in found.next
    assert other.splitlines()[1] not in found.text


async def test_an_endpoint_that_can_not_be_asked_is_a_warning(outside: Outside, shop: ConfiguredProject) -> None:
    (found,) = await check_access([spoiled(shop, token_uri="http://127.0.0.1:9/token")], ca=outside.tls.ca_pem)

    assert found.level is Level.WARN
    assert "is not verified" in found.text


async def test_an_emulated_project_and_an_account_that_can_not_be_read_are_not_asked_about(
    outside: Outside, shop: ConfiguredProject
) -> None:
    emulated = replace(shop, project=replace(shop.project, kind=ProjectKind.EMULATED))

    assert await check_access([emulated, spoiled(shop, private_key="none")], ca=outside.tls.ca_pem) == []


async def test_apple_is_reached_by_tls_and_http_2(outside: Outside, shop: ConfiguredProject) -> None:
    apple, *_ = targets([shop], addresses_of(outside))
    tls = outside.tls.server_context(("http/1.1",))
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=tls) as server:
        between = dataclasses.replace(apple, port=server.sockets[0].getsockname()[1])
        reached, not_http_2 = await check_reach([apple, between], ca=outside.tls.ca_pem)

    assert reached.level is Level.OK
    assert not_http_2.level is Level.FAIL


async def test_the_clock_is_compared_with_that_of_google(
    outside: Outside, shop: ConfiguredProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    (same,) = await check_clock_of_google(addresses_of(outside))
    now = time.time
    monkeypatch.setattr("expo_gateway.commands.check_network.time.time", lambda: now() + 600)
    (early,) = await check_clock_of_google(addresses_of(outside))

    assert (same.check, same.level) == ("clock", Level.OK)
    assert early.level is Level.FAIL


async def test_without_an_answer_the_clock_is_not_compared() -> None:
    assert await check_clock_of_google(Providers(fcm_endpoint="http://127.0.0.1:9")) == []
