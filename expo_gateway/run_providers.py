"""The providers of runs: each run has its own, open while it sends, and all are clients of the same two emulators.

Which run a push belongs to, the emulators tell by its credential, so each run has one of its own. The keys are the
same for all: to find an RSA key takes a tenth of a second.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from expo_gateway.dispatcher.sender import ProjectProviders
from expo_gateway.emulated_ports import Addresses
from expo_gateway.emulated_providers import (
    FCM_PROJECT,
    TEAM_ID,
    EmulatedProviders,
    SigningKey,
    new_apns_key,
    new_fcm_key,
    service_account,
    service_account_of,
)
from expo_gateway.emulators.world import EmulatedWorld
from expo_gateway.late_emulated import LateEmulated
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.device import Platform
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.providers.base import Outcome

if TYPE_CHECKING:
    from google.oauth2.service_account import Credentials

# Our choices: most tests send one message, and a run that is open has a TLS connection to the emulator, so four of the
# files that a process may have open, and a thread for Google's tokens.
CLOSE_IDLE_S: Final = 5.0
MAX_OPEN: Final = 64
LOOK_EVERY_S: Final = 1.0

Request = TypeVar("Request")


class RunKeys:
    """The two keys that all runs sign with, made in a thread when the first needs them."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._apns: asyncio.Future[SigningKey] | None = None
        self._fcm: asyncio.Future[tuple[SigningKey, Credentials]] | None = None

    async def apns(self) -> SigningKey:
        if self._apns is None:
            self._apns = asyncio.ensure_future(asyncio.to_thread(new_apns_key))
        return await asyncio.shield(self._apns)

    async def fcm(self) -> "tuple[SigningKey, Credentials]":
        """Also the account of nobody that the accounts of all runs are signed like: to check its key takes 50 ms."""
        if self._fcm is None:
            self._fcm = asyncio.ensure_future(asyncio.to_thread(_fcm_key_and_account, self._addresses))
        return await asyncio.shield(self._fcm)


def _fcm_key_and_account(addresses: Addresses) -> "tuple[SigningKey, Credentials]":
    from expo_gateway.providers.fcm_credentials import read_service_account

    key = new_fcm_key()
    return key, read_service_account(service_account(FCM_PROJECT, key, addresses))


class RunCredential:
    """By what the emulators know one run. They are told of it when it is first used."""

    def __init__(self, *, number: int, world: EmulatedWorld, emulators: LateEmulated, keys: RunKeys) -> None:
        """`number` is no other run's, now or later: late pushes of one must not be another's."""
        self._fcm_project = f"expo-gateway-run-{number}"
        self._key_id = f"RUN{number:07d}"
        self._world = world
        self._emulators = emulators
        self._keys = keys
        self._apns: SigningKey | None = None
        self._fcm: Credentials | None = None

    async def introduce(self, platform: Platform) -> None:
        """To the emulator of that platform; again it does nothing."""
        await self._emulators.up()
        if platform is Platform.IOS and self._apns is None:
            self._introduce_to_apns(await self._keys.apns())
        elif platform is Platform.ANDROID and self._fcm is None:
            self._introduce_to_fcm(*await self._keys.fcm())

    def _introduce_to_apns(self, key: SigningKey) -> None:
        if self._apns is None:  # another push may have been quicker
            self._apns = replace(key, key_id=self._key_id)
            self._emulators.opened.apns.add_world(
                self._world, key_id=self._key_id, team_id=TEAM_ID, public_key_pem=key.public_pem
            )

    def _introduce_to_fcm(self, key: SigningKey, account: "Credentials") -> None:
        from expo_gateway.providers.fcm_credentials import signed_alike

        if self._fcm is None:
            email = service_account_of(self._fcm_project)
            self._fcm = signed_alike(
                account,
                project_id=self._fcm_project,
                client_email=email,
                token_uri=self._emulators.addresses.token_url,
            )
            self._emulators.opened.fcm.add_world(
                self._world,
                project_id=self._fcm_project,
                client_email=email,
                private_key_id=key.key_id,
                public_key_pem=key.public_pem,
            )

    def apns_key(self) -> SigningKey:
        assert self._apns is not None, "it was introduced before"
        return self._apns

    def fcm_account(self) -> "Credentials":
        assert self._fcm is not None, "it was introduced before"
        return self._fcm

    def forget(self) -> None:
        """After its providers are closed. The emulators refuse what comes late."""
        if self._emulators.is_up:
            self._emulators.opened.apns.remove_world(self._key_id)
            self._emulators.opened.fcm.remove_world(self._fcm_project)


