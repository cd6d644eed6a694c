"""The emulated world, wired: both emulators, and the credentials that they trust."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from expo_gateway.emulated_ports import LOOPBACK, Addresses, EmulatorSockets
from expo_gateway.emulated_providers import (
    FCM_PROJECT,
    SERVICE_ACCOUNT,
    TEAM_ID,
    SigningKey,
)
from expo_gateway.emulators.apns import ApnsEmulator
from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.emulators.fault_rules import Faults
from expo_gateway.emulators.fcm import FcmEmulator
from expo_gateway.emulators.fcm_listener import Listener
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.emulators.oauth import OAuth
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.emulators.virtual_devices import VirtualDevices
from expo_gateway.emulators.world import EmulatedWorld


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """What a test or the roof wants of the emulated world."""

    apns: ApnsEmulator
    fcm: FcmEmulator
    oauth: OAuth
    world: EmulatedWorld
    """The default one."""
    tls: EmulatorTls
    addresses: Addresses

    @property
    def inbox(self) -> Inbox:
        return self.world.inbox

    @property
    def apns_devices(self) -> VirtualDevices:
        return self.world.apns_devices

    @property
    def fcm_devices(self) -> VirtualDevices:
        return self.world.fcm_devices

    @property
    def faults(self) -> Faults:
        return self.world.faults

    def trust_apns(self, key: SigningKey) -> None:
        self.apns.trust_key(key_id=key.key_id, team_id=TEAM_ID, public_key_pem=key.public_pem)

    def trust_fcm(self, key: SigningKey) -> None:
        self.oauth.trust_service_account(
            client_email=SERVICE_ACCOUNT,
            private_key_id=key.key_id,
            public_key_pem=key.public_pem,
            project_id=FCM_PROJECT,
        )

    @property
    def apns_url(self) -> str:
        return self.addresses.apns_url

    @property
    def fcm_url(self) -> str:
        return self.addresses.fcm_url


@asynccontextmanager
async def open_emulated(
    directory: Path,
    *,
    clock: Callable[[], float],
    sockets: EmulatorSockets,
    extra_names: Sequence[str] = (),
    magic_devices: bool = True,
    world: EmulatedWorld | None = None,
) -> AsyncIterator[Emulated]:
    """Start both emulators on `sockets`, which they close. OSError: the certificates can't be kept.

    Certificates are kept in `directory`; everything else goes at the end. `extra_names`: host names and addresses that
    the certificate has beside localhost and the providers' names. `magic_devices`: see `EmulatedWorld`. `world`: the
    default one, in place of a new one.
    """
    addresses = sockets.addresses
    world = world if world is not None else EmulatedWorld(clock=clock, magic_devices=magic_devices)
    async with AsyncExitStack() as stack:
        stack.callback(sockets.close)
        tls = await asyncio.to_thread(ensure_certificates, directory, extra_names=extra_names)
        # Not the world's clock, which may be moved: google-auth dates its assertions by the machine.
        oauth = OAuth(clock=time.time)
        apns = ApnsEmulator(world=world, ssl_context=tls.server_context(("h2",)))
        fcm = FcmEmulator(world=world, oauth=oauth)
        await apns.start(sock=sockets.apns)
        stack.push_async_callback(apns.close)
        await fcm.start(sock=sockets.fcm)
        stack.push_async_callback(fcm.close)
        if sockets.fcm_tls is not None:
            over_tls = Listener(fcm.app)
            await over_tls.start(LOOPBACK, 0, tls.server_context(), sock=sockets.fcm_tls)
            stack.push_async_callback(over_tls.close)
        yield Emulated(
            apns=apns,
            fcm=fcm,
            oauth=oauth,
            world=world,
            tls=tls,
            addresses=addresses,
        )
