"""A run of `send`, from its options to its exit code."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from expo_gateway.commands.api_answers import GIVE_TOKEN, UNAUTHORIZED
from expo_gateway.commands.api_client import open_client
from expo_gateway.commands.connecting import Connecting, Format
from expo_gateway.commands.message_fields import UnknownKeys, advice, unknown_keys
from expo_gateway.commands.message_rows import BrokenRow, Chunk, Row, chunks_of, items_of
from expo_gateway.commands.reading import STDIN, open_source, read_ahead
from expo_gateway.commands.send_results import MAX_SHOWN, Results, Tally
from expo_gateway.commands.send_screen import (
    OnProgress,
    Outcome,
    print_outcome,
    print_outcome_json,
    print_stop,
    progress_bar,
)
from expo_gateway.commands.sending import Sending, run_until_signal
from expo_gateway.errors import SettingsError
from expo_gateway.stop_signals import INTERRUPT, exit_code_of

EXIT_ERRORS = 1
EXIT_UNFINISHED = 3
STDOUT = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options of a run."""

    gateway: Connecting
    to: Sequence[str] = field(repr=False)
    fields: Mapping[str, object] = field(repr=False)
    """Of the one message, or of what the rows leave out."""
    file: Path | None
    format: Format | None
    after_row: int
    """Rows up to and with this one are passed over."""
    out: Path | None
    strict_input: bool
    as_json: bool


def run_send(wanted: Wanted) -> int:
    """Returns the exit code. SettingsError: an option or the file as a whole is wrong; nothing was sent."""
    if wanted.strict_input:
        _check_rows(wanted)
    started_at = time.monotonic()
    unknown = UnknownKeys()
    with (
        _chunks(wanted, unknown) as (chunks, size_bytes),
        _result_file(wanted) as file,
        progress_bar(size_bytes=size_bytes) as bar,
    ):
        results = Results(file)
        try:
            ended = asyncio.run(_send(wanted.gateway, read_ahead(chunks), results, _warning(bar, unknown)))
        except KeyboardInterrupt:  # before the loop saw signals, or after
            ended = Ended(signal=INTERRUPT)
    outcome = Outcome(
        tally=results.tally,
        seconds=time.monotonic() - started_at,
        sent_again=ended.sent_again,
        failure=ended.failure,
        signal=ended.signal,
        through_row=results.through_row,
        sent_beyond=results.sent_beyond,
        broke_off=ended.broke_off,
    )
    _warn(unknown)
    _print(outcome, wanted)
    if summary := unknown.summary():
        print(f"expo-gateway: {summary}", file=sys.stderr)
    return exit_code(outcome)


def _warning(bar: OnProgress, unknown: UnknownKeys) -> OnProgress:
    """The bar, with the warnings above it as they come."""

    def advance(chunk: Chunk, tally: Tally) -> None:
        _warn(unknown)
        bar(chunk, tally)

    return advance


def _warn(unknown: UnknownKeys) -> None:
    for warning in unknown.warnings():
        print(f"expo-gateway: {warning}", file=sys.stderr)


def exit_code(outcome: Outcome) -> int:
    if outcome.signal is not None:
        return exit_code_of(outcome.signal)
    if outcome.failure:
        return EXIT_UNFINISHED
    return EXIT_ERRORS if outcome.tally.errors else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    failure: str = ""
    broke_off: bool = False
    signal: int | None = None
    sent_again: int = 0


async def _send(gateway: Connecting, chunks: AsyncIterator[Chunk], results: Results, bar: OnProgress) -> Ended:
    stopping = asyncio.Event()
    async with open_client(gateway, stopping=stopping) as api:
        on_progress = partial(bar, tally=results.tally)
        sending = Sending(api=api, results=results, stopping=stopping, on_progress=on_progress)
        number = await run_until_signal(sending, chunks)
    return Ended(failure=sending.failure, broke_off=sending.broke_off, signal=number, sent_again=api.asked_again)


@contextmanager
def _chunks(wanted: Wanted, unknown: UnknownKeys) -> Iterator[tuple[Iterator[Chunk], int | None]]:
    """The chunks, and the size of the file that they come from."""
    if wanted.file is None:
        yield _of_options(wanted), None
        return
    with open_source(wanted.file, wanted.format) as source:
        chunks = source.chunks(defaults=wanted.fields, after_row=wanted.after_row, look=unknown.look)
        yield chunks, source.size_bytes


def _of_options(wanted: Wanted) -> Iterator[Chunk]:
    items = list(items_of([Row(number=1, fields={"to": wanted.to})], defaults=wanted.fields))
    for item in items:
        if isinstance(item, BrokenRow):
            raise SettingsError(f"send: the message is not one of Expo's: {item.why}")
    return chunks_of(items, read_bytes=iter(lambda: 0, None))


def _check_rows(wanted: Wanted) -> None:
    """SettingsError when a row of the file is broken, or has a key that Expo does not know."""
    if wanted.file is None:
        return
    if wanted.file == STDIN:
        raise SettingsError(
            "--strict-input: the file is read twice, which stdin can't be; give a --file, or leave it out"
        )
    broken: list[tuple[int, str]] = []

    def look(row: Row) -> None:
        broken.extend((row.number, f"{key!r} is no field; {advice(key)}") for key in unknown_keys(row))

    with open_source(wanted.file, wanted.format) as source:
        for chunk in source.chunks(defaults=wanted.fields, after_row=wanted.after_row, look=look):
            found = [item for item in chunk.items if isinstance(item, BrokenRow) and item.ends_row]
            broken += [(row.number, row.why) for row in found]
            if len(broken) >= MAX_SHOWN:
                break
    if broken:
        lines = [f"  row {number}: {why}" for number, why in sorted(broken)[:MAX_SHOWN]]
        raise SettingsError("\n".join([f"{wanted.file}: rows are broken; nothing was sent", *lines]))


@contextmanager
def _result_file(wanted: Wanted) -> Iterator[BinaryIO | None]:
    """--out, or stdout for --json without it."""
    if wanted.out == STDOUT or (wanted.out is None and wanted.as_json):
        yield sys.stdout.buffer
        return
    if wanted.out is None:
        yield None
        return
    if wanted.file is not None and wanted.out.exists() and wanted.file.exists() and wanted.out.samefile(wanted.file):
        raise SettingsError(f"--out: got {wanted.out}, which is the --file itself; wanted another name")
    try:
        file = wanted.out.open("wb")
    except OSError as error:
        raise SettingsError(f"--out: got {wanted.out}, which can't be written ({error.strerror})") from error
    try:
        yield file
    finally:
        with suppress(OSError):  # a full disk: said already, by the write that failed
            file.close()


def _print(outcome: Outcome, wanted: Wanted) -> None:
    kept = wanted.out if wanted.out != STDOUT else None
    if wanted.as_json:
        print_outcome_json(outcome)
    elif wanted.out != STDOUT and outcome.tally.total:
        print_outcome(outcome, out=kept)
    if outcome.tally.errors[UNAUTHORIZED]:
        print(f"expo-gateway: {UNAUTHORIZED}: {GIVE_TOKEN}", file=sys.stderr)
    if outcome.stopped:
        print_stop(outcome, has_rows=wanted.file is not None)
    elif not outcome.tally.total:
        after = f" after row {wanted.after_row}" if wanted.after_row else ""
        print(f"expo-gateway: {wanted.file} has no rows{after}; nothing was sent", file=sys.stderr)
