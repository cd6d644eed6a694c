"""Sends chunks, six at a time, and puts what became of them in order. Ends early in order, too."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from expo_gateway.commands.api_answers import SPLIT_BY_PROJECT, Data, Refused
from expo_gateway.commands.api_client import MAX_IN_FLIGHT, ApiClient, GaveUp
from expo_gateway.commands.message_rows import BrokenRow, Chunk, Recipient
from expo_gateway.commands.send_results import Line, Results, broken_line, lost_line, refused_line, ticket_line
from expo_gateway.errors import SettingsError
from expo_gateway.stop_signals import stop_signals

# Our choice: answers that wait for one that is late, with their requests; some 5 MB at most.
WINDOW = 32
# Our choice: after a signal, what is under way gets so long to be answered. A second one ends at once.
GRACE_S = 5.0

Places = Mapping[int, Recipient]
"""Recipients by their index in the chunk."""


class Sending:
    """One run of `send`. `failure` says afterwards why it did not get to the end, "" when it did."""

    def __init__(
        self, *, api: ApiClient, results: Results, stopping: asyncio.Event, on_progress: Callable[[Chunk], None]
    ) -> None:
        self._api = api
        self._results = results
        self._stopping = stopping
        self._on_progress = on_progress
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._window = asyncio.Semaphore(WINDOW)
        self._feeding: asyncio.Task[None] | None = None
        self._wrong_input: SettingsError | None = None
        self.failure = ""
        self.broke_off = False
        """What follows in the file can't be read."""

    async def run(self, chunks: AsyncIterator[Chunk]) -> None:
        """Until the last chunk is settled, or until `stop` and what was under way then.

        SettingsError: the file is not what its format says; nothing was sent.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._feeding = group.create_task(self._feed(chunks, group), name="feeding")
        finally:
            self._results.close()
        if self._wrong_input is not None:
            raise self._wrong_input

    def stop(self) -> None:
        """Send nothing new, try nothing again. A recipient that gets no line was not sent."""
        self._stopping.set()
        if self._feeding is not None:
            self._feeding.cancel()

    async def _feed(self, chunks: AsyncIterator[Chunk], group: asyncio.TaskGroup) -> None:
        try:
            async for chunk in chunks:
                await self._window.acquire()
                await self._slots.acquire()
                group.create_task(self._send(chunk), name="sending")
        except SettingsError as error:
            self._wrong_input = error
        except OSError as error:
            self._fail(f"the file can't be read any further: {error.strerror}")

    async def _send(self, chunk: Chunk) -> None:
        slot = self._results.reserve()
        lines: dict[int, Line] = {}
        recipients: dict[int, Recipient] = {}
        for place, item in enumerate(chunk.items):
            if isinstance(item, BrokenRow):
                lines[place] = self._broken(item)
            else:
                recipients[place] = item
        try:
            if recipients:
                await self._ask(recipients, lines)
        except asyncio.CancelledError:
            lines |= {place: lost_line(one) for place, one in recipients.items() if place not in lines}
            raise
        finally:
            through_row = chunk.through_row if len(lines) == len(chunk.items) else None
            self._settled(
                self._results.settle(slot, [lines[place] for place in sorted(lines)], through_row=through_row)
            )
        self._on_progress(chunk)

    def _settled(self, slots: int) -> None:
        self._slots.release()
        for _ in range(slots):
            self._window.release()
        if self._results.failure:
            self._fail(self._results.failure)

    def _broken(self, row: BrokenRow) -> Line:
        if row.last:
            self.failure = self.failure or f"row {row.number} ends the reading: {row.why}"
            self.broke_off = True
        return broken_line(row)

    async def _ask(self, recipients: Places, lines: dict[int, Line]) -> None:
        """Add the lines of these recipients. Those that were not sent get none."""
        answer = await self._api.send([recipient.message for recipient in recipients.values()])
        if isinstance(answer, Data):
            lines |= _lines_of(recipients, answer)
        elif isinstance(answer, GaveUp):
            self._fail(answer.why)
            if answer.lost:
                lines |= {place: lost_line(recipient) for place, recipient in recipients.items()}
        elif len(parts := parts_of(recipients, answer)) > 1:
            for part in parts:
                if not self._stopping.is_set():
                    await self._ask(part, lines)
        else:
            lines |= {place: refused_line(recipient, answer) for place, recipient in recipients.items()}

    def _fail(self, why: str) -> None:
        if not self._stopping.is_set():
            self.failure = why
        self.stop()


async def run_until_signal(sending: Sending, chunks: AsyncIterator[Chunk]) -> int | None:
    """The number of the signal that stopped it, None without one.

    After a signal, what is under way is let to be answered, for GRACE_S. After a second one it is not.
    """
    running = asyncio.create_task(sending.run(chunks), name="run")
    signals: list[int] = []

    def on_signal(number: int) -> None:
        signals.append(number)
        if len(signals) > 1:
            running.cancel()
        else:
            sending.stop()
            running.get_loop().call_later(GRACE_S, running.cancel)

    with stop_signals(on_signal):
        try:
            await running
        except asyncio.CancelledError:
            if not signals:
                raise
    return signals[0] if signals else None


def parts_of(recipients: Places, refused: Refused) -> list[Places]:
    """How to ask again so that a refusal hits only those whom it is about; one part when that is all of them.

    Nothing of a refused request was accepted, so asking again sends nothing twice.
    """
    if refused.code == SPLIT_BY_PROJECT:
        return _by_project(recipients, refused.details)
    if refused.status == 413 or refused.code == "VALIDATION_ERROR":
        return _halves(recipients)
    return [recipients]


def _by_project(recipients: Places, details: Mapping[str, object]) -> list[Places]:
    """`details` has the push tokens by project. Those that it doesn't have go along with the first."""
    project_of = {token: project for project, tokens in details.items() if isinstance(tokens, list) for token in tokens}
    first = next(iter(details), "")
    parts: dict[str, dict[int, Recipient]] = {}
    for place, recipient in recipients.items():
        parts.setdefault(project_of.get(recipient.to, first), {})[place] = recipient
    return list(parts.values())


def _halves(recipients: Places) -> list[Places]:
    places = list(recipients.items())
    middle = len(places) // 2
    return [dict(part) for part in (places[:middle], places[middle:]) if part]


def _lines_of(recipients: Places, answer: Data) -> dict[int, Line]:
    tickets = answer.value
    assert isinstance(tickets, list)
    return {
        place: ticket_line(recipient, ticket)
        for (place, recipient), ticket in zip(recipients.items(), tickets, strict=True)
    }
