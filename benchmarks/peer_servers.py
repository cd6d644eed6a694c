"""The servers that ours is compared with: how each is found or built, and started. A missing one is None."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gateway import Served
from benchmarks.peers.mock_files import write_mockoon, write_wiremock
from benchmarks.processes import free_port, running, wait_for_port

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parent.parent
BUILT = ROOT / "build" / "bench-peers"
MOCKOON = PEERS / "node" / "node_modules" / ".bin" / "mockoon-cli"
WIREMOCK = "https://repo1.maven.org/maven2/org/wiremock/wiremock-standalone/3.9.2/wiremock-standalone-3.9.2.jar"
WIREMOCK_SHA256 = "77b88dc41c3268e3ce391f3fef222b0cd0696f286d3fc35a84ba22ffcb877012"
BUILD_S = 180.0

Peer = Callable[[Path], AbstractContextManager[Served]]
"""Starts it; the directory is for its files."""


def node_server() -> Peer | None:
    """Works: inflates, parses, validates, gives out UUIDs; stores nothing."""
    return _node("node_server.js")


def node_fake() -> Peer | None:
    """Parses and answers."""
    return _node("node_fake.js")


def go_server() -> Peer | None:
    """Does what node_server.js does, on all cores, as Go does."""
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if go is None:
        return None
    program = BUILT / "go_server"
    BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=PEERS / "go_server",
        check=True,
        timeout=BUILD_S,
        capture_output=True,
    )
    return partial(_started, "Go net/http", [str(program), "{port}"])


def noop_hypercorn() -> Peer | None:
    command = [sys.executable, "-m", "hypercorn", "benchmarks.peers.noop_starlette:app", "--bind", "127.0.0.1:{port}"]
    return partial(_started, "no-op Starlette on Hypercorn", command)


def noop_granian() -> Peer | None:
    if find_spec("granian") is None:
        return None
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", "{port}", "--no-access-log"]
    return partial(_started, "no-op Starlette on Granian", [*command, "benchmarks.peers.noop_starlette:app"])


def mockoon() -> Peer | None:
    return _mockoon if MOCKOON.exists() else None


def wiremock() -> Peer | None:
    """With its journal on, as it is by default."""
    java = shutil.which("java")
    if java is None:
        return None
    jar = _wiremock_jar()
    return None if jar is None else partial(_wiremock, java, jar)


def _node(script: str) -> Peer | None:
    node = shutil.which("node")
    return None if node is None else partial(_started, script, [node, str(PEERS / script), "{port}"])


@contextmanager
def _started(name: str, command: list[str], directory: Path) -> Iterator[Served]:
    port = free_port()
    filled = [part.format(port=port) for part in command]
    began_at = time.perf_counter()
    with running(filled, log=directory / f"{port}.log", cwd=ROOT) as process:
        wait_for_port(port, process)
        ready_s = time.perf_counter() - began_at
        yield Served(name=name, url=f"http://127.0.0.1:{port}", process=process, ready_s=ready_s)


@contextmanager
def _mockoon(directory: Path) -> Iterator[Served]:
    port = free_port()
    data = write_mockoon(directory, port=port)
    command = [str(MOCKOON), "start", "--data", str(data), "--disable-log-to-file"]
    with running(command, log=directory / "mockoon.log", env={"HOME": str(directory)}) as process:
        wait_for_port(port, process)
        yield Served(name="Mockoon", url=f"http://127.0.0.1:{port}", process=process)


@contextmanager
def _wiremock(java: str, jar: Path, directory: Path) -> Iterator[Served]:
    port = free_port()
    root = write_wiremock(directory)
    command = [java, "-Xmx4g", "-jar", str(jar), "--port", str(port), "--root-dir", str(root), "--disable-banner"]
    with running(command, log=directory / "wiremock.log") as process:
        wait_for_port(port, process)
        yield Served(name="WireMock", url=f"http://127.0.0.1:{port}", process=process)


def _wiremock_jar() -> Path | None:
    """From Maven's repository, once; None where that can't be reached."""
    jar = BUILT / "wiremock.jar"
    if not jar.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        try:
            with urllib.request.urlopen(WIREMOCK, timeout=60) as answer:
                data = answer.read()
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() != WIREMOCK_SHA256:
            return None
        jar.write_bytes(data)
    return jar
