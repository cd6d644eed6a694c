"""A run of `receipts`: 300 ids a request, and again for those that are not there yet."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import orjson
from rich.console import Console
from rich.markup import escape

from expo_gateway.commands.api_answers import GIVE_TOKEN, Refused
from expo_gateway.commands.api_client import ApiClient, GaveUp, open_client
from expo_gateway.commands.connecting import Connecting
from expo_gateway.errors import SettingsError
from expo_gateway.protocol.push_token import redacted

# As expo-server-sdk-node asks; the API takes 1,000.
IDS_A_REQUEST = 300
FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0
MAX_LINE_BYTES = 1024 * 1024
MAX_SHOWN = 20
STDIN = Path("-")
STDIN_FD = 0

ABSENT = "absent"
"""Status of a ticket without a receipt: unfinished, unknown or older than 24 hours. The API doesn't tell which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options of a run."""

    gateway: Connecting
    ids: Sequence[str]
    file: Path | None
    wait_s: float
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    id: str
    row: int | None = None
    to: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is known of one ticket."""

    ticket: Ticket
    receipt: Mapping[str, object]
    """As the API has it; its status is ABSENT when there is none."""

    @property
    def error(self) -> str:
        """Expo's code; "" for ok and for ABSENT."""
        if self.receipt.get("status") in ("ok", ABSENT):
            return ""
        details = self.receipt.get("details")
        return str(details.get("error", "unknown") if isinstance(details, dict) else "unknown")

    def to_json(self) -> bytes:
        ticket = {"row": self.ticket.row, "to": self.ticket.to, "id": self.ticket.id}
        return orjson.dumps({key: value for key, value in ticket.items() if value is not None} | dict(self.receipt))

    def shown(self) -> str:
        said, to = str(self.receipt.get("message", "")), self.ticket.to
        return f"{self.ticket.id}  {self.error}: {said.replace(to, redacted(to)) if to else said}"


@dataclass(slots=True, kw_only=True)
class Report:
    """Counts the lines and, with --json, prints each at once."""

    as_json: bool
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Line] = field(default_factory=list)
    failure: str = ""
    """Why it did not get to the end."""
    interrupted: bool = False

    def add(self, line: Line) -> None:
        self.counts[line.error or str(line.receipt.get("status"))] += 1
        if line.error and len(self.failures) < MAX_SHOWN:
            self.failures.append(line)
        if self.as_json:
            sys.stdout.buffer.write(line.to_json() + b"\n")

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return 130  # 128 + SIGINT, as shells have it
        if self.failure:
            return 3
        return 1 if set(self.counts) - {"ok"} else 0


def run_receipts(wanted: Wanted) -> int:
    """Returns the exit code. SettingsError: the file can't be read."""
    report = Report(as_json=wanted.as_json)
    try:
        asyncio.run(_run(wanted, report))
    except KeyboardInterrupt:
        report.interrupted = True
    sys.stdout.buffer.flush()
    if wanted.as_json:
        _print_json(report)
    elif report.counts or not report.failure:
        _print_screen(report)
    if report.failure or report.interrupted:
        print(f"expo-gateway: stopped: {report.failure or 'interrupted'}", file=sys.stderr)
    return report.exit_code


async def _run(wanted: Wanted, report: Report) -> None:
    give_up_at = time.monotonic() + wanted.wait_s
    async with open_client(wanted.gateway, stopping=asyncio.Event()) as api:
        missing = await _ask(api, _tickets(wanted), report)
        pause_s = FIRST_PAUSE_S
        while missing and not report.failure and time.monotonic() < give_up_at:
            await asyncio.sleep(min(pause_s, max(0.0, give_up_at - time.monotonic())))
            pause_s = min(pause_s * 2, MAX_PAUSE_S)
            missing = await _ask(api, missing, report)
    for ticket in missing:
        report.add(Line(ticket=ticket, receipt={"status": ABSENT}))


async def _ask(api: ApiClient, tickets: Iterable[Ticket], report: Report) -> list[Ticket]:
    """Report what is there; returns the tickets that have no receipt yet."""
    missing: list[Ticket] = []
    rest = iter(tickets)
    while not report.failure and (some := list(islice(rest, IDS_A_REQUEST))):
        answer = await api.receipts([ticket.id for ticket in some])
        if isinstance(answer, GaveUp):
            report.failure = answer.why
        elif isinstance(answer, Refused):
            report.failure = f"the gateway refuses: {answer.code}: {answer.message}"
            if answer.status == 403:
                report.failure = f"{report.failure.rstrip('.')}; {GIVE_TOKEN}"
        else:
            missing += _reported(some, answer.value, report)
    return missing


def _reported(tickets: Sequence[Ticket], found: object, report: Report) -> Iterator[Ticket]:
    assert isinstance(found, dict)
    for ticket in tickets:
        receipt = found.get(ticket.id)
        if isinstance(receipt, dict):
            report.add(Line(ticket=ticket, receipt=receipt))
        else:
            yield ticket


def _tickets(wanted: Wanted) -> Iterator[Ticket]:
    if wanted.file is None:
        yield from (Ticket(id=one) for one in dict.fromkeys(wanted.ids))
        return
    try:
        with open(STDIN_FD if wanted.file == STDIN else wanted.file, "rb", closefd=wanted.file != STDIN) as file:
            yield from tickets_of(iter(lambda: file.readline(MAX_LINE_BYTES), b""))
    except OSError as error:
        raise SettingsError(f"--file: got {wanted.file}, which can't be read ({error.strerror})") from error


def tickets_of(lines: Iterable[bytes]) -> Iterator[Ticket]:
    """The accepted tickets of a result file. Lines of errors and summaries have none and are passed over.

    SettingsError: a line is not JSON. A half one at the end is that of a killed process and no error.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            if not line.endswith(b"\n"):
                return
            raise SettingsError(
                f"--file: line {number} is not JSON; wanted the lines that `send --out` writes"
            ) from None
        if isinstance(value, dict) and isinstance(value.get("id"), str):
            row, to = value.get("row"), value.get("to")
            yield Ticket(
                id=value["id"], row=row if isinstance(row, int) else None, to=to if isinstance(to, str) else None
            )


def _print_json(report: Report) -> None:
    """The last line of stdout. Its keys are promised."""
    errors = {what: count for what, count in report.counts.items() if what not in ("ok", ABSENT)}
    line = {
        "event": "summary",
        "tickets": report.counts.total(),
        "ok": report.counts["ok"],
        "errors": errors,
        "absent": report.counts[ABSENT],
        "finished": not report.failure and not report.interrupted,
    }
    print(orjson.dumps(line).decode(), flush=True)


def _print_screen(report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True)
    _print_counts(report.counts, console.print)
    for line in report.failures:
        console.print(f"  [red]error[/red]  {escape(line.shown())}")
    more = sum(report.counts.values()) - report.counts["ok"] - report.counts[ABSENT] - len(report.failures)
    if more > 0:
        console.print(f"  … and {more:,} more errors; --json lists them all")
    if report.counts[ABSENT]:
        console.print("  [dim]absent: not delivered yet, unknown, or older than 24 hours; --wait SECONDS waits[/dim]")


def _print_counts(counts: Mapping[str, int], write: Callable[[str], None]) -> None:
    for what in sorted(counts, key=lambda what: (what != "ok", -counts[what])):
        write(f"  {counts[what]:>9,}  {escape(what)}")
    if not counts:
        write("  no tickets")
