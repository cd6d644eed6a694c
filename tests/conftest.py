"""A real server for tests from outside: `python -m expo_gateway serve --json --port 0` in a process of its own."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import pytest

# Our choice: a start takes half a second; the rest is for a busy machine.
START_S = 20.0
STOP_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that has said that it is ready."""

    url: str
    """Without a slash at the end, as EXPO_BASE_URL wants it."""
    apns_url: str
    fcm_url: str
    ca_path: Path
    pid: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def host(self) -> str:
        return httpx.URL(self.url).host

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 0

    def stderr(self) -> str:
        """What it has logged so far."""
        return os.pread(self.log.fileno(), 1 << 24, 0).decode("utf-8", "replace")

    def kill(self) -> None:
        """As a crash of the machine's kernel, or its OOM killer, would: no signal handler runs."""
        self.process.kill()
        self.process.wait(timeout=STOP_S)


StartServer = Callable[..., Server]


@contextmanager
def running_server(*options: str, **env: str) -> Iterator[Server]:
    """Start the server, stop it with SIGTERM at the end, and see that it went well.

    `env` are environment variables on top of ours. A server that the test killed isn't stopped again.
    """
    command = [sys.executable, "-X", "faulthandler", "-m", "expo_gateway", "serve", "--json", "--port", "0", *options]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **env}) as process,
    ):
        try:
            ready = _ready_line(process, log)
            server = Server(
                url=ready["url"],
                apns_url=ready["apns"],
                fcm_url=ready["fcm"],
                ca_path=Path(ready["ca"]),
                pid=int(ready["pid"]),
                process=process,
                log=log,
            )
            yield server
            killed = process.poll() is not None
            if not killed:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=STOP_S)
            assert "Traceback" not in server.stderr(), server.stderr()
            assert killed or process.returncode == 0, (process.returncode, server.stderr())
        finally:
            process.kill()


def _ready_line(process: subprocess.Popen[bytes], log: IO[bytes]) -> dict[str, str]:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(START_S) else b""
    if not line:
        raise AssertionError(f"no ready line: {os.pread(log.fileno(), 1 << 20, 0).decode('utf-8', 'replace')}")
    ready: dict[str, str] = json.loads(line)
    return ready


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server with its defaults, shared by all tests of a process."""
    with running_server() as running:
        yield running


@pytest.fixture(scope="session")
def strict_server() -> Iterator[Server]:
    with running_server("--strict") as running:
        yield running


@pytest.fixture(scope="session")
def tls_server() -> Iterator[Server]:
    with running_server("--tls") as running:
        yield running


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start more servers with options of their own."""
    with ExitStack() as stack:
        yield lambda *options, **env: stack.enter_context(running_server(*options, **env))


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30.0) as open_client:
        yield open_client
