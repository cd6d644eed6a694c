import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import DidNotStart, free_port, running, wait_for_port

BUSY = (
    "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', 'while True: pass']); print(c.pid); c.wait()"
)

END_S = 5.0


def _state(pid: int) -> str:
    """Its letter in /proc, "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_childs_time_counts_and_no_child_is_left(tmp_path: Path) -> None:
    with running([sys.executable, "-u", "-c", BUSY], log=tmp_path / "log") as process:
        while not process.said():
            pass
        child = int(process.said())
        before_s = process.cpu_s()
        while process.cpu_s() < before_s + 0.05:
            pass
        assert process.rss_bytes() > 5_000_000

    # A killed process is there until the kernel gets to it, and then until its new parent has looked at it.
    give_up_at = time.monotonic() + END_S
    while (state := _state(child)) not in ("", "Z"):
        assert time.monotonic() < give_up_at, state
        time.sleep(0.01)


def test_a_process_that_ends_at_once_is_said_with_its_words(tmp_path: Path) -> None:
    with (
        running([sys.executable, "-c", "raise SystemExit('no luck')"], log=tmp_path / "log") as process,
        pytest.raises(DidNotStart, match="no luck"),
    ):
        wait_for_port(free_port(), process)
