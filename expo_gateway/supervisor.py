"""The process that the user started, when the gateway has several workers: it forks them, and forks again what died.

It has neither threads nor an event loop, because what has them can't be forked safely. So the emulators are a child
too. All that it holds is what its children share: the lock on the data directory, the ports, memory, keys.
"""

import gc
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

from expo_gateway.admission.shared_rate import SharedBuckets
from expo_gateway.board import Board
from expo_gateway.child import PARENTS_SIGNALS, Child, Closable, Life, ended, fork, heard, how, kill, last_word, stop
from expo_gateway.data_dir import open_data_dir
from expo_gateway.emulated_ports import Addresses
from expo_gateway.errors import ExpoGatewayError, SettingsError
from expo_gateway.front import FrontSockets, Ready, bind_fronts, ready
from expo_gateway.process_lock import ProcessLock
from expo_gateway.settings import Settings
from expo_gateway.worker import EMULATORS, Plan, Prepared, WorkerPlan, emulate, prepare, work, worker_name

log = logging.getLogger(__name__)

# Our choice: who lives so long did not die of its start.
LIVED_S = 60.0
RESTART_FIRST_S = 0.5
RESTART_CAP_S = 30.0
# Our choice: beside what the settings give to requests and deliveries, for leases to be given back and files closed.
STOP_S = 20.0
# Our choice: whoever has done its work and said so ends at once.
END_S = 5.0


def supervise(settings: Settings, *, announce: Callable[[Ready], None]) -> int:
    """Serve with several processes until SIGTERM or SIGINT, then drain them. Returns the exit code.

    SettingsError, CannotStart: a process could not be started.
    """
    if not hasattr(os, "fork"):
        raise SettingsError(f"server.workers: got {settings.server.workers}; wanted 1, for this system can't fork")
    if settings.server.http == "granian":
        import expo_gateway.granian_listener  # noqa: F401 - is it installed?
    signals = _Signals()
    with signals.noted(), open_data_dir(settings.store.data) as directory:
        fronts = bind_fronts(settings)
        try:
            _Supervisor(settings, directory, signals=signals, fronts=fronts).run(announce)
        finally:
            for sockets in fronts:
                sockets.close()
    return 0


def restart_after_s(deaths: int) -> float:
    """`deaths` of one place, each soon after its start. The first is made good at once."""
    return 0.0 if deaths <= 1 else min(RESTART_FIRST_S * 2.0 ** (deaths - 2), RESTART_CAP_S)


class _Stopped(Exception):
    """A signal came while something was awaited."""


@dataclass(slots=True, kw_only=True)
class _Place:
    """Something to be done, by one process after the other."""

    name: str
    life: Life
    worker: WorkerPlan | None = None
    """What its life goes by, if it is a worker's."""
    child: Child | None = None
    deaths: int = 0
    start_at: float = 0.0


