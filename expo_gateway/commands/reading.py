"""The file that `send` reads: its format, and its reading in a thread, a little ahead of the sending."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from expo_gateway.commands.connecting import Format
from expo_gateway.commands.message_csv import csv_rows
from expo_gateway.commands.message_json import json_rows, jsonl_rows
from expo_gateway.commands.message_rows import BrokenRow, Chunk, Row, chunks_of, items_of
from expo_gateway.errors import SettingsError

# Chunks that wait to be sent; our choice, reading is much faster than sending.
READ_AHEAD = 4
STDIN = Path("-")
STDIN_FD = 0


ROWS: Mapping[Format, Callable[[BinaryIO], Iterator[Row | BrokenRow]]] = {
    Format.JSON: json_rows,
    Format.JSONL: jsonl_rows,
    Format.CSV: csv_rows,
}
SUFFIXES = {
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows that can be read once."""

    file: BinaryIO
    format: Format
    size_bytes: int | None
    """None for what has no end that is known, as stdin."""

    def chunks(self, *, defaults: Mapping[str, object], after_row: int, look: Callable[[Row], None]) -> Iterator[Chunk]:
        """Without the rows up to and with that one. `look` is shown each of the others that can be read."""
        rows = (row for row in ROWS[self.format](self.file) if row.number > after_row)
        items = items_of(_shown(rows, look), defaults=defaults)
        return chunks_of(items, read_bytes=self._positions())

    def _positions(self) -> Iterator[int]:
        while True:
            yield self.file.tell() if self.size_bytes is not None else 0


def _shown(rows: Iterable[Row | BrokenRow], look: Callable[[Row], None]) -> Iterator[Row | BrokenRow]:
    for row in rows:
        if isinstance(row, Row):
            look(row)
        yield row


def format_of(path: Path, given: Format | None) -> Format:
    """SettingsError: neither --format nor the name tells."""
    found = given or (Format.JSONL if path == STDIN else SUFFIXES.get(path.suffix.lower()))
    if found is None:
        raise SettingsError(f"--file: got {path}, whose name doesn't tell its format; add --format json, jsonl or csv")
    return found


@contextmanager
def open_source(path: Path, given: Format | None) -> Iterator[Source]:
    """SettingsError: it can't be read, or nobody knows as what."""
    found = format_of(path, given)
    if path == STDIN:
        # Its own buffer, and never closed: a thread may be inside a read of it that nothing ends.
        file = open(STDIN_FD, "rb", closefd=False)  # noqa: SIM115
        yield Source(file=file, format=found, size_bytes=None)
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise SettingsError(f"--file: got {path}, which can't be read ({error.strerror})") from error
    with file:
        size_bytes = path.stat().st_size
        yield Source(file=file, format=found, size_bytes=size_bytes if path.is_file() else None)


async def read_ahead(chunks: Iterator[Chunk]) -> AsyncIterator[Chunk]:
    """The chunks, read by a thread. Raises what reading raises.

    The thread is a daemon: when nobody wants more, it waits or reads on until the process ends, and keeps nobody.
    """
    loop = asyncio.get_running_loop()
    room = threading.Semaphore(READ_AHEAD)
    read: asyncio.Queue[Chunk | Exception | None] = asyncio.Queue()

    def put(item: Chunk | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(read.put_nowait, item)

    def run() -> None:
        try:
            for chunk in chunks:
                room.acquire()
                put(chunk)
        except Exception as error:
            put(error)
        else:
            put(None)

    threading.Thread(target=run, name="reading", daemon=True).start()
    while (item := await read.get()) is not None:
        if isinstance(item, Exception):
            raise item
        room.release()
        yield item
