"""What `send` shows: a bar while it runs, on a terminal, and the outcome at the end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from expo_gateway.commands.message_rows import Chunk
from expo_gateway.commands.send_results import MAX_SHOWN, Tally
from expo_gateway.stop_signals import name_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    tally: Tally
    seconds: float
    sent_again: int
    """Requests that were sent again after an answer got lost."""
    failure: str = field(default="")
    """Why it did not get to the end."""
    signal: int | None = None
    """What interrupted it."""
    through_row: int = 0
    """Every recipient of the file up to and with this row has its line."""
    sent_beyond: bool = False
    """After it, some have theirs too."""
    broke_off: bool = False
    """What follows in the file can't be read."""

    @property
    def stopped(self) -> str:
        """Why it did not get to the end; "" when it did."""
        return self.failure or (f"interrupted ({name_of(self.signal)})" if self.signal is not None else "")


class OnProgress(Protocol):
    def __call__(self, chunk: Chunk, tally: Tally) -> None: ...


@contextmanager
def progress_bar(*, size_bytes: int | None) -> Iterator[OnProgress]:
    """On stderr, and only on a terminal. Without a size it counts and has no end."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda chunk, tally: None
        return
    columns = (
        TextColumn("sending"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[sent]:,} recipients, {task.fields[errors]:,} errors"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=5) as progress:
        task = progress.add_task("sending", total=size_bytes, sent=0, errors=0)
        furthest_bytes = 0

        def advance(chunk: Chunk, tally: Tally) -> None:
            nonlocal furthest_bytes
            furthest_bytes = max(furthest_bytes, chunk.read_bytes)
            progress.update(task, completed=furthest_bytes, sent=tally.total, errors=tally.errors.total())

        yield advance


def print_outcome_json(outcome: Outcome) -> None:
    """The last line of stdout. Its keys are promised."""
    line = {
        "event": "summary",
        "recipients": outcome.tally.total,
        "ok": outcome.tally.ok,
        "errors": dict(outcome.tally.errors),
        "sent_again": outcome.sent_again,
        "seconds": round(outcome.seconds, 3),
        "finished": not outcome.stopped,
        "stopped": outcome.stopped or None,
        "through_row": outcome.through_row,
    }
    print(orjson.dumps(line).decode(), flush=True)


def print_outcome(outcome: Outcome, *, out: Path | None) -> None:
    tally = outcome.tally
    console = Console(highlight=False, soft_wrap=True)
    for count, what in [(tally.ok, "ok"), *((count, error) for error, count in tally.errors.most_common())]:
        console.print(f"  {count:>9,}  {escape(what)}")
    if tally.total == len(tally.accepted) + len(tally.failures):
        for line in tally.accepted:
            console.print(f"  [green]ok[/green]  {escape(line.shown())}")
    for line in tally.failures:
        console.print(f"  [red]error[/red]  {escape(line.shown())}")
    more = tally.errors.total() - len(tally.failures)
    if more:
        console.print(f"  … and {more:,} more errors")
    rate = tally.total / outcome.seconds if outcome.seconds else 0.0
    console.print(f"  [dim]{tally.total:,} recipients in {outcome.seconds:.1f} s, {rate:,.0f} a second[/dim]")
    if outcome.sent_again:
        console.print(
            f"  {outcome.sent_again:,} requests were sent again because an answer got lost; "
            "their recipients may get the message twice"
        )
    if tally.ok:
        console.print(f"  [dim]next:[/dim] {escape(_next(tally, out))}")


def print_stop(outcome: Outcome, *, has_rows: bool) -> None:
    """On stderr: why it did not get to the end, and where to go on."""
    text = f"expo-gateway: stopped: {outcome.stopped}"
    if has_rows and not outcome.tally.total:
        text += "; nothing was sent"
    elif has_rows and not outcome.broke_off:
        text += f"; go on with --after-row {outcome.through_row}: every recipient up to there has its line"
        text += ", and after it only those that have one were sent" if outcome.sent_beyond else ""
    print(text, file=sys.stderr)


def _next(tally: Tally, out: Path | None) -> str:
    if out is not None:
        return f"expo-gateway receipts --wait 60 --file {out}"
    if tally.ok <= MAX_SHOWN:
        return f"expo-gateway receipts --wait 60 {' '.join(line.id or '' for line in tally.accepted)}"
    return "the ticket ids were not kept; --out FILE.jsonl keeps them, for expo-gateway receipts --file"
