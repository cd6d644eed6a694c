"""Where clients come: the gateway's port under the server that the settings choose, and the forward proxy."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from msgspec import Struct
from starlette.types import ASGIApp

from expo_gateway.certificates import OwnCertificate, followed
from expo_gateway.emulated_ports import Addresses
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.errors import CannotStart
from expo_gateway.listener import Served, bind, bind_anew, bind_for_each, close_all, serving, url_of
from expo_gateway.settings import Settings


class FrontSockets(Struct, frozen=True, kw_only=True):
    """Bound, and not listening yet."""

    gateway: Sequence[socket.socket]
    proxy: Sequence[socket.socket]
    """Empty: there is no forward proxy."""

    @property
    def port(self) -> int:
        """On which clients are served."""
        return int(self.gateway[0].getsockname()[1])

    def close(self) -> None:
        close_all((*self.gateway, *self.proxy))

    def anew(self) -> "FrontSockets":
        """Others on the same addresses, for a successor. Of `bind_fronts` only. OSError."""
        gateway = bind_anew(self.gateway)
        try:
            return FrontSockets(gateway=gateway, proxy=bind_anew(self.proxy))
        except OSError:
            close_all(gateway)
            raise


class Ready(Struct, frozen=True, kw_only=True):
    """Where everything is, once it is up."""

    url: str
    apns: str
    fcm: str
    ca: Path
    pid: int
    data: Path | None
    """None: a throwaway."""
    proxy: str | None = None
    """URL of the forward proxy, if there is one."""
    certificate: Path | None = None
    """The operator's own, if that is what `url` is served with; else `ca` is its authority too."""


def bind_front(settings: Settings) -> FrontSockets:
    """SettingsError, CannotStart."""
    host, proxy = settings.server.host, settings.proxy
    gateway = bind(host, settings.server.port)
    try:
        return FrontSockets(
            gateway=gateway, proxy=bind(host, proxy.port, option="--proxy-port") if proxy.enabled else ()
        )
    except BaseException:
        close_all(gateway)
        raise


def bind_fronts(settings: Settings) -> list[FrontSockets]:
    """The same for each of the workers, all on the same ports."""
    host, proxy, count = settings.server.host, settings.proxy, settings.server.workers
    gateways = bind_for_each(count, host, settings.server.port)
    try:
        proxies = bind_for_each(count, host, proxy.port, option="--proxy-port") if proxy.enabled else [[]] * count
    except BaseException:
        for sockets in gateways:
            close_all(sockets)
        raise
    return [FrontSockets(gateway=one, proxy=other) for one, other in zip(gateways, proxies, strict=True)]


def ready(settings: Settings, sockets: FrontSockets, *, addresses: Addresses, ca: Path) -> Ready:
    host, certificate = settings.server.host, settings.server.tls_certificate
    return Ready(
        url=url_of(host, sockets.gateway, tls=settings.server.tls or certificate is not None),
        apns=addresses.apns_url,
        fcm=addresses.fcm_url,
        ca=ca,
        pid=os.getpid(),
        data=settings.store.data,
        proxy=url_of(host, sockets.proxy, tls=False) if sockets.proxy else None,
        certificate=certificate,
    )


class Certificates(Struct, frozen=True, kw_only=True):
    """What TLS is spoken with: the operator's own certificate, or the emulators'."""

    own: OwnCertificate | None
    emulators: EmulatorTls


def shows_emulators_certificate(settings: Settings) -> bool:
    """Whether clients are served with it: then it must be there before them."""
    return settings.proxy.enabled or (settings.server.tls and settings.server.tls_certificate is None)


@asynccontextmanager
async def open_front(
    app: ASGIApp,
    settings: Settings,
    *,
    sockets: FrontSockets,
    certificates: Certificates,
    addresses: Addresses,
) -> AsyncIterator[None]:
    """Inside, clients are served; at the end, those that are being served get their answers."""
    async with AsyncExitStack() as stack:
        inner: tuple[Served, ...] = ()
        if sockets.proxy:
            from expo_gateway.proxy_door import open_proxy_door

            door = open_proxy_door(
                app, settings, sockets=sockets.proxy, addresses=addresses, tls=certificates.emulators
            )
            inner = await stack.enter_async_context(door)
        if settings.server.http == "granian":
            from expo_gateway.granian_listener import serving_by_granian

            files = _files(settings, certificates)
            # Only the far ends of the proxy's tunnels are left for ours.
            ours = serving(app, sockets=(), tls=None, settings=settings.server, also=inner)
            await stack.enter_async_context(ours)
            granian = serving_by_granian(app, sockets=sockets.gateway, tls=files, settings=settings.server)
            await stack.enter_async_context(granian)
        else:
            tls = await _context(settings, certificates, stack)
            ours = serving(app, sockets=sockets.gateway, tls=tls, settings=settings.server, also=inner)
            await stack.enter_async_context(ours)
        yield


async def _context(settings: Settings, certificates: Certificates, stack: AsyncExitStack) -> ssl.SSLContext | None:
    if certificates.own is not None:
        return await stack.enter_async_context(followed(certificates.own))
    return certificates.emulators.server_context() if settings.server.tls else None


def _files(settings: Settings, certificates: Certificates) -> tuple[Path, Path] | None:
    if certificates.own is not None and settings.server.tls_certificate and settings.server.tls_key:
        return settings.server.tls_certificate, settings.server.tls_key
    return (certificates.emulators.server_pem, certificates.emulators.server_key) if settings.server.tls else None


def new_loop(settings: Settings) -> asyncio.AbstractEventLoop:
    """uvloop's under Granian, where it is installed: a tenth less CPU for single messages. Hypercorn gains nothing."""
    if settings.server.http == "granian":
        with suppress(ImportError):
            import uvloop

            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            return loop
    return asyncio.new_event_loop()


def cannot_open(error: OSError, settings: Settings) -> CannotStart:
    """What to tell when the stores or the emulators could not be opened."""
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        ports = f"emulator.apns_port = {settings.emulator.apns_port}, emulator.fcm_port = {settings.emulator.fcm_port}"
        return CannotStart(f"the emulators can't listen ({error.strerror}): {ports}; 0 takes any free port")
    return CannotStart(f"the stores and emulators can't be opened: {error}")
