"""Small commits by the event loop itself.

To hand a commit to a thread and back costs more than a few rows do, and the thread waits for the interpreter at every
statement while the loop is busy. So the loop writes them, on a connection that never waits for a lock and never syncs;
what is to survive a loss of power is synced afterwards: by a thread, once for all that was committed meanwhile, unless
the disk is so fast that to hand it over takes longer.

WAL: a commit is on the disk when the log file is. SQLite syncs the same file in `synchronous = FULL`, and before it
writes the log back in either mode. https://www.sqlite.org/wal.html#performance_considerations
"""

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress

from expo_gateway.process_lock import ProcessLock
from expo_gateway.sqlite_connection import connect
from expo_gateway.sqlite_group import Op, transact

# Our choice: the log is written back (by a thread, as SQLite does it with a commit there) every 1,000 pages or so.
CHECKPOINT_AFTER_BYTES = 4 * 1024 * 1024
# The pages that a commit writes whatever is in it: the ends of two tables and three indexes, and their way there.
COMMIT_BYTES = 24 * 1024

# Our choice: with six requests in flight a fifth of the CPU time, and the loop stands still no longer than for the
# statements of such a commit. Other disks, and this one when it is slow for once, are waited for by the thread.
SYNC_HERE_S = 0.001

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has the latter only


class QuickWriter:
    """Beside the writer thread of a SqliteFile. Made in a thread, used by the loop."""

    def __init__(self, path: str, *, turn: ProcessLock | None) -> None:
        self._connection = connect(path, durability="process", busy_s=0.0)
        try:
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            self._connection.close()
            raise
        self._turn = turn
        self._unchecked_bytes = 0
        self._sync_s = float("inf")

    @property
    def syncs_fast(self) -> bool:
        """Whether the last sync took so little time that the loop may wait for the next one."""
        return self._sync_s < SYNC_HERE_S

    def commit(self, ops: Sequence[Op[object]], *, size_bytes: int) -> list[object] | None:
        """The values of the ops, committed but not synced. None: nothing was written, a thread is to do it.

        `size_bytes`: about how much is written.
        """
        if self._unchecked_bytes > CHECKPOINT_AFTER_BYTES:
            self._unchecked_bytes = 0
            return None
        if self._turn is not None and not self._turn.take():
            return None
        try:
            values = transact(self._connection, ops)
        except Exception:  # a lock, a full disk, a mistake of ours: there it happens again and is told from the others
            return None
        finally:
            if self._turn is not None:
                self._turn.give_back()
        self._unchecked_bytes += size_bytes + COMMIT_BYTES
        return values

    def sync(self) -> None:
        """What was committed before is on the disk now. OSError: it may not be."""
        began_at = time.monotonic()
        self._sync_s = float("inf")
        _sync(self._log)
        self._sync_s = time.monotonic() - began_at

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._log)
        with suppress(sqlite3.Error):
            self._connection.close()
