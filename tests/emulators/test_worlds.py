"""Several worlds at the same emulators: told apart by their credentials, and never in each other's way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from expo_gateway.emulators.apns import ApnsEmulator
from expo_gateway.emulators.faults import Answer, Disconnect, GoAway, Hang
from expo_gateway.emulators.fcm import FcmEmulator
from expo_gateway.emulators.oauth import OAuth
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.emulators.world import EmulatedWorld, Worlds
from tests.emulators.apns_client import DEVICE_TOKEN, ApnsTestClient, ProviderKey, push_headers
from tests.emulators.apns_world import SetClock
from tests.emulators.fcm_fixtures import (
    MESSAGE,
    TIMEOUT,
    Assertion,
    SigningKey,
    make_signing_key,
)

NOW = 1_760_000_000.0


# -- the look-up -------------------------------------------------------------------------------------------------------


def test_unknown_credentials_are_the_default_worlds_and_those_of_the_removed_are_nobodys() -> None:
    worlds = Worlds(default="default", removed="removed", max_removed=1)
    worlds.add("a", "A")
    worlds.add("b", "B")

    assert [worlds.of(credential) for credential in "abc"] == ["A", "B", "default"]
    assert (worlds.remove("a"), worlds.remove("a"), worlds.of("a")) == ("A", None, "removed")
    worlds.remove("b")
    assert (worlds.of("a"), worlds.of("b"), len(worlds)) == ("default", "removed", 0)


def test_a_credential_has_one_world_and_may_come_back() -> None:
    worlds = Worlds(default="default", removed="removed")
    worlds.add("a", "A")
    with pytest.raises(ValueError, match="a already"):
        worlds.add("a", "other")
    worlds.remove("a")

    worlds.add("a", "A again")

    assert worlds.of("a") == "A again"


# -- APNs --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class ApnsSide:
    """One world at APNs: its credential, and what it has there."""

    key: ProviderKey
    world: EmulatedWorld
    clock: SetClock

    def headers(self, device_token: str = DEVICE_TOKEN) -> dict[str, str]:
        return push_headers(self.key.bearer(issued_at=self.clock.now), device_token=device_token)

    @property
    def statuses(self) -> list[int]:
        return [capture.status for capture in self.world.inbox]


def apns_side(key_id: str) -> ApnsSide:
    clock = SetClock(NOW)
    return ApnsSide(key=ProviderKey(key_id=key_id), world=EmulatedWorld(clock=clock), clock=clock)


@dataclass(slots=True, kw_only=True)
class Apns:
    emulator: ApnsEmulator
    tls: EmulatorTls
    default: ApnsSide

    def add(self, key_id: str) -> ApnsSide:
        side = apns_side(key_id)
        key = side.key
        self.emulator.add_world(side.world, key_id=key.key_id, team_id=key.team_id, public_key_pem=key.public_pem)
        return side

    async def client(self) -> ApnsTestClient:
        return await ApnsTestClient.connect(self.emulator.port, self.tls.client_context())


@pytest.fixture
async def apns(emulator_tls: EmulatorTls) -> AsyncIterator[Apns]:
    default = apns_side("DEFAULTKEY")
    emulator = ApnsEmulator(world=default.world, ssl_context=emulator_tls.server_context(("h2",)))
    await emulator.start()
    try:
        yield Apns(emulator=emulator, tls=emulator_tls, default=default)
    finally:
        await emulator.close()


async def test_a_push_is_captured_in_the_world_that_has_its_key(apns: Apns) -> None:
    one, two = apns.add("WORLDKEY01"), apns.add("WORLDKEY02")

    async with await apns.client() as client:
        for side in (one, two, two, apns.default, one):
            assert (await client.request(side.headers())).status == 200

    assert [len(side.world.inbox) for side in (one, two, apns.default)] == [2, 2, 1]
    assert [len(side.world.apns_devices) for side in (one, two, apns.default)] == [1, 1, 1]


async def test_devices_faults_and_clocks_are_a_worlds_own(apns: Apns) -> None:
    one, two = apns.add("WORLDKEY01"), apns.add("WORLDKEY02")
    one.world.apns_devices.enrol(DEVICE_TOKEN, app_id="com.example.app")
    one.world.apns_devices.unregister(DEVICE_TOKEN, at=NOW - 5)
    two.clock.now += 86_400
    two.world.faults.force(Answer(status=503, reason="Shutdown"), device_token="bb" * 32)

    async with await apns.client() as client:
        first = await client.request(one.headers())
        second = await client.request(two.headers())
        forced = await client.request(two.headers("bb" * 32))
        unforced = await client.request(one.headers("bb" * 32))

    assert (first.status, second.status, forced.status, unforced.status) == (410, 200, 503, 200)
    assert [capture.received_at for capture in two.world.inbox] == [NOW + 86_400] * 2


@pytest.mark.parametrize("act", [GoAway(), GoAway(graceful=False), Disconnect(), Hang()])
async def test_a_fault_of_one_world_leaves_the_connections_of_another_alone(
    apns: Apns, act: GoAway | Disconnect | Hang
) -> None:
    one, two = apns.add("WORLDKEY01"), apns.add("WORLDKEY02")
    one.world.faults.force(act)

    async with await apns.client() as first, await apns.client() as second:
        assert (await second.request(two.headers())).status == 200
        first.send(one.headers())
        first.flush()
        if not isinstance(act, Hang):
            await first.until(lambda: first.is_closed)

        assert (await second.request(two.headers())).status == 200


async def test_a_key_is_checked_and_belongs_to_one_world(apns: Apns) -> None:
    one = apns.add("WORLDKEY01")
    forged = ProviderKey(key_id="WORLDKEY01")

    async with await apns.client() as client:
        response = await client.request(push_headers(forged.bearer(issued_at=NOW)))

    assert response.reason == "InvalidProviderToken"
    assert one.statuses == [403]
    with pytest.raises(ValueError, match="WORLDKEY01 already"):
        apns.add("WORLDKEY01")


async def test_a_world_whose_key_is_no_key_is_not_added(apns: Apns) -> None:
    side = apns_side("WORLDKEY01")
    with pytest.raises(ValueError, match="PEM"):
        apns.emulator.add_world(side.world, key_id="WORLDKEY01", team_id="TEAM123456", public_key_pem="nonsense")

    apns.add("WORLDKEY01")


async def test_a_removed_worlds_connections_end_and_its_late_pushes_are_nobodys(apns: Apns) -> None:
    one, two = apns.add("WORLDKEY01"), apns.add("WORLDKEY02")

    async with await apns.client() as first, await apns.client() as second:
        await first.request(one.headers())
        await second.request(two.headers())
        apns.emulator.remove_world("WORLDKEY01")
        apns.emulator.remove_world("WORLDKEY01")

        await first.until(lambda: first.is_closed)
        assert [goaway.additional_data for goaway in first.goaways] == [b'{"reason":"Shutdown"}']
        assert (await second.request(one.headers())).reason == "InvalidProviderToken"
        assert (await second.request(two.headers())).status == 200
    assert (one.statuses, two.statuses, apns.default.statuses) == ([200], [200, 200], [])


async def test_a_world_that_comes_back_under_its_key_is_a_new_one(apns: Apns) -> None:
    old = apns.add("WORLDKEY01")
    apns.emulator.remove_world("WORLDKEY01")
    new = apns.add("WORLDKEY01")

    async with await apns.client() as client:
        assert (await client.request(old.headers())).status == 403  # signed with the old world's key
        assert (await client.request(new.headers())).status == 200

    assert (old.statuses, new.statuses) == ([], [403, 200])


async def test_a_thousand_worlds_stay_apart(apns: Apns) -> None:
    sides = [apns.add(f"WORLD{number:05}") for number in range(1000)]

    async with await apns.client() as client:
        streams = [client.send(side.headers(f"{number:064x}")) for number, side in enumerate(sides)]
        client.flush()
        statuses = [(await client.response(stream)).status for stream in streams]

    assert statuses == [200] * 1000
    tokens = [[capture.device_token for capture in side.world.inbox] for side in sides]
    assert tokens == [[f"{number:064x}"] for number in range(1000)]


# -- FCM ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key() -> SigningKey:
    """One for all: worlds are told apart by their accounts."""
    return make_signing_key()


@dataclass(slots=True, kw_only=True)
class FcmSide:
    project: str
    email: str
    world: EmulatedWorld
    clock: SetClock

    @property
    def statuses(self) -> list[int]:
        return [capture.status for capture in self.world.inbox]


def fcm_side(project: str) -> FcmSide:
    clock = SetClock(NOW)
    email = f"push@{project}.iam.gserviceaccount.com"
    return FcmSide(project=project, email=email, world=EmulatedWorld(clock=clock), clock=clock)


@dataclass(slots=True, kw_only=True)
class Fcm:
    emulator: FcmEmulator
    oauth: OAuth
    key: SigningKey
    default: FcmSide
    client: aiohttp.ClientSession

    def add(self, project: str) -> FcmSide:
        side = fcm_side(project)
        self.emulator.add_world(
            side.world,
            project_id=project,
            client_email=side.email,
            private_key_id="k1",
            public_key_pem=self.key.public_pem,
        )
        return side

    async def token(self, side: FcmSide) -> tuple[int, Any]:
        assertion = Assertion(self.key, NOW, headers={"kid": "k1"})
        assertion.claims["iss"] = side.email
        content_type = {"content-type": "application/x-www-form-urlencoded"}
        async with self.client.post(self.emulator.token_url, data=assertion.form(), headers=content_type) as response:
            return response.status, (await response.json()).get("access_token")

    async def send(self, side: FcmSide, token: str = "ya29.of-somebody-else") -> int:
        url = f"{self.emulator.url}/v1/projects/{side.project}/messages:send"
        async with self.client.post(url, json=MESSAGE, headers={"Authorization": f"Bearer {token}"}) as response:
            return response.status


@asynccontextmanager
async def running_fcm(key: SigningKey) -> AsyncIterator[Fcm]:
    default = fcm_side("default-project")
    oauth = OAuth(clock=lambda: NOW)
    emulator = FcmEmulator(world=default.world, oauth=oauth)
    await emulator.start()
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as client:
            yield Fcm(emulator=emulator, oauth=oauth, key=key, default=default, client=client)
    finally:
        await emulator.close()


@pytest.fixture
async def fcm(key: SigningKey) -> AsyncIterator[Fcm]:
    async with running_fcm(key) as running:
        yield running


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 (an inbox has no event)
            await asyncio.sleep(0.001)


async def test_a_message_is_captured_in_the_world_that_has_its_project(fcm: Fcm) -> None:
    one, two = fcm.add("world-1"), fcm.add("world-2")
    tokens = {side.project: (await fcm.token(side))[1] for side in (one, two)}

    statuses = [await fcm.send(side, tokens[side.project]) for side in (one, two, two)]

    assert [*statuses, await fcm.send(fcm.default)] == [200] * 4
    assert [len(side.world.inbox) for side in (one, two, fcm.default)] == [1, 2, 1]


async def test_an_access_token_is_good_for_its_accounts_project_only(fcm: Fcm) -> None:
    one, two = fcm.add("world-1"), fcm.add("world-2")
    _, token = await fcm.token(one)

    assert await fcm.send(two, token) == 403
    assert (one.statuses, two.statuses) == ([], [403])


async def test_an_access_token_lives_by_the_clock_of_its_world(fcm: Fcm) -> None:
    one, two = fcm.add("world-1"), fcm.add("world-2")
    tokens = [(await fcm.token(side))[1] for side in (one, two)]
    one.clock.now += 3600

    assert await fcm.send(one, tokens[0]) == 401
    assert await fcm.send(two, tokens[1]) == 200
    status, new = await fcm.token(one)
    assert (status, await fcm.send(one, new)) == (200, 200)


async def test_faults_of_both_endpoints_are_a_worlds_own(fcm: Fcm) -> None:
    one, two = fcm.add("world-1"), fcm.add("world-2")
    one.world.faults.force(Answer(status=503, reason="backend_error"), provider="oauth")
    one.world.faults.force(Answer(status=404, reason="UNREGISTERED"))

    assert [(await fcm.token(side))[0] for side in (one, two, fcm.default)] == [503, 200, 200]
    assert [await fcm.send(side) for side in (one, two, fcm.default)] == [404, 200, 200]


async def test_a_removed_worlds_connections_are_cut_and_its_late_requests_are_nobodys(fcm: Fcm) -> None:
    one, two = fcm.add("world-1"), fcm.add("world-2")
    one.world.faults.force(Hang())
    held = asyncio.create_task(fcm.send(one))
    await until(lambda: len(one.world.inbox) == 1)

    fcm.emulator.remove_world("world-1")
    fcm.emulator.remove_world("world-1")

    for late in (held, fcm.send(one), fcm.token(one)):
        with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
            await late
    assert await fcm.send(two) == 200
    assert (one.statuses, fcm.default.statuses) == ([0], [])


async def test_a_world_is_added_whole_or_not_at_all(fcm: Fcm) -> None:
    one = fcm.add("world-1")
    other = fcm_side("world-2")
    with pytest.raises(ValueError, match="already"):
        fcm.emulator.add_world(
            other.world,
            project_id="world-2",
            client_email=one.email,
            private_key_id="k1",
            public_key_pem=fcm.key.public_pem,
        )

    _, token = await fcm.token(one)

    assert await fcm.send(one, token) == 200
    fcm.add("world-2")
