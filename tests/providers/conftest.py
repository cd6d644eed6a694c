"""What the providers' tests share.

APNs fixtures say so in their names; `fcm`, `provider` and `clock` are the scripted FCM and its client.
"""

from collections.abc import AsyncIterator

import pytest

from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.providers.apns import ApnsKey
from expo_gateway.providers.fcm import FcmProvider
from tests.providers.apns_scene import Scene, new_key
from tests.providers.scripted_fcm import Clock, ScriptedFcm, provider_at, scripted_fcm


@pytest.fixture(scope="session")
def emulator_tls(tmp_path_factory: pytest.TempPathFactory) -> EmulatorTls:
    return ensure_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def apns_key() -> ApnsKey:
    return new_key()


@pytest.fixture
async def apns_scene(emulator_tls: EmulatorTls, apns_key: ApnsKey) -> AsyncIterator[Scene]:
    """Servers and providers for one test. Its clock stands still."""
    scene = Scene(tls=emulator_tls, key=apns_key)
    async with scene.stack:
        yield scene


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fcm() -> AsyncIterator[ScriptedFcm]:
    async with scripted_fcm() as server:
        yield server


@pytest.fixture
async def provider(fcm: ScriptedFcm, clock: Clock) -> AsyncIterator[FcmProvider]:
    async with provider_at(fcm.url, clock=clock) as opened:
        yield opened
