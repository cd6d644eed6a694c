"""The providers of emulated projects: those that talk to Apple and Google, with keys that the emulators trust.

Nothing differs but the address and who signed the certificate. The emulators may be in another process.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from expo_gateway.dispatcher.sender import ProjectProviders
from expo_gateway.emulated_ports import LOOPBACK, Addresses
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.protocol.receipt import expo_error
from expo_gateway.providers.base import Backoff, Outcome, Provider, Unsent
from expo_gateway.providers.magic import MagicProvider

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from google.oauth2.service_account import Credentials

log = logging.getLogger(__name__)

KEY_ID = "EMULATEDK1"
TEAM_ID = "EMULATEDT1"
FCM_PROJECT = "expo-gateway-emulated"


def service_account_of(fcm_project: str) -> str:
    return f"push@{fcm_project}.iam.gserviceaccount.com"


SERVICE_ACCOUNT = service_account_of(FCM_PROJECT)

# Our choice: long enough to send away all who wait for a connection that failed. The emulators are on this machine, and
# who moves a clock to a retry must not meet a pause of real time there.
RECONNECT_PAUSE_S = 0.001

NO_EMULATOR = expo_error("The emulator could not be opened.")
NO_EMULATOR_BACKOFF = Backoff(first_s=1.0)

Request = TypeVar("Request")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """What a provider signs with, and what its emulator checks that with. Both PEM."""

    key_id: str
    private_pem: str = field(repr=False)
    public_pem: bytes


def new_apns_key() -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return _signing_key(KEY_ID, ec.generate_private_key(ec.SECP256R1()))


def new_fcm_key() -> SigningKey:
    """Takes a tenth of a second or more: finding primes is luck."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return _signing_key(secrets.token_hex(20), rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _signing_key(key_id: str, key: "EllipticCurvePrivateKey | RSAPrivateKey") -> SigningKey:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey(key_id=key_id, private_pem=private.decode("ascii"), public_pem=public)


class LateProvider(Generic[Request]):
    """A provider that is made by `warm_up`, or by the first send, in a thread, once its emulator is there.

    Two thirds of a start are the providers' libraries and keys, which nobody needs before the first message.
    """

    emulated = True

    def __init__(
        self, make: Callable[[], Provider[Request]], *, after: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """`after` returns when the emulator is up; OSError: it can't be opened. None: it is up."""
        self._make = make
        self._after = after
        self._made: asyncio.Task[Provider[Request]] | None = None

    def warm_up(self) -> "asyncio.Task[Provider[Request]]":
        if self._made is None or (self._made.done() and self._made.exception() is not None):
            self._made = asyncio.create_task(self._make_in_time(), name="provider")
        return self._made

    async def _make_in_time(self) -> Provider[Request]:
        if self._after is not None:
            await self._after()
        return await asyncio.to_thread(self._make)

    @property
    def made(self) -> Provider[Request] | None:
        """The provider, once there is one."""
        is_made = self._made is not None and self._made.done() and self._made.exception() is None
        return self._made.result() if self._made is not None and is_made else None

    async def send(self, request: Request) -> Outcome:
        try:
            provider = await asyncio.shield(self.warm_up())
        except OSError as error:
            # The process is about to end for it; what is stored is for the next one.
            return Unsent(why=f"no emulator: {error}", receipt=NO_EMULATOR, backoff=NO_EMULATOR_BACKOFF)
        return await provider.send(request)

    async def close(self) -> None:
        if self._made is not None:
            with suppress(Exception):  # it was never made, and whoever wanted it has been told
                await (await self._made).close()


class EmulatedProviders:
    """Both providers. Whoever makes it closes it."""

    def __init__(
        self,
        addresses: Addresses,
        *,
        tls_context: Callable[[], ssl.SSLContext],
        apns_key: Callable[[], SigningKey],
        fcm_key: "Callable[[], SigningKey | Credentials]",
        clock: Callable[[], float],
        magic_devices: bool = True,
        after: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Keys and context are asked for in a thread, when the providers are made; the emulators trust the keys from
        then on. `tls_context`: of a client of the APNs emulator, `EmulatorTls.client_context`.

        A key of FCM's is that of the default world's account; other accounts come as credentials. `magic_devices`:
        those of magic push tokens have their outcomes. `after`: see `LateProvider`.
        """
        self._apns = LateProvider(partial(_apns_provider, addresses, tls_context, apns_key, clock), after=after)
        self._fcm = LateProvider(partial(_fcm_provider, addresses, fcm_key, clock), after=after)
        self.apns: Provider[ApnsRequest] = MagicProvider(self._apns) if magic_devices else self._apns
        self.fcm: Provider[FcmRequest] = MagicProvider(self._fcm) if magic_devices else self._fcm
        self.of_projects = ProjectProviders(apns=self.apns, fcm=self.fcm)

    async def warm_up(self) -> None:
        """Make the providers, so that the first message need not wait for them."""
        for provider in (self._apns, self._fcm):
            try:
                await asyncio.shield(provider.warm_up())
            except Exception as error:
                log.error("a provider could not be made, the next message tries again: %s", error)

    def apns_connections(self) -> int:
        """How many of them take pushes now."""
        return getattr(self._apns.made, "connections", 0)

    async def close(self) -> None:
        await self._fcm.close()
        await self._apns.close()


def _apns_provider(
    addresses: Addresses,
    tls_context: Callable[[], ssl.SSLContext],
    key_of: Callable[[], SigningKey],
    clock: Callable[[], float],
) -> Provider[ApnsRequest]:
    from expo_gateway.providers.apns import PRODUCTION, SANDBOX, ApnsEndpoint, ApnsKey, ApnsProvider
    from expo_gateway.providers.apns_limits import ApnsLimits

    key = key_of()

    def here(real: ApnsEndpoint) -> ApnsEndpoint:
        return ApnsEndpoint(host=LOOPBACK, port=addresses.apns_port, authority=real.authority)

    return ApnsProvider(
        key=ApnsKey(key_id=key.key_id, team_id=TEAM_ID, private_key_pem=key.private_pem),
        production=here(PRODUCTION),
        sandbox=here(SANDBOX),
        ssl_context=tls_context(),
        clock=clock,
        emulated=True,
        limits=ApnsLimits(first_pause_s=RECONNECT_PAUSE_S, max_pause_s=RECONNECT_PAUSE_S),
    )


def service_account(project: str, key: SigningKey, addresses: Addresses) -> Mapping[str, object]:
    """As Google gives it out."""
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": key.key_id,
        "private_key": key.private_pem,
        "client_email": service_account_of(project),
        "client_id": "100000000000000000000",
        "token_uri": addresses.token_url,
    }


def _fcm_provider(
    addresses: Addresses, key_of: "Callable[[], SigningKey | Credentials]", clock: Callable[[], float]
) -> Provider[FcmRequest]:
    from expo_gateway.providers.fcm import FcmProvider

    key = key_of()
    account = service_account(FCM_PROJECT, key, addresses) if isinstance(key, SigningKey) else key
    # The token endpoint is our own and may be asked at once: a fault that is over is to be over.
    return FcmProvider(
        service_account=account, endpoint=addresses.fcm_url, clock=clock, emulated=True, failed_for_s=0.0
    )
