"""The emulated world, wired: both emulators, credentials that they trust, and providers that use these.

The providers are those that talk to Apple and Google; nothing differs but the address and who signed the certificate.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from expo_gateway.dispatcher.sender import ProjectProviders
from expo_gateway.emulators.apns import ApnsEmulator
from expo_gateway.emulators.faults import Faults
from expo_gateway.emulators.fcm import FcmEmulator
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.emulators.oauth import OAuth
from expo_gateway.emulators.tls import EmulatorTls, ensure_certificates
from expo_gateway.emulators.virtual_devices import VirtualDevices
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.providers.base import Outcome, Provider

log = logging.getLogger(__name__)

KEY_ID = "EMULATEDK1"
TEAM_ID = "EMULATEDT1"
FCM_PROJECT = "expo-gateway-emulated"
SERVICE_ACCOUNT = f"push@{FCM_PROJECT}.iam.gserviceaccount.com"


Request = TypeVar("Request")


class LateProvider(Generic[Request]):
    """A provider that is made by `warm_up`, or by the first send.

    Two thirds of a start are the providers' libraries and keys, which nobody needs before the first message.
    """

    emulated = True

    def __init__(self, make: Callable[[], Provider[Request]]) -> None:
        self._make = make
        self._made: asyncio.Future[Provider[Request]] | None = None

    def warm_up(self) -> "asyncio.Future[Provider[Request]]":
        """Make it now, in a thread."""
        if self._made is None or (self._made.done() and self._made.exception() is not None):
            self._made = asyncio.ensure_future(asyncio.to_thread(self._make))
        return self._made

    @property
    def made(self) -> Provider[Request] | None:
        """The provider, once there is one."""
        is_made = self._made is not None and self._made.done() and self._made.exception() is None
        return self._made.result() if self._made is not None and is_made else None

    async def send(self, request: Request) -> Outcome:
        provider = await asyncio.shield(self.warm_up())
        return await provider.send(request)

    async def close(self) -> None:
        if self._made is not None:
            with suppress(Exception):  # it was never made, and whoever wanted it has been told
                await (await self._made).close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """What a test or the roof wants of the emulated world."""

    apns: ApnsEmulator
    fcm: FcmEmulator
    oauth: OAuth
    inbox: Inbox
    apns_devices: VirtualDevices
    fcm_devices: VirtualDevices
    apns_faults: Faults
    fcm_faults: Faults
    tls: EmulatorTls
    apns_provider: LateProvider[ApnsRequest]
    fcm_provider: LateProvider[FcmRequest]

    @property
    def providers(self) -> ProjectProviders:
        return ProjectProviders(apns=self.apns_provider, fcm=self.fcm_provider)

    async def warm_up(self) -> None:
        """Make the providers, so that the first message need not wait for them."""
        for provider in (self.apns_provider, self.fcm_provider):
            try:
                await provider.warm_up()
            except Exception as error:
                log.error("a provider could not be made, the next message tries again: %s", error)

    def apns_connections(self) -> int:
        """How many of them take pushes now."""
        return getattr(self.apns_provider.made, "connections", 0)

    @property
    def apns_url(self) -> str:
        return f"https://127.0.0.1:{self.apns.port}"

    @property
    def fcm_url(self) -> str:
        return f"http://127.0.0.1:{self.fcm.port}"


@asynccontextmanager
async def open_emulated(
    directory: Path,
    *,
    clock: Callable[[], float],
    apns_port: int = 0,
    fcm_port: int = 0,
    extra_names: Sequence[str] = (),
) -> AsyncIterator[Emulated]:
    """Start both emulators on loopback. Certificates are kept in `directory`; everything else goes at the end.

    `extra_names`: host names and addresses that the certificate has beside localhost and the providers' names.
    """
    tls = await asyncio.to_thread(ensure_certificates, directory, extra_names=extra_names)
    inbox, oauth = Inbox(), OAuth(clock=clock)
    apns_devices, fcm_devices = VirtualDevices(), VirtualDevices()
    apns_faults, fcm_faults = Faults(), Faults()
    apns = ApnsEmulator(
        inbox=inbox,
        devices=apns_devices,
        faults=apns_faults,
        clock=clock,
        ssl_context=tls.server_context(("h2",)),
    )
    fcm = FcmEmulator(inbox=inbox, devices=fcm_devices, faults=fcm_faults, oauth=oauth, clock=clock)
    async with AsyncExitStack() as stack:
        await apns.start("127.0.0.1", apns_port)
        stack.push_async_callback(apns.close)
        await fcm.start("127.0.0.1", fcm_port)
        stack.push_async_callback(fcm.close)
        apns_provider = LateProvider(partial(_apns_provider, apns, tls, clock))
        stack.push_async_callback(apns_provider.close)
        fcm_provider = LateProvider(partial(_fcm_provider, fcm, oauth, clock))
        stack.push_async_callback(fcm_provider.close)
        yield Emulated(
            apns=apns,
            fcm=fcm,
            oauth=oauth,
            inbox=inbox,
            apns_devices=apns_devices,
            fcm_devices=fcm_devices,
            apns_faults=apns_faults,
            fcm_faults=fcm_faults,
            tls=tls,
            apns_provider=apns_provider,
            fcm_provider=fcm_provider,
        )


def _apns_provider(apns: ApnsEmulator, tls: EmulatorTls, clock: Callable[[], float]) -> Provider[ApnsRequest]:
    from expo_gateway.providers.apns import PRODUCTION, SANDBOX, ApnsEndpoint, ApnsKey, ApnsProvider

    key = ec.generate_private_key(ec.SECP256R1())
    apns.trust_key(key_id=KEY_ID, team_id=TEAM_ID, public_key_pem=_public_pem(key))

    def here(real: ApnsEndpoint) -> ApnsEndpoint:
        return ApnsEndpoint(host="127.0.0.1", port=apns.port, authority=real.authority)

    return ApnsProvider(
        key=ApnsKey(key_id=KEY_ID, team_id=TEAM_ID, private_key_pem=_private_pem(key)),
        production=here(PRODUCTION),
        sandbox=here(SANDBOX),
        ssl_context=tls.client_context(("h2",)),
        clock=clock,
        emulated=True,
    )


def _fcm_provider(fcm: FcmEmulator, oauth: OAuth, clock: Callable[[], float]) -> Provider[FcmRequest]:
    from expo_gateway.providers.fcm import FcmProvider

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key_id = secrets.token_hex(20)
    oauth.trust_service_account(
        client_email=SERVICE_ACCOUNT, private_key_id=key_id, public_key_pem=_public_pem(key), project_id=FCM_PROJECT
    )
    service_account = {
        "type": "service_account",
        "project_id": FCM_PROJECT,
        "private_key_id": key_id,
        "private_key": _private_pem(key),
        "client_email": SERVICE_ACCOUNT,
        "client_id": "100000000000000000000",
        "token_uri": fcm.token_url,
    }
    return FcmProvider(service_account=service_account, endpoint=fcm.url, clock=clock, emulated=True)


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode("ascii")


def _public_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
