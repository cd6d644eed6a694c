"""The directory that all state lives in: the operator's, or a throwaway that goes with the process.

One process at a time has it, by flock(2) on the file LOCK in it. The kernel drops the lock when its owner dies, however
it dies: a throwaway whose lock can be had was left behind (kill -9, a power cut), and the next start removes it.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from expo_gateway.errors import CannotStart, SettingsError

if sys.platform != "win32":
    import fcntl

LOCK = "server.lock"
DATABASE = "gateway.db"
THROWAWAY_PREFIX = "expo-gateway-"


@contextmanager
def open_data_dir(wanted: Path | None) -> Iterator[Path]:
    """The directory `wanted`, made with mode 0700 if need be, or a throwaway if None. Nobody else has it meanwhile.

    Raises CannotStart when another process has it, SettingsError when it can't be a data directory.
    """
    if wanted is not None:
        with _kept(wanted) as directory:
            yield directory
        return
    with _throwaway() as directory:
        yield directory


@contextmanager
def _kept(directory: Path) -> Iterator[Path]:
    directory = directory.absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _open_lock(directory / LOCK)
    except OSError as error:
        raise SettingsError(
            f"store.data: got {directory}, which is of no use ({error.strerror}); wanted a writable directory"
        ) from error
    with lock:
        if not _try_lock(lock):
            raise CannotStart(
                f"the data directory {directory} is in use by another expo-gateway (process {_owner(lock)}); "
                "stop that one, or choose another with --data"
            )
        try:
            _sign(lock)
        except OSError as error:
            raise CannotStart(f"the data directory {directory} can't be written: {error.strerror}") from error
        yield directory


@contextmanager
def _throwaway() -> Iterator[Path]:
    # With what they bring along a fiftieth of a start, which a kept directory does not need.
    import shutil
    import tempfile

    _remove_left_behind(Path(tempfile.gettempdir()), remove=shutil.rmtree)
    directory = Path(tempfile.mkdtemp(prefix=THROWAWAY_PREFIX))
    try:
        with _open_lock(directory / f"{LOCK}.new") as lock:
            _try_lock(lock)
            _sign(lock)
            # Seen by others only now that it is locked: they remove what they can lock.
            (directory / f"{LOCK}.new").rename(directory / LOCK)
            yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_left_behind(parent: Path, *, remove: Callable[..., None]) -> None:
    """Only what is ours beyond doubt: our prefix, our user, no link, and a lock file that nobody holds."""
    if sys.platform == "win32":
        return
    for directory in parent.glob(f"{THROWAWAY_PREFIX}*"):
        try:
            if directory.is_symlink() or directory.stat().st_uid != os.getuid():
                continue
            with (directory / LOCK).open("r+") as lock:
                if _try_lock(lock):
                    remove(directory, ignore_errors=True)
        except OSError:
            # No lock file, or another start is removing it: not ours to touch.
            continue


def _open_lock(path: Path) -> IO[str]:
    return open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")


def _try_lock(lock: IO[str]) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(lock: IO[str]) -> None:
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()


def _owner(lock: IO[str]) -> str:
    lock.seek(0)
    return lock.read(20).strip() or "unknown"
