"""A forked process, and the wire between it and the one that forked it.

On the wire the child says once that it is ready, or why it can't be; the parent says once that it is to stop. Its end
is the parent's death and means the same. Signals are the parent's affair: a terminal and systemd send theirs to all.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import NoReturn, Protocol

from expo_gateway.errors import CannotStart, ExpoGatewayError, SettingsError

log = logging.getLogger(__name__)

# Our choice: the kernel takes some milliseconds, and on a busy machine more.
KILL_S = 5.0
LOOK_EVERY_S = 0.005

PARENTS_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

Wire = Connection
Life = Callable[[Wire], None]
"""What a child does, from its birth to its end."""


class Closable(Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """As its parent sees it."""

    name: str
    pid: int
    wire: Wire
    born_at: float


def fork(name: str, life: Life, *, now: float, not_its: Iterable[Closable]) -> Child:
    """A child that closes `not_its`, which it has inherited, and lives. The parent has neither threads nor a loop.

    OSError: there is no room for another process.
    """
    ours, its = Pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # Until the child has its own, a signal would be noted for the parent twice.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _live(life, its, not_its=(ours, *not_its))
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        its.close()
    return Child(name=name, pid=pid, wire=ours, born_at=now)


def _live(life: Life, wire: Wire, *, not_its: Iterable[Closable]) -> NoReturn:
    """Never returns: what the parent has opened, the parent closes."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in PARENTS_SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)
        for one in not_its:
            one.close()
        life(wire)
        code = 0
    except ExpoGatewayError as error:
        # Only what survives the wire: exceptions with more than their text can't be made anew from that.
        with suppress(OSError):
            wire.send(error if isinstance(error, SettingsError | CannotStart) else CannotStart(str(error)))
    except BaseException:
        log.critical("process %d failed", os.getpid(), exc_info=True)
    finally:
        logging.shutdown()
        os._exit(code)


def heard(wire: Wire, name: str) -> object:
    """What the child says; blocks until it does. Raises what it could not start for."""
    try:
        word = wire.recv()
    except (EOFError, OSError):
        raise CannotStart(f"the process of {name} ended at its start; its last words are in the log") from None
    if isinstance(word, ExpoGatewayError):
        raise word
    return word


def last_word(wire: Wire) -> ExpoGatewayError | None:
    """Of a child that has ended: why it could not start, if that was it."""
    with suppress(EOFError, OSError):
        while wire.poll():
            word = wire.recv()
            if isinstance(word, ExpoGatewayError):
                return word
    return None


def ended(child: Child) -> int | None:
    """Its exit status, as waitpid has it; 0 also when it was asked for before. None while it lives."""
    try:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if pid else None


def how(status: int) -> str:
    """What its log line says of its end."""
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by signal {-code}" if code < 0 else f"ended with {code}"


def kill(children: Iterable[Child]) -> None:
    """End those that live. Who hangs in the kernel, on a disk that is away, is left behind after KILL_S."""
    living = [child for child in children if ended(child) is None]
    for child in living:
        os.kill(child.pid, signal.SIGKILL)
    until = time.monotonic() + KILL_S
    while living := [child for child in living if ended(child) is None]:
        if time.monotonic() >= until:
            log.error("%s can't be killed and is left behind", ", ".join(child.name for child in living))
            return
        time.sleep(LOOK_EVERY_S)


def stop(wire: Wire) -> None:
    with suppress(OSError):
        wire.send(None)


@asynccontextmanager
async def told_to_stop(wire: Wire) -> AsyncIterator[asyncio.Event]:
    """For the child: set when it is to stop."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        loop.remove_reader(wire.fileno())
        stop.set()

    loop.add_reader(wire.fileno(), read)
    try:
        yield stop
    finally:
        loop.remove_reader(wire.fileno())
