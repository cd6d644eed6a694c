"""A lock between processes: flock(2) on a file, which the kernel frees when its holder dies, however it dies.

Not fcntl's record locks: these belong to a process as a whole, so the kernel takes two threads that wait for two of
them for a deadlock (EDEADLK).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ProcessLock:
    """May be made before a fork. In each process one thread uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._opened_by = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Blocks until it is had."""
        descriptor = self._opened()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._opened_by == os.getpid():
            os.close(self._descriptor)
            self._opened_by = 0

    def _opened(self) -> int:
        """What was opened before the fork is one holder with whoever opened it."""
        if self._opened_by != os.getpid():
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._opened_by = os.getpid()
        return self._descriptor
