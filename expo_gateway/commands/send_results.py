"""What became of each recipient: lines in the order of the input, however the answers come, and their count."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import orjson

from expo_gateway.commands.api_answers import Refused
from expo_gateway.commands.message_rows import BrokenRow, Recipient
from expo_gateway.protocol.push_token import mistaken

# `details.error` of lines that no ticket stands behind.
BROKEN_ROW = "BrokenRow"
NO_ANSWER = "NoAnswer"
# Our choice: what fits a screen.
MAX_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One recipient's line in the result file, or a broken row's."""

    row: int
    to: str | None = field(repr=False)
    status: str
    id: str | None = None
    message: str | None = field(default=None, repr=False)
    details: Mapping[str, object] | None = field(default=None, repr=False)

    @property
    def error(self) -> str:
        """Expo's code, or one of ours; "" for ok."""
        return "" if self.status == "ok" else str((self.details or {}).get("error", "unknown"))

    def to_json(self) -> bytes:
        written: dict[str, object] = {"row": self.row, "to": self.to, "status": self.status}
        rest = {"id": self.id, "message": self.message, "details": self.details}
        return orjson.dumps(written | {key: value for key, value in rest.items() if value is not None})

    def shown(self) -> str:
        """For a screen: without the whole token."""
        to, said = mistaken(self.to or ""), self.message or ""
        if self.to and to != self.to:
            said = said.replace(self.to, to)
        return f"{self.id}  {to}" if self.status == "ok" else f"row {self.row}: {self.error}: {said}"


def ticket_line(recipient: Recipient, ticket: Mapping[str, object]) -> Line:
    ok = ticket.get("status") == "ok"
    details, identifier, message = ticket.get("details"), ticket.get("id"), ticket.get("message")
    return Line(
        row=recipient.row,
        to=recipient.to,
        status="ok" if ok else "error",
        id=identifier if isinstance(identifier, str) else None,
        message=message if isinstance(message, str) else None,
        details=details if isinstance(details, dict) else None,
    )


def refused_line(recipient: Recipient, refused: Refused) -> Line:
    return _error(recipient.row, recipient.to, refused.code, refused.message)


def lost_line(recipient: Recipient) -> Line:
    return _error(recipient.row, recipient.to, NO_ANSWER, "No answer came; it may have been sent.")


def broken_line(row: BrokenRow) -> Line:
    return _error(row.number, row.to, BROKEN_ROW, row.why)


def _error(row: int, to: str | None, error: str, message: str) -> Line:
    return Line(row=row, to=to, status="error", message=message, details={"error": error})


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of the lines, and the first few of them."""

    ok: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    accepted: list[Line] = field(default_factory=list)
    failures: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        if line.status == "ok":
            self.ok += 1
        else:
            self.errors[line.error] += 1
        shown = self.accepted if line.status == "ok" else self.failures
        if len(shown) < MAX_SHOWN:
            shown.append(line)

    @property
    def total(self) -> int:
        return self.ok + self.errors.total()


class Results:
    """Writes each line once all before it are known; after an error of the disk it counts only.

    `file` None: nothing is written. Every request's lines reach the file at once, so that a killed process leaves
    whole lines.
    """

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._slots: deque[Slot] = deque()
        self.tally = Tally()
        self.through_row = 0
        """Every recipient up to and with this row has its line."""
        self.sent_beyond = False
        """After it, some have theirs too."""
        self._has_gap = False
        self.failure = ""
        """Why the file can't be written any more."""

    def reserve(self) -> "Slot":
        slot = Slot()
        self._slots.append(slot)
        return slot

    def settle(self, slot: "Slot", lines: Sequence[Line], *, through_row: int | None) -> int:
        """These are the slot's lines, and with them every recipient of its request up to this row has one; None when
        some have none. Returns how many slots got written by that."""
        slot.lines, slot.through_row = lines, through_row
        written = 0
        while self._slots and self._slots[0].lines is not None:
            self._write(self._slots.popleft())
            written += 1
        return written

    def close(self) -> None:
        """Write what is known, past those that are not."""
        while self._slots:
            self._write(self._slots.popleft())

    def _write(self, slot: "Slot") -> None:
        lines = slot.lines or ()
        if slot.through_row is None:
            self._has_gap = True
        elif not self._has_gap:
            self.through_row = slot.through_row
        self.sent_beyond = self.sent_beyond or (self._has_gap and bool(lines))
        for line in lines:
            self.tally.add(line)
        if self._file is None or self.failure or not lines:
            return
        try:
            self._file.write(b"".join(line.to_json() + b"\n" for line in lines))
            self._file.flush()
        except OSError as error:
            self.failure = f"the results can't be written: {error.strerror}"


class Slot:
    """The place of one request's lines among the others'."""

    __slots__ = ("lines", "through_row")

    def __init__(self) -> None:
        self.lines: Sequence[Line] | None = None
        self.through_row: int | None = None
