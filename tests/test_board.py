"""What processes tell each other through memory."""

import os
from collections import Counter

import pytest

from expo_gateway.board import NOTE_BYTES, SILENT_AFTER_S, Board, Note, Seat
from expo_gateway.counts import Counts
from expo_gateway.metrics import Histogram, RequestCounts, TicketCounts

NOW = 1000.0


@pytest.fixture
def board() -> Board:
    return Board(["one", "two"])


def counted(accepted: int, *, active: int = 0) -> Counts:
    counts = Counts(tickets=TicketCounts(accepted=accepted), active_batches=active)
    counts.requests.add("/send", status=200, code=None, took_s=0.002)
    return counts


def test_what_one_process_writes_another_reads(board: Board) -> None:
    pid = os.fork()
    if pid == 0:
        Seat(board, "one", clock=lambda: NOW).post(counted(5))
        os._exit(0)
    os.waitpid(pid, 0)

    note = board.read("one")

    assert note is not None
    assert (note.pid, note.counts.tickets.accepted) == (pid, 5)
    assert board.read("two") is None


def test_counts_of_all_are_added(board: Board) -> None:
    first, second = (Seat(board, name, clock=lambda: NOW) for name in ("one", "two"))
    first.post(counted(5, active=1))

    everything = second.all_counts(counted(7, active=2))

    assert (everything.tickets.accepted, everything.active_batches) == (12, 3)
    assert everything.requests.answered == Counter({("/send", 200): 2})
    assert sum(everything.requests.took_s["/send"].counts) == 2


def test_sums_never_go_back_when_a_process_is_followed_by_another(board: Board) -> None:
    Seat(board, "one", clock=lambda: NOW).post(counted(5, active=3))

    everything = Seat(board, "one", clock=lambda: NOW).all_counts(counted(1))

    assert (everything.tickets.accepted, everything.active_batches) == (6, 0)


def test_adding_changes_nothing_of_what_is_added(board: Board) -> None:
    own = counted(5)
    seat = Seat(board, "one", clock=lambda: NOW)

    seat.all_counts(own)
    seat.all_counts(own)

    assert seat.all_counts(own).tickets.accepted == 5
    assert own.requests.answered == Counter({("/send", 200): 1})


async def test_who_is_silent_or_in_trouble_or_has_not_started_is_named() -> None:
    board, now = Board(["me", "silent", "troubled", "late"]), NOW
    Seat(board, "silent", clock=lambda: NOW - SILENT_AFTER_S - 1).post(Counts())
    Seat(board, "troubled", clock=lambda: NOW).post(Counts(), trouble="it is stuck")

    trouble = await Seat(board, "me", clock=lambda: now).others_trouble()

    assert trouble == "silent has not been heard of for 6 s; troubled: it is stuck; late has not started"


async def test_who_is_well_is_no_trouble(board: Board) -> None:
    Seat(board, "two", clock=lambda: NOW).post(Counts())

    assert await Seat(board, "one", clock=lambda: NOW).others_trouble() == ""


def spoil(board: Board, *, number: int) -> None:
    """As a writer leaves its note of this number that dies over it."""
    board._memory[number % 2 * NOTE_BYTES + 100] ^= 0xFF


def test_a_half_written_note_is_not_read(board: Board) -> None:
    Seat(board, "one", clock=lambda: NOW).post(counted(5))
    spoil(board, number=1)

    assert board.read("one") is None


@pytest.mark.parametrize("posts", [2, 3])
def test_the_sums_do_not_go_back_when_a_process_dies_while_it_writes(board: Board, posts: int) -> None:
    dies, reads = (Seat(board, name, clock=lambda: NOW) for name in ("one", "two"))
    for accepted in range(posts):
        dies.post(counted(5 + accepted))
    spoil(board, number=posts)
    seen = reads.all_counts(Counts()).tickets.accepted

    successor = Seat(board, "one", clock=lambda: NOW)
    successor.post(counted(1))

    assert seen == 5 + posts - 2
    assert reads.all_counts(Counts()).tickets.accepted == seen + 1


def test_a_reader_always_finds_a_note_however_fast_they_are_written(board: Board) -> None:
    seat = Seat(board, "one", clock=lambda: NOW)
    seat.post(counted(0))
    pid = os.fork()
    if pid == 0:
        for accepted in range(3000):
            seat.post(counted(accepted))
        os._exit(0)
    seen = [0]
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        note = board.read("one")
        assert note is not None
        seen.append(note.counts.tickets.accepted)

    assert seen == sorted(seen)


def test_a_note_that_is_too_large_is_not_written(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    requests = RequestCounts(took_s={str(number): Histogram((1.0,) * 50) for number in range(9000)})

    board.post("one", Note(pid=1, at=NOW, counts=Counts(requests=requests)))

    assert board.read("one") is None
    assert "too much for /metrics" in caplog.text
