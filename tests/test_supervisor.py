"""What a supervisor does when something is wrong with itself or with what it waits for."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from expo_gateway.child import Child, ended, fork, kill
from tests.conftest import STOP_S
from tests.e2e.wire import MESSAGE, SEND
from tests.running import Process, clean_environment
from tests.test_workers import children, is_alive

# A supervisor with a part that a test has spoilt.
SPOILT = """
import sys, time
from expo_gateway import child, cli, supervisor, worker
{}
sys.exit(cli.main(["serve", "--json", "--port", "0", "--workers", "2"]))
"""
HANGS_AFTER_ITS_WORD = """
said = worker.prepare
def prepare(settings, directory, wire):
    said(settings, directory, wire)
    time.sleep(1000)
supervisor.prepare = prepare
supervisor.END_S = 0.2
"""
FAILS_WHEN_A_CHILD_DIES = """
def restart_after_s(deaths):
    raise ZeroDivisionError("a bug of the supervisor")
supervisor.restart_after_s = restart_after_s
"""


@contextmanager
def supervised(spoil: str, *, directory: Path) -> Iterator[Process]:
    process = subprocess.Popen(
        [sys.executable, "-c", SPOILT.format(spoil)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | {"TMPDIR": str(directory)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def url_of(process: Process) -> str:
    """Once it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    return str(orjson.loads(line)["url"])


def test_a_preparation_that_has_said_its_word_and_does_not_end_is_killed(tmp_path: Path) -> None:
    with supervised(HANGS_AFTER_ITS_WORD, directory=tmp_path) as process:
        url = url_of(process)

        assert httpx.get(f"{url}/health/live").status_code == 200
        assert len(children(process.pid)) == 3
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=STOP_S)
    assert "preparation did not end in 0.2 s and is killed" in said


def test_a_supervisor_that_fails_lets_requests_under_way_finish(tmp_path: Path) -> None:
    with supervised(FAILS_WHEN_A_CHILD_DIES, directory=tmp_path) as process:
        host, port = url_of(process).removeprefix("http://").split(":")
        family = children(process.pid)
        with socket.create_connection((host, int(port)), timeout=STOP_S) as client:
            client.sendall(b"POST %b HTTP/1.1\r\nhost: x\r\n" % SEND.encode())
            client.sendall(b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(MESSAGE) + MESSAGE[:5])
            httpx.get(f"http://{host}:{port}/health/live")

            os.kill(family[0], signal.SIGKILL)
            assert process.stderr is not None
            until_said(process, "the supervisor failed")
            client.sendall(MESSAGE[5:])

            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        said = process.communicate(timeout=STOP_S)[1]
    assert process.returncode == 1
    assert "a bug of the supervisor" in said
    assert [pid for pid in family if is_alive(pid)] == []


def until_said(process: Process, text: str) -> None:
    assert process.stderr is not None
    while text not in (line := process.stderr.readline()):
        assert line, f"it ended without saying {text!r}"


@pytest.fixture
def child() -> Iterator[Child]:
    forked = fork("it", lambda wire: time.sleep(1000), now=0.0, not_its=())
    yield forked
    kill([forked])
    forked.wire.close()


def test_whoever_is_killed_is_gone_and_may_be_killed_again(child: Child) -> None:
    assert ended(child) is None

    kill([child])

    assert not is_alive(child.pid)
    assert ended(child) == 0
    kill([child])


def test_whoever_can_not_be_killed_is_left_behind(
    child: Child, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that waits for a disk that is away."""
    monkeypatch.setattr("expo_gateway.child.KILL_S", 0.05)
    with monkeypatch.context() as deaf:
        deaf.setattr("os.kill", lambda pid, number: None)

        kill([child])

    assert "it can't be killed and is left behind" in caplog.text
