"""What the providers' tests share. Fixtures of one provider are prefixed with its name."""

from collections.abc import AsyncIterator

import pytest

from expo_gateway.emulators.tls import EmulatorTls, ensure_certificates
from expo_gateway.providers.apns import ApnsKey
from tests.providers.apns_scene import Scene, new_key


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
