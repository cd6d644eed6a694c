"""What every test of the APNs provider needs: a key, requests, a server, and a provider that is closed in the end."""

import asyncio
import itertools
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from expo_gateway.emulators.apns import ApnsEmulator
from expo_gateway.emulators.fault_rules import Faults
from expo_gateway.emulators.faults import Act
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.emulators.virtual_devices import VirtualDevices
from expo_gateway.emulators.world import EmulatedWorld
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.providers.apns import ApnsEndpoint, ApnsKey, ApnsLimits, ApnsProvider
from expo_gateway.providers.apns_connection import ApnsConnection
from expo_gateway.providers.apns_pool import ApnsPool
from expo_gateway.providers.base import Outcome
from tests.providers.scripted_apns import Habits, Script, ScriptedApns

TOPIC = "dev.example.app"

# Short enough for a test to see them pass, long enough for a busy machine.
HASTY = ApnsLimits(
    request_timeout_s=0.3,
    queue_timeout_s=0.3,
    patience_s=0.1,
    connect_timeout_s=2.0,
    ping_timeout_s=0.2,
    close_timeout_s=0.2,
)


@dataclass(slots=True)
class SetClock:
    now: float

    def __call__(self) -> float:
        return self.now


def new_key() -> ApnsKey:
    private_key = ec.generate_private_key(ec.SECP256R1())
    pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ApnsKey(key_id="ABC123DEFG", team_id="DEF123GHIJ", private_key_pem=pem.decode())


_numbers = itertools.count(1)


def new_request(**changes: Any) -> ApnsRequest:
    """A good request to a device of its own, with these fields changed."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "apns_id": f"00000000-0000-7000-8000-{number:012x}",
        "device_token": f"{number:064x}",
        "sandbox": False,
        "topic": TOPIC,
        "push_type": "alert",
        "priority": 10,
        "expiration": None,
        "collapse_id": None,
        "payload": b'{"aps":{"alert":"hello"}}',
    }
    return ApnsRequest(**(fields | changes))


def endpoint(port: int, authority: str = "api.push.apple.com") -> ApnsEndpoint:
    return ApnsEndpoint(host="127.0.0.1", port=port, authority=authority)


@dataclass(slots=True, kw_only=True)
class Scene:
    """Everything that it starts it closes."""

    tls: EmulatorTls
    key: ApnsKey
    clock: SetClock = field(default_factory=lambda: SetClock(float(int(time.time()))))
    inbox: Inbox = field(default_factory=lambda: Inbox(max_captures=10_000))
    devices: VirtualDevices = field(default_factory=VirtualDevices)
    faults: Faults = field(default_factory=Faults)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def emulator(self, **switches: Any) -> ApnsEmulator:
        return await self.emulator_at(0, **switches)

    async def emulator_at(self, port: int, **switches: Any) -> ApnsEmulator:
        emulator = ApnsEmulator(
            world=EmulatedWorld(clock=self.clock, inbox=self.inbox, apns_devices=self.devices, faults=self.faults),
            ssl_context=self.tls.server_context(("h2",)),
            **switches,
        )
        await emulator.start("127.0.0.1", port)
        self.stack.push_async_callback(emulator.close)
        return emulator

    async def scripted(
        self, script: Script, habits: Habits | None = None, *, alpn_protocols: tuple[str, ...] = ("h2",)
    ) -> ScriptedApns:
        server = ScriptedApns(script, ssl_context=self.tls.server_context(alpn_protocols), habits=habits)
        await server.start()
        self.stack.push_async_callback(server.close)
        return server

    def provider(
        self,
        port: int,
        *,
        limits: ApnsLimits | None = None,
        max_connections: int = 4,
        authority: str = "api.push.apple.com",
    ) -> ApnsProvider:
        limits = limits or ApnsLimits()
        provider = ApnsProvider(
            key=self.key,
            production=endpoint(port, authority),
            sandbox=endpoint(port, "api.sandbox.push.apple.com"),
            ssl_context=self.tls.client_context(),
            clock=self.clock,
            emulated=True,
            max_connections=max_connections,
            request_timeout_s=limits.request_timeout_s,
            limits=limits,
            jitter=lambda: 0.0,
        )
        self.stack.push_async_callback(provider.close)
        return provider

    def fault(self, act: Act, *, times: int | None = 1, device_token: str | None = None) -> None:
        self.faults.force(act, times=times, device_token=device_token)


async def send_all(provider: ApnsProvider, requests: list[ApnsRequest]) -> list[Outcome]:
    """At once; the outcomes in the order of the requests. TimeoutError after 20 s: a push must never hang."""
    async with asyncio.timeout(20):
        return list(await asyncio.gather(*(provider.send(request) for request in requests)))


def pool_of(provider: ApnsProvider, *, sandbox: bool = False) -> ApnsPool:
    return provider._pools[sandbox]


def connections_of(provider: ApnsProvider, *, sandbox: bool = False) -> list[ApnsConnection]:
    return list(pool_of(provider, sandbox=sandbox).connections)


async def until(condition: Any, *, timeout_s: float = 5.0) -> None:
    """For what no event tells: looked at in every turn of the loop."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
