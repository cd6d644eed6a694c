"""An APNs emulator with everything that it is made of, and a provider that has a key."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from expo_gateway.emulators.apns import ApnsEmulator
from expo_gateway.emulators.apns_certificates import TrustedCertificates
from expo_gateway.emulators.apns_decisions import ApnsDecisions, ApnsWorlds
from expo_gateway.emulators.apns_provider_tokens import ProviderTokens
from expo_gateway.emulators.fault_rules import Faults
from expo_gateway.emulators.faults import Act
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.emulators.virtual_devices import VirtualDevices
from expo_gateway.emulators.world import EmulatedWorld
from tests.emulators.apns_client import DEVICE_TOKEN, ApnsTestClient, ProviderKey, push_headers


def worlds_of(world: "World") -> ApnsWorlds:
    """For a connection without its emulator."""
    decisions = ApnsDecisions(world=world.emulated, provider_tokens=ProviderTokens())
    certificates = TrustedCertificates(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    return ApnsWorlds(default=decisions, removed=decisions, certificates=certificates)


@dataclass(slots=True)
class SetClock:
    now: float

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True, kw_only=True)
class World:
    tls: EmulatorTls
    key: ProviderKey
    clock: SetClock
    inbox: Inbox = field(default_factory=Inbox)
    devices: VirtualDevices = field(default_factory=VirtualDevices)
    faults: Faults = field(default_factory=Faults)

    @property
    def emulated(self) -> EmulatedWorld:
        return EmulatedWorld(clock=self.clock, inbox=self.inbox, apns_devices=self.devices, faults=self.faults)

    @asynccontextmanager
    async def apns(
        self,
        *,
        known_keys_only: bool = False,
        strict_streams: bool = False,
        strict_token_updates: bool = False,
        real_window: bool = False,
        max_streams: int = 1000,
        max_connections: int = 1000,
    ) -> AsyncIterator[ApnsEmulator]:
        emulator = ApnsEmulator(
            world=self.emulated,
            ssl_context=self.tls.server_context(("h2",)),
            known_keys_only=known_keys_only,
            strict_streams=strict_streams,
            strict_token_updates=strict_token_updates,
            real_window=real_window,
            max_streams=max_streams,
            max_connections=max_connections,
        )
        await emulator.start()
        try:
            yield emulator
        finally:
            await emulator.close()

    async def client(self, emulator: ApnsEmulator, *, acknowledges: bool = True) -> ApnsTestClient:
        return await ApnsTestClient.connect(emulator.port, self.tls.client_context(), acknowledges=acknowledges)

    def headers(self, device_token: str = DEVICE_TOKEN, **changes: str) -> dict[str, str]:
        headers = push_headers(self.key.bearer(issued_at=self.clock.now), device_token=device_token)
        return headers | {name.replace("_", "-"): value for name, value in changes.items()}

    def force(self, act: Act, device_token: str | None = None, *, times: int | None = None) -> None:
        self.faults.force(act, device_token=device_token, times=times)
