"""The providers of real projects: one for each credential, made when it is first needed, replaced when it changes.

Emulated projects have those of the emulated world and never come here.
"""

import asyncio
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct

from expo_gateway.dispatcher.sender import ProjectProviders
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.device import Project, ProjectKind
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.protocol.project import ApnsCertificate, ApnsCredential, ConfiguredProject, FcmCredential
from expo_gateway.protocol.receipt import expo_error
from expo_gateway.providers.base import Outcome, Provider, Rejected
from expo_gateway.settings import Providers

log = logging.getLogger(__name__)

# Our choice: longer than a push takes to be answered; what has no answer by then ends as Uncertain and is tried again.
RETIRE_S = 20.0

Request = TypeVar("Request")


class CredentialProvider(Generic[Request]):
    """A provider that is made by its first send, in a thread: libraries and keys take a while to load."""

    emulated = False

    def __init__(self, make: Callable[[], Provider[Request]]) -> None:
        self._make = make
        self._made: asyncio.Future[Provider[Request]] | None = None
        self._sending = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def made(self) -> Provider[Request] | None:
        """The provider, once there is one."""
        is_made = self._made is not None and self._made.done() and self._made.exception() is None
        return self._made.result() if self._made is not None and is_made else None

    async def send(self, request: Request) -> Outcome:
        self._sending += 1
        self._is_idle.clear()
        try:
            if self._made is None:
                self._made = asyncio.ensure_future(asyncio.to_thread(self._make))
            provider = await asyncio.shield(self._made)
            return await provider.send(request)
        finally:
            self._sending -= 1
            if not self._sending:
                self._is_idle.set()

    async def retire(self, *, timeout_s: float) -> None:
        """Let what is in flight end, at most `timeout_s`, and close. Nobody may send any more."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            log.warning("%d pushes with a replaced credential had no outcome after %g s", self._sending, timeout_s)
        finally:
            await self.close()

    async def close(self) -> None:
        if self._made is None:
            return
        # One that could not be made has said so to whoever wanted to send.
        (made,) = await asyncio.gather(self._made, return_exceptions=True)
        if not isinstance(made, BaseException):
            await made.close()


class ApnsByApp:
    """The APNs provider of a project: each app and environment has the credential that serves it."""

    emulated = False

    def __init__(self, providers: Iterable[tuple[ApnsCredential, CredentialProvider[ApnsRequest]]]) -> None:
        self._providers = tuple(providers)

    async def send(self, request: ApnsRequest) -> Outcome:
        for credential, provider in self._providers:
            if credential.serves(request.topic, sandbox=request.sandbox):
                return await provider.send(request)
        # It was there when the message was accepted.
        receipt = expo_error("The project has no APNs credentials for this app any more.")
        return Rejected(reason="NoCredentials", status=0, receipt=receipt)

    async def close(self) -> None:
        """Its providers belong to RealProviders."""


class _Held(Struct, frozen=True, kw_only=True):
    """What one project sends with."""

    apns: Mapping[ApnsCredential, CredentialProvider[ApnsRequest]]
    fcm_credential: FcmCredential | None
    fcm: CredentialProvider[FcmRequest] | None

    @property
    def providers(self) -> ProjectProviders:
        return ProjectProviders(apns=ApnsByApp(self.apns.items()) if self.apns else None, fcm=self.fcm)

    def all(self) -> set[CredentialProvider[ApnsRequest] | CredentialProvider[FcmRequest]]:
        return {*self.apns.values(), *([self.fcm] if self.fcm is not None else [])}


_NOTHING = _Held(apns={}, fcm_credential=None, fcm=None)


class RealProviders:
    """Of all real projects. `use` brings in what is configured now; `close` ends everything.

    A credential that stays as it is keeps its provider with its connections. One that is replaced finishes what is in
    flight; `on_change` hears the id of its project.
    """

    def __init__(
        self, *, addresses: Providers, clock: Callable[[], float], on_change: Callable[[str], None] = lambda _: None
    ) -> None:
        self._addresses = addresses
        self._clock = clock
        self._on_change = on_change
        self._held: dict[str, _Held] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._cached: dict[str, ProjectProviders] = {}

    def of(self, project: Project) -> ProjectProviders:
        """What the project is sent through; without credentials, or if nothing is configured, nothing."""
        return self._cached.get(project.project_id, _NOTHING.providers)

    def apns_connections(self) -> int:
        """How many take pushes now."""
        providers = (provider for held in self._held.values() for provider in held.apns.values())
        return sum(getattr(provider.made, "connections", 0) for provider in providers)

    def use(self, configured: Iterable[ConfiguredProject]) -> None:
        before, self._held = self._held, {}
        for one in configured:
            if one.project.kind is ProjectKind.REAL:
                known = before.get(one.project.project_id, _NOTHING)
                self._held[one.project.project_id] = self._renewed(one, known)
        self._cached = {project_id: held.providers for project_id, held in self._held.items()}
        for project_id, held in before.items():
            replaced = held.all() - self._held.get(project_id, _NOTHING).all()
            for provider in replaced:
                self._start(provider.retire(timeout_s=RETIRE_S))
            if replaced:
                self._on_change(project_id)

    async def close(self) -> None:
        for held in self._held.values():
            for provider in held.all():
                await provider.close()
        for task in self._retiring:
            task.cancel()
        if self._retiring:
            await asyncio.wait(self._retiring)

    def _renewed(self, one: ConfiguredProject, known: _Held) -> _Held:
        apns = {
            credential: known.apns.get(credential) or CredentialProvider(partial(self._apns, credential))
            for credential in one.apns
        }
        if one.fcm is None:
            return _Held(apns=apns, fcm_credential=None, fcm=None)
        fcm = known.fcm if known.fcm_credential == one.fcm else None
        return _Held(apns=apns, fcm_credential=one.fcm, fcm=fcm or CredentialProvider(partial(self._fcm, one.fcm)))

    def _start(self, retiring: Awaitable[None]) -> None:
        task = asyncio.ensure_future(retiring)
        # Owned here: close() cancels and awaits it.
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _apns(self, credential: ApnsCredential) -> Provider[ApnsRequest]:
        from expo_gateway.providers.apns import (
            PRODUCTION,
            SANDBOX,
            ApnsEndpoint,
            ApnsKey,
            ApnsProvider,
            apns_ssl_context,
        )

        context = apns_ssl_context()
        if self._addresses.ca_file is not None:
            context.load_verify_locations(self._addresses.ca_file)
        secret, key = credential.secret, None
        if isinstance(secret, ApnsCertificate):
            load_certificate(context, secret)
        else:
            key = ApnsKey(key_id=secret.key_id, team_id=secret.team_id, private_key_pem=secret.private_key_pem)

        def at(apple: ApnsEndpoint) -> ApnsEndpoint:
            host, port = self._addresses.apns_host or apple.host, self._addresses.apns_port
            return ApnsEndpoint(host=host, port=port, authority=apple.authority)

        return ApnsProvider(
            key=key,
            production=at(PRODUCTION),
            sandbox=at(SANDBOX),
            ssl_context=context,
            clock=self._clock,
            emulated=False,
        )

    def _fcm(self, credential: FcmCredential) -> Provider[FcmRequest]:
        from expo_gateway.providers.fcm import FcmProvider

        context = None
        if self._addresses.ca_file is not None:
            context = ssl.create_default_context()
            context.load_verify_locations(self._addresses.ca_file)
        return FcmProvider(
            service_account=credential.service_account,
            endpoint=self._addresses.fcm_endpoint,
            clock=self._clock,
            emulated=False,
            ssl_context=context,
        )


def load_certificate(context: ssl.SSLContext, certificate: ApnsCertificate) -> None:
    """Python's ssl reads certificates from files only: this one has mode 0600 and is gone at once.

    ssl.SSLError when the two don't belong together. The empty password keeps OpenSSL from asking the terminal for one.
    """
    with tempfile.TemporaryDirectory(prefix="expo-gateway-certificate-") as directory:
        path = Path(directory) / "certificate.pem"
        path.touch(mode=0o600)
        path.write_text(f"{certificate.private_key_pem.strip()}\n{certificate.certificate_pem}")
        context.load_cert_chain(path, password="")
