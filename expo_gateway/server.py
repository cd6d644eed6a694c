"""The process: its data directory, its ports, its signals, and the app served in between."""

import asyncio
import errno
import logging
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from expo_gateway.certificates import followed, load_own_certificate
from expo_gateway.data_dir import open_data_dir
from expo_gateway.errors import CannotStart
from expo_gateway.listener import bind, close_all, serving, url_of
from expo_gateway.logs import warm_up
from expo_gateway.settings import Server, Settings
from expo_gateway.stop_signals import INTERRUPT, exit_code_of, stop_signals

log = logging.getLogger(__name__)

# The stores' threads need the interpreter some three times for each commit, and while the loop is busy they wait for it
# so long each time. With Python's 5 ms a busy loop stores tens of batches a second, with this more than a thousand.
SWITCH_S = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Where everything is, once the first request can be served."""

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


def run(settings: Settings, *, announce: Callable[[Ready], None]) -> int:
    """Serve until SIGTERM or SIGINT, then drain. Returns the exit code.

    `announce` is called in a thread when the first request can be served. Raises SettingsError, CannotStart.
    """
    sys.setswitchinterval(SWITCH_S)
    try:
        with open_data_dir(settings.store.data) as directory, asyncio.Runner() as runner:
            runner.run(_run(settings, directory, announce))
    except KeyboardInterrupt:
        return exit_code_of(INTERRUPT)
    return 0


async def _run(settings: Settings, directory: Path, announce: Callable[[Ready], None]) -> None:
    with _stop_signals() as stop:
        own = await asyncio.to_thread(
            load_own_certificate, settings.server.tls_certificate, settings.server.tls_key, clock=time.time
        )
        sockets = bind(settings.server.host, settings.server.port)
        # Half of a start is the providers' libraries; a taken port is said without them.
        from expo_gateway.app import open_app
        from expo_gateway.proxy_door import open_proxy_door

        async with AsyncExitStack() as stack:
            stack.callback(close_all, sockets)
            try:
                app = await stack.enter_async_context(open_app(settings, directory))
            except OSError as error:
                raise _cannot_open(error, settings) from error
            tls = app.emulated.tls.server_context() if settings.server.tls else None
            if own is not None:
                tls = await stack.enter_async_context(followed(own))
            proxy = await stack.enter_async_context(open_proxy_door(app.asgi, app.emulated, settings))
            await stack.enter_async_context(
                serving(
                    app.asgi,
                    sockets=sockets,
                    tls=tls,
                    settings=settings.server,
                    also=proxy.inner if proxy is not None else (),
                )
            )
            ready = Ready(
                url=url_of(settings.server.host, sockets, tls=tls is not None),
                apns=app.emulated.apns_url,
                fcm=app.emulated.fcm_url,
                ca=app.emulated.tls.ca_pem,
                pid=os.getpid(),
                data=settings.store.data,
                proxy=proxy.url if proxy is not None else None,
                certificate=settings.server.tls_certificate,
            )
            await asyncio.to_thread(announce, ready)
            await asyncio.to_thread(warm_up)
            await app.emulated.warm_up()
            await stop.wait()
            app.stopping.set()
            log.info("stopping: requests and deliveries under way get to finish; a second signal ends at once")


async def serve(
    app: ASGIApp,
    *,
    sockets: Sequence[socket.socket],
    tls: ssl.SSLContext | None,
    shutdown: asyncio.Event,
    settings: Server,
) -> None:
    """Serve `app` until `shutdown` is set and what was under way is answered. See `serving`."""
    async with serving(app, sockets=sockets, tls=tls, settings=settings):
        await shutdown.wait()


def _cannot_open(error: OSError, settings: Settings) -> CannotStart:
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        ports = f"emulator.apns_port = {settings.emulator.apns_port}, emulator.fcm_port = {settings.emulator.fcm_port}"
        return CannotStart(f"the emulators can't listen ({error.strerror}): {ports}; 0 takes any free port")
    return CannotStart(f"the stores and emulators can't be opened: {error}")


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """Set by the first SIGTERM or SIGINT; the second one ends the process on the spot."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(exit_code_of(number))
        stop.set()

    with stop_signals(on_signal):
        yield stop
