"""What the emulators' tests share. Fixtures of one emulator are prefixed with its name."""

import time

import pytest

from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.emulators.tls import EmulatorTls
from tests.emulators.apns_client import ProviderKey
from tests.emulators.apns_world import SetClock, World


@pytest.fixture(scope="session")
def emulator_tls(tmp_path_factory: pytest.TempPathFactory) -> EmulatorTls:
    return ensure_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def apns_key() -> ProviderKey:
    return ProviderKey()


@pytest.fixture
def apns_world(emulator_tls: EmulatorTls, apns_key: ProviderKey) -> World:
    """Its clock stands still at the time at which the test began."""
    return World(tls=emulator_tls, key=apns_key, clock=SetClock(float(int(time.time()))))
