"""Waiting for what another process does after it was left alone."""

import time
from collections.abc import Callable

# Our choice: a server that nobody uses is gone within a second; the rest is for a busy machine.
TIMEOUT_S = 20.0
PAUSE_S = 0.02


def eventually(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < give_up_at, f"not so within {TIMEOUT_S:g} s"
        time.sleep(PAUSE_S)