class _Supervisor:
    def __init__(self, settings: Settings, directory: Path, *, signals: "_Signals", fronts: list[FrontSockets]) -> None:
        """`fronts` is kept up to date: whoever opened them closes what is in there at the end."""
        self._settings = settings
        self._directory = directory
        self._signals = signals
        self._fronts = fronts
        self._places: list[_Place] = []
        self._buckets = SharedBuckets(ProcessLock(directory / "rates.lock"))

    def run(self, announce: Callable[[Ready], None]) -> None:
        try:
            announce(self._start_all())
            while True:
                self._turn()
        except _Stopped:
            log.info("stopping: requests and deliveries under way get to finish; a second signal ends at once")
            self._drain()
        except ExpoGatewayError:
            raise  # it can't start, and nobody was told of it
        except BaseException:
            log.critical("the supervisor failed; requests and deliveries under way get to finish")
            self._drain()
            raise
        finally:
            self._kill_all()

    # -- starting -----------------------------------------------------------------------------------------------------

    def _start_all(self) -> Ready:
        # What was imported so far stays shared memory: the collector would write to every page of it.
        gc.freeze()
        prepared = self._prepare()
        names = [worker_name(number) for number in range(1, self._settings.server.workers + 1)]
        plan = Plan(
            settings=self._settings, directory=self._directory, prepared=prepared, board=Board([EMULATORS, *names])
        )
        emulators = _Place(name=EMULATORS, life=partial(emulate, plan, None))
        self._places.append(emulators)
        addresses = self._start(emulators)
        assert isinstance(addresses, Addresses)
        emulators.life = partial(emulate, plan, addresses)
        self._start_workers(plan, names, addresses)
        return ready(self._settings, self._fronts[0], addresses=addresses, ca=prepared.tls.ca_pem)

    def _prepare(self) -> Prepared:
        place = _Place(name="preparation", life=partial(prepare, self._settings, self._directory))
        self._places = [place]
        prepared = self._start(place)
        assert isinstance(prepared, Prepared)
        self._await_end(place)
        self._places = []
        return prepared

    def _start_workers(self, plan: Plan, names: Sequence[str], addresses: Addresses) -> None:
        for name, sockets in zip(names, self._fronts, strict=True):
            worker = WorkerPlan(
                name=name,
                plan=plan,
                addresses=addresses,
                sockets=sockets,
                buckets=self._buckets,
                owner=secrets.randbits(63),
            )
            place = _Place(name=name, life=partial(work, worker), worker=worker)
            self._places.append(place)
            self._fork(place)
        for place in self._places[1:]:
            self._await_word(place)

    def _start(self, place: _Place) -> object:
        """Its word when it is ready. Raises what it could not start for."""
        self._fork(place)
        return self._await_word(place)

    def _fork(self, place: _Place) -> None:
        not_its: list[Closable] = [self._signals]
        not_its += [other.child.wire for other in self._places if other.child is not None]
        its = place.worker.sockets if place.worker is not None else None
        not_its += [sockets for sockets in self._fronts if sockets is not its]
        place.child = fork(place.name, place.life, now=time.monotonic(), not_its=not_its)

    def _await_word(self, place: _Place) -> object:
        assert place.child is not None
        wire = place.child.wire
        while wire not in wait((wire, self._signals.fileno())):
            self._signals.check()
        return heard(wire, place.name)

    def _await_end(self, place: _Place) -> None:
        """Of one that has said its word. Raises _Stopped."""
        assert place.child is not None
        until = time.monotonic() + END_S
        while ended(place.child) is None:
            if time.monotonic() >= until:
                log.error("%s did not end in %g s and is killed", place.name, END_S)
                kill([place.child])
                return
            wait((self._signals.fileno(),), until - time.monotonic())
            self._signals.check()

    # -- keeping ------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Wait for something, and see to it. Raises _Stopped."""
        starts = [place.start_at for place in self._places if place.child is None]
        wait((self._signals.fileno(),), min(starts) - time.monotonic() if starts else None)
        self._signals.check()
        for place in self._places:
            self._reap(place)
            if place.child is None and place.start_at <= time.monotonic():
                self._fork_again(place)

    def _fork_again(self, place: _Place) -> None:
        """Or later, when there is no room for another process: the others must not pay for that."""
        try:
            self._fork(place)
        except OSError as error:
            place.deaths += 1
            after_s = restart_after_s(place.deaths)
            place.start_at = time.monotonic() + after_s
            log.error("%s can't be started (%s); tried again in %g s", place.name, error, after_s)

    def _reap(self, place: _Place) -> None:
        """If its process has died, say so and set the time of the next one."""
        child = place.child
        if child is None or (status := ended(child)) is None:
            return
        self._leave_to_others(place)
        now = time.monotonic()
        place.deaths = place.deaths + 1 if now - child.born_at < LIVED_S else 1
        after_s = restart_after_s(place.deaths)
        place.child, place.start_at = None, now + after_s
        log.error("%s (process %d) %s; the next one starts in %g s", place.name, child.pid, how(status), after_s)
        if (why := last_word(child.wire)) is not None:
            log.error("%s could not start: %s", place.name, why)
        child.wire.close()

    def _leave_to_others(self, place: _Place) -> None:
        """Clients that come before there is a successor.

        While the sockets of a dead worker listen, the kernel gives them their share of the clients, who wait for the
        successor. So it gets others on the same port, which don't listen before it does. Linux hands over those who
        wait already with net.ipv4.tcp_migrate_req = 1, else they are cut like those that the dead worker had.
        """
        if place.worker is None:
            return
        before = place.worker.sockets
        try:
            sockets = before.anew()
        except OSError as error:
            log.error("the port of %s can't be bound anew (%s): some clients wait for it", place.name, error)
            return
        place.worker = replace(place.worker, sockets=sockets)
        place.life = partial(work, place.worker)
        self._fronts[self._fronts.index(before)] = sockets
        before.close()

    # -- stopping -----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Workers first: what they have in flight may be on its way to the emulators."""
        for sockets in self._fronts:
            sockets.close()
        until = time.monotonic() + self._settings.server.drain_s + self._settings.dispatcher.drain_s + STOP_S
        self._stop(self._places[1:], until=until)
        self._stop(self._places[:1], until=until)

    def _stop(self, places: Sequence[_Place], *, until: float) -> None:
        for place in places:
            if place.child is not None:
                stop(place.child.wire)
        while living := [place.name for place in places if place.child is not None and ended(place.child) is None]:
            if time.monotonic() >= until:
                log.error("%s did not end in time and is killed", ", ".join(living))
                return
            wait((self._signals.fileno(),), until - time.monotonic())
            try:
                self._signals.check()
            except _Stopped as second:
                self._kill_all()
                os._exit(128 + second.args[0])

    def _kill_all(self) -> None:
        kill(place.child for place in self._places if place.child is not None)


class _Signals:
    """SIGTERM, SIGINT and the deaths of children, as something that can be waited for."""

    def __init__(self) -> None:
        self._reads, self._written = socket.socketpair()
        for end in (self._reads, self._written):
            end.setblocking(False)

    def fileno(self) -> int:
        return self._reads.fileno()

    def check(self) -> None:
        """Raises _Stopped with the number of a signal that wants an end. Deaths are for whoever keeps the children."""
        with suppress(BlockingIOError):
            for number in self._reads.recv(4096):
                if number != signal.SIGCHLD:
                    raise _Stopped(number)

    def close(self) -> None:
        self._reads.close()
        self._written.close()

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Inside, they are noted and do nothing else."""
        before = {number: signal.signal(number, lambda *_: None) for number in PARENTS_SIGNALS}
        wakes = signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakes)
            for number, action in before.items():
                signal.signal(number, action)
            self.close()