class OpenProviders:
    """Those of all runs that are open, so that they are few. Whoever makes it runs `watch`."""

    def __init__(self, *, max_open: int = MAX_OPEN, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._max_open = max_open
        self._monotonic = monotonic
        self._used_at: OrderedDict[RunProviders, float] = OrderedDict()
        """The one that was used longest ago first."""
        self._crowded = asyncio.Event()

    def __len__(self) -> int:
        return len(self._used_at)

    def used(self, providers: "RunProviders") -> None:
        self._used_at[providers] = self._monotonic()
        self._used_at.move_to_end(providers)
        if len(self._used_at) > self._max_open:
            self._crowded.set()

    def gone(self, providers: "RunProviders") -> None:
        self._used_at.pop(providers, None)

    async def watch(self) -> None:
        """Close what is idle, until cancelled: after a while, and at once where there are too many."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._crowded.wait()
            except TimeoutError:
                pass
            self._crowded.clear()
            await self._close_idle()

    async def _close_idle(self) -> None:
        old, too_many = self._monotonic() - CLOSE_IDLE_S, len(self._used_at) - self._max_open
        idle = [one for one, at in self._used_at.items() if not one.is_sending]
        chosen = [one for place, one in enumerate(idle) if place < too_many or self._used_at[one] < old]
        await asyncio.gather(*(one.rest() for one in chosen))


class RunProviders:
    """Both providers of a run, made again when it sends after it was idle. Whoever makes it closes it."""

    def __init__(
        self, make: Callable[[], EmulatedProviders], *, credential: RunCredential, all_open: OpenProviders
    ) -> None:
        self._make = make
        self._credential = credential
        self._all_open = all_open
        self._providers: EmulatedProviders | None = None
        self._sending = 0
        self.of_projects = ProjectProviders(
            apns=_Side(self.send_to_apns, close=self.close), fcm=_Side(self.send_to_fcm, close=self.close)
        )

    @property
    def is_sending(self) -> bool:
        return self._sending > 0

    async def send_to_apns(self, request: ApnsRequest) -> Outcome:
        async with self._open(Platform.IOS) as providers:
            return await providers.apns.send(request)

    async def send_to_fcm(self, request: FcmRequest) -> Outcome:
        async with self._open(Platform.ANDROID) as providers:
            return await providers.fcm.send(request)

    @asynccontextmanager
    async def _open(self, platform: Platform) -> AsyncIterator[EmulatedProviders]:
        """Inside, something is under way."""
        self._sending += 1
        self._all_open.used(self)
        try:
            await self._credential.introduce(platform)
            if self._providers is None:
                self._providers = self._make()
            yield self._providers
        finally:
            self._sending -= 1
            self._all_open.used(self)

    async def rest(self) -> None:
        """Close what is open, unless something is under way."""
        if not self.is_sending:
            await self.close()

    async def close(self) -> None:
        self._all_open.gone(self)
        providers, self._providers = self._providers, None
        if providers is not None:
            await providers.close()


class _Side(Generic[Request]):
    """One of the two, as the dispatcher knows providers."""

    emulated = True

    def __init__(self, send: Callable[[Request], Awaitable[Outcome]], *, close: Callable[[], Awaitable[None]]) -> None:
        self._send = send
        self._close = close

    async def send(self, request: Request) -> Outcome:
        return await self._send(request)

    async def close(self) -> None:
        await self._close()
