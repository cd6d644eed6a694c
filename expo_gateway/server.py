"""The process: its data directory, its ports, its signals, and the app served in between."""

import asyncio
import atexit
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from expo_gateway.certificates import load_own_certificate
from expo_gateway.data_dir import DATABASE, open_data_dir
from expo_gateway.front import (
    Certificates,
    Ready,
    bind_front,
    cannot_open,
    new_loop,
    open_front,
    ready,
    shows_emulators_certificate,
)
from expo_gateway.logs import warm_up
from expo_gateway.settings import Settings
from expo_gateway.sqlite_file import SqliteFile
from expo_gateway.stop_signals import INTERRUPT, exit_code_of, stop_signals

if TYPE_CHECKING:
    from expo_gateway.app import App

log = logging.getLogger(__name__)

# The stores' threads need the interpreter some three times for each commit, and while the loop is busy they wait for it
# so long each time. With Python's 5 ms a busy loop stores tens of batches a second, with this more than a thousand.
SWITCH_S = 0.0005


def run(settings: Settings, *, announce: Callable[[Ready], None]) -> int:
    """Serve until SIGTERM or SIGINT, then drain. Returns the exit code.

    `announce` is called, in a thread if there is but one process, when everything is up; requests are served some time
    before that. Raises SettingsError, CannotStart. With Granian it does not return: see `granian_listener.leave`.
    """
    sys.setswitchinterval(SWITCH_S)
    if settings.server.workers > 1:
        from expo_gateway.supervisor import supervise

        return supervise(settings, announce=announce)
    if settings.server.http == "granian":
        from expo_gateway.granian_listener import leave
    try:
        with (
            open_data_dir(settings.store.data) as directory,
            asyncio.Runner(loop_factory=partial(new_loop, settings)) as runner,
        ):
            runner.run(_run(settings, directory, announce))
        code = 0
    except KeyboardInterrupt:
        code = exit_code_of(INTERRUPT)
    if settings.server.http == "granian":
        leave(code)
    return code


async def _run(settings: Settings, directory: Path, announce: Callable[[Ready], None]) -> None:
    with _stop_signals() as stop:
        own = await asyncio.to_thread(
            load_own_certificate, settings.server.tls_certificate, settings.server.tls_key, clock=time.time
        )
        sockets = bind_front(settings)
        async with AsyncExitStack() as stack:
            stack.callback(sockets.close)
            with _telling(settings):
                file = SqliteFile(directory / DATABASE, durability=settings.store.durability)
                # The disk makes the file while the interpreter reads the rest. A taken port is said without either.
                _, load = await asyncio.gather(stack.enter_async_context(file), asyncio.to_thread(_load_app))
                app = await stack.enter_async_context(load(settings, directory, file=file, port=sockets.port))
                emulators = app.emulators
                if shows_emulators_certificate(settings):
                    await emulators.up()
            certificates = Certificates(own=own, emulators=emulators.tls)
            addresses = emulators.addresses
            if settings.server.http == "granian":
                _leave_at_exit()
            await stack.enter_async_context(
                open_front(app.asgi, settings, sockets=sockets, certificates=certificates, addresses=addresses)
            )
            with _telling(settings):
                await emulators.up()
            is_ready = ready(settings, sockets, addresses=addresses, ca=emulators.tls.ca_pem)
            await asyncio.to_thread(announce, is_ready)
            await asyncio.to_thread(warm_up)
            await app.providers.warm_up()
            await stop.wait()
            app.stopping.set()
            log.info("stopping: requests and deliveries under way get to finish; a second signal ends at once")


def _leave_at_exit() -> None:
    """Granian's threads must not meet the interpreter's end, and who ends in order leaves before: this is a failure."""
    from expo_gateway.granian_listener import leave

    atexit.register(leave, 1)


def _load_app() -> "Callable[..., AbstractAsyncContextManager[App]]":
    from expo_gateway.app import open_app

    return open_app


@contextmanager
def _telling(settings: Settings) -> Iterator[None]:
    """CannotStart in place of OSError."""
    try:
        yield
    except OSError as error:
        raise cannot_open(error, settings) from error


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
