"""FcmProvider against the emulator, over TLS."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.emulators.fault_rules import Faults
from expo_gateway.emulators.faults import Answer, Disconnect, Hang
from expo_gateway.emulators.fcm import FcmEmulator
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.emulators.oauth import OAuth
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.emulators.world import EmulatedWorld
from expo_gateway.providers.base import Accepted, Rejected, Uncertain, Unsent
from tests.providers.scripted_fcm import REQUEST, Clock, ScriptedFcm, provider_at, scripted_fcm, service_account


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fcm() -> AsyncIterator[ScriptedFcm]:
    async with scripted_fcm() as server:
        yield server


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> EmulatorTls:
    return ensure_certificates(tmp_path_factory.mktemp("fcm-tls"))


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def emulator(clock: Clock, tls: EmulatorTls, inbox: Inbox, faults: Faults) -> AsyncIterator[FcmEmulator]:
    world = EmulatedWorld(clock=clock, inbox=inbox, faults=faults)
    started = FcmEmulator(world=world, oauth=OAuth(clock=clock))
    # The provider's assertions are dated by google-auth, with the machine's own time.
    clock.now = time.time()
    await started.start("127.0.0.1", tls=tls.server_context())
    try:
        yield started
    finally:
        await started.close()


async def test_the_emulator_takes_a_push_over_tls(
    emulator: FcmEmulator, inbox: Inbox, clock: Clock, tls: EmulatorTls
) -> None:
    context = tls.client_context(("http/1.1",))
    async with provider_at(emulator.url, clock=clock, ssl_context=context) as provider:
        outcome = await provider.send(REQUEST)

    (capture,) = inbox
    assert outcome == Accepted(provider_id=capture.answer_id)
    assert json.loads(capture.body)["message"]["data"] == REQUEST.data


async def test_an_untrusted_certificate_leaves_the_push_unsent(
    fcm: ScriptedFcm, emulator: FcmEmulator, inbox: Inbox, clock: Clock
) -> None:
    account = service_account(f"{fcm.url}/token")
    async with provider_at(emulator.url, clock=clock, service_account=account) as provider:
        assert isinstance(await provider.send(REQUEST), Unsent)

    assert len(inbox) == 0


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (Answer(status=404, reason="UNREGISTERED"), Rejected),
        (Answer(status=503, reason="UNAVAILABLE"), Rejected),
        (Disconnect(), Uncertain),
        (Hang(), Uncertain),
    ],
)
async def test_the_emulators_faults_have_their_outcomes(
    emulator: FcmEmulator, faults: Faults, clock: Clock, tls: EmulatorTls, act: Any, expected: type
) -> None:
    faults.force(act)
    limits = {"ssl_context": tls.client_context(("http/1.1",)), "request_timeout_s": 0.5}
    async with provider_at(emulator.url, clock=clock, **limits) as provider:
        assert isinstance(await provider.send(REQUEST), expected)
