"""Rate limits that hold over several processes: their buckets are in memory that all of them see.

A table with a line for each project. Whoever draws from a bucket holds a lock meanwhile.
"""

import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import blake2b
from mmap import mmap
from typing import Final

from expo_gateway.admission.rate import Bucket
from expo_gateway.process_lock import ProcessLock

# Our choice: 256 kB. Projects that wait for nothing are forgotten when their line is wanted.
LINES: Final = 8192
# Our choice: where all these lines are of projects that sent within the last second, one of them is forgotten.
NEAR: Final = 16

# Our choice: what is done under the lock takes microseconds, and the event loop waits for it. Only a process that was
# stopped just then keeps it longer; then two may draw the same.
MAX_WAIT_S: Final = 0.25

_LINE: Final = struct.Struct("<16sdd")


class SharedBuckets:
    """Implements Buckets. Made before the fork."""

    def __init__(self, lock: ProcessLock, *, lines: int = LINES) -> None:
        self._lines = lines
        self._memory = mmap(-1, lines * _LINE.size)
        self._lock = lock

    def locked(self) -> AbstractContextManager[object]:
        return self._lock.held(max_wait_s=MAX_WAIT_S)

    def get(self, project_id: str) -> Bucket | None:
        key = _key(project_id)
        for at in self._near(key):
            found, left, drawn_at = _LINE.unpack_from(self._memory, at)
            if found == key:
                return Bucket(left=left, at=drawn_at)
        return None

    def put(self, project_id: str, bucket: Bucket) -> None:
        key = _key(project_id)
        lines = [(at, *_LINE.unpack_from(self._memory, at)) for at in self._near(key)]
        own = next((at for at, found, _, _ in lines if found == key), None)
        # Without one: the line of who has waited longest, and of those in debt the last. Instants ahead of ours are
        # from before the clock was set back.
        at = own if own is not None else min(lines, key=lambda line: (line[2] < 0, -abs(bucket.at - line[3])))[0]
        _LINE.pack_into(self._memory, at, key, bucket.left, bucket.at)

    def _near(self, key: bytes) -> Iterator[int]:
        first = int.from_bytes(key[-8:], "little")
        return ((first + step) % self._lines * _LINE.size for step in range(NEAR))


def _key(project_id: str) -> bytes:
    """Ids are UUIDs, but nobody holds an app to that."""
    return blake2b(project_id.encode(), digest_size=16).digest()
