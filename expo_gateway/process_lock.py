"""A lock between processes: flock(2) on a file, which the kernel frees when its holder dies, however it dies.

Not fcntl's record locks: these belong to a process as a whole, so the kernel takes two threads that wait for two of
them for a deadlock (EDEADLK).
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A holder that was stopped, and not ended, keeps it: nobody waits for that.
MAX_WAIT_S = 5.0
# Our choice: what is done under it takes some 0.5 ms; to ask takes 2 us.
ASK_EVERY_S = 0.0002


class ProcessLock:
    """May be made before a fork. In each process one thread uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._opened_by = 0

    @contextmanager
    def held(self, *, max_wait_s: float = MAX_WAIT_S) -> Iterator[bool]:
        """Waits until it is had, but no longer than that: then it goes on without it, and says False."""
        give_up_at = time.monotonic() + max_wait_s
        while not (is_held := self.take()) and time.monotonic() < give_up_at:
            time.sleep(ASK_EVERY_S)
        try:
            yield is_held
        finally:
            if is_held:
                self.give_back()

    def take(self) -> bool:
        """Whether it is had now. Does not wait."""
        try:
            fcntl.flock(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def give_back(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def another(self) -> "ProcessLock":
        """The same lock for another thread of this process, which waits for this one too."""
        return ProcessLock(self._path)

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
