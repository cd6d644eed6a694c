"""An APNs emulator with everything that it is made of, and a provider that has a key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from expo_gateway.emulators.apns import ApnsEmulator
from expo_gateway.emulators.faults import Act, Fault, Faults
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.emulators.virtual_devices import VirtualDevices
from tests.emulators.apns_client import DEVICE_TOKEN, ApnsTestClient, ProviderKey, push_headers


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
            inbox=self.inbox,
            devices=self.devices,
            faults=self.faults,
            ssl_context=self.tls.server_context(("h2",)),
            clock=self.clock,
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
        self.faults.add(Fault(act=act, device_token=device_token, times=times))
