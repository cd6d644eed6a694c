"""What the figures were taken on: they say little without it."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.mock import program
from benchmarks.peer_servers import PEERS, WIREMOCK
from benchmarks.processes import environment

PACKAGES = ("expo-gateway", "granian", "hypercorn", "starlette", "aioapns", "pyfcm", "aiohttp", "uvloop", "isal")
_COMMANDS: dict[str, Sequence[str]] = {
    "wrk": ("wrk", "--version"),
    "nginx": (program() or "nginx", "-v"),
    "node": ("node", "--version"),
    "go": ("go", "version"),
    "java": ("java", "-version"),
}


def machine() -> dict[str, str]:
    """Name -> value, for the head of the table."""
    found = {
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}, shared by servers, load and mock",
        "cpu": _cpu(),
        "load": " ".join(f"{one:.1f}" for one in os.getloadavg()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "settings": "--data DIR, so durability = power (SQLite, synchronous=FULL); all else as it is by default",
    }
    packages = {name: _package(name) for name in PACKAGES}
    peers = {name: _version(command) for name, command in _COMMANDS.items()} | {
        "@parse/node-apn": _npm("@parse/node-apn"),
        "@mockoon/cli": _npm("@mockoon/cli"),
        "wiremock": WIREMOCK.rpartition("-")[2].removesuffix(".jar"),
    }
    found["packages"] = _listed(packages)
    found["peers"] = _listed(peers)
    return found


def is_busy() -> bool:
    """Whether others use the machine as we begin: rates would be theirs too."""
    return os.getloadavg()[0] > 0.3 * (os.cpu_count() or 1)


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in versions.items())


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _npm(name: str) -> str:
    path = PEERS / "node" / "node_modules" / name / "package.json"
    found = re.search(r'"version": "([^"]+)"', path.read_text()) if path.exists() else None
    return found[1] if found else "missing"


def _version(command: Sequence[str]) -> str:
    env = environment()
    env["PATH"] = f"{env.get('PATH', '')}:/usr/local/go/bin"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, env=env)
    except OSError:
        return "missing"
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "unknown"
