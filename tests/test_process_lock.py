"""A lock between processes."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from expo_gateway.process_lock import ProcessLock


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[ProcessLock]:
    with closing(ProcessLock(tmp_path / "lock")) as made:
        yield made


def count_up(path: Path, lock: ProcessLock, times: int) -> None:
    for _ in range(times):
        with lock.held():
            path.write_text(str(int(path.read_text()) + 1))


def test_only_one_process_has_it_though_it_was_opened_before_the_fork(tmp_path: Path, lock: ProcessLock) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    count_up(counter, lock, 1)
    pids = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            count_up(counter, lock, 200)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)

    assert counter.read_text() == "601"


def test_a_holder_that_dies_keeps_nobody_waiting(lock: ProcessLock) -> None:
    pid = os.fork()
    if pid == 0:
        with lock.held():
            os._exit(0)
    os.waitpid(pid, 0)
    began_at = time.monotonic()

    with lock.held():
        assert time.monotonic() - began_at < 1.0


def test_a_holder_that_was_stopped_keeps_nobody_waiting_for_ever(lock: ProcessLock) -> None:
    other = lock.another()
    assert other.take()
    began_at = time.monotonic()

    with lock.held(max_wait_s=0.05) as is_held:
        assert not is_held
        assert 0.05 <= time.monotonic() - began_at < 1.0

    other.give_back()
    other.close()
    with lock.held() as is_held:
        assert is_held


def test_it_is_taken_at_once_or_not(lock: ProcessLock) -> None:
    other = lock.another()
    assert lock.take()
    assert not other.take()

    lock.give_back()
    assert other.take()

    other.close()
