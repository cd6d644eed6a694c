"""Where the processes of a gateway that has several tell each other how they are: memory that all of them see.

It is made before the fork and has one place for each process, which alone writes there. Nobody waits for anybody: a
place has room for two notes, and the older one is written over. A half-written note is told by its checksum, also when
its writer died over it, and the one before it is still there. A successor counts on from the last whole note of who was
there before it, and nobody has read a later one: the sums never go back.
"""

import logging
import os
import pickle
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from mmap import mmap

from expo_gateway.counts import Counts, added, lasting

log = logging.getLogger(__name__)

# Our choice: counts take some 10 kB, and what is never written takes no memory.
NOTE_BYTES = 128 * 1024
PLACE_BYTES = 2 * NOTE_BYTES
# Our choice: others' counts are at most so old.
POST_EVERY_S = 0.5
# Our choice: longer than a busy loop forgets itself, shorter than a probe's patience.
SILENT_AFTER_S = 5.0
# Our choice: some milliseconds; a note that is still not whole after so many was left by who died over it.
LOOKS = 100

_HEAD = struct.Struct("<QII")
"""The note's number, counted from 1, and its size; the checksum of both and of the note."""
_Numbered = tuple[int, bytes]
_NOTHING: _Numbered = (0, b"")
_HALF: _Numbered = (-1, b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a process says of itself."""

    pid: int
    at: float
    """By the clock that all processes share."""
    trouble: str = ""
    """Why it can't do its work; "" when nothing is in the way of it."""
    counts: Counts = field(default_factory=Counts)


class Board:
    """Memory of the processes `names`, which are forked after it is made."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._memory = mmap(-1, PLACE_BYTES * len(self.names))

    def post(self, name: str, note: Note) -> None:
        text = pickle.dumps(note, pickle.HIGHEST_PROTOCOL)
        if len(text) > NOTE_BYTES - _HEAD.size:
            log.error("what %s has counted takes %d bytes, which is too much for /metrics", name, len(text))
            return
        number = max(_NOTHING, *self._look(name))[0] + 1
        at = self._at(name) + number % 2 * NOTE_BYTES
        self._memory[at : at + _HEAD.size + len(text)] = _HEAD.pack(number, len(text), _checksum(number, text)) + text

    def read(self, name: str) -> Note | None:
        """None: it has said nothing yet."""
        newest = _NOTHING
        for _ in range(LOOKS):
            found = self._look(name)
            newest = max(newest, *found)
            if _HALF not in found:
                break
        note: Note | None = pickle.loads(newest[1]) if newest[0] > 0 else None
        return note

    def notes(self) -> dict[str, Note]:
        """Of those who have said something."""
        return {name: note for name in self.names if (note := self.read(name)) is not None}

    def _look(self, name: str) -> list[_Numbered]:
        """The two notes of its place."""
        first = self._at(name)
        return [self._found(first), self._found(first + NOTE_BYTES)]

    def _found(self, at: int) -> _Numbered:
        number, size_bytes, checksum = _HEAD.unpack_from(self._memory, at)
        if not (number or size_bytes or checksum):
            return _NOTHING
        text = self._memory[at + _HEAD.size : at + _HEAD.size + min(size_bytes, NOTE_BYTES - _HEAD.size)]
        return (number, text) if _checksum(number, text) == checksum else _HALF

    def _at(self, name: str) -> int:
        return self.names.index(name) * PLACE_BYTES


def _checksum(number: int, text: bytes) -> int:
    return zlib.crc32(text, zlib.crc32(b"%d %d " % (number, len(text))))


class Seat:
    """One process at the board. Implements exposition's Workers."""

    def __init__(self, board: Board, name: str, *, clock: Callable[[], float]) -> None:
        self._board = board
        self._name = name
        self._clock = clock
        before = board.read(name)
        self._before = lasting(before.counts) if before is not None else Counts()

    def post(self, own: Counts, *, trouble: str = "") -> None:
        """`own` is what this process has counted since it began."""
        note = Note(pid=os.getpid(), at=self._clock(), trouble=trouble, counts=added([self._before, own]))
        self._board.post(self._name, note)

    def all_counts(self, own: Counts) -> Counts:
        self.post(own)
        return added([note.counts for note in self._board.notes().values()])

    def pids(self) -> Mapping[str, int]:
        return {name: note.pid for name, note in self._board.notes().items()}

    async def others_trouble(self) -> str:
        """Why not all of the others can do their work, "" when they can."""
        now, notes = self._clock(), self._board.notes()
        found = (trouble_of(name, notes.get(name), now=now) for name in self._board.names if name != self._name)
        return "; ".join(trouble for trouble in found if trouble)


def trouble_of(name: str, note: Note | None, *, now: float) -> str:
    if note is None:
        return f"{name} has not started"
    if now - note.at > SILENT_AFTER_S:
        return f"{name} has not been heard of for {now - note.at:.0f} s"
    return f"{name}: {note.trouble}" if note.trouble else ""
