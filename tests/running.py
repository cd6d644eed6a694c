"""`expo-gateway serve` as a process of its own, for the tests of what only a process shows."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, TypeAlias, cast

START_S = 20.0

Process: TypeAlias = "subprocess.Popen[str]"


@contextmanager
def gateway(
    *options: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """The process and its ready line. Whatever happens, it is gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "expo_gateway", "serve", "--json", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | dict(env or {}),
    )
    with process:
        try:
            line = cast(IO[str], process.stdout).readline()
            ready = json.loads(line) if line else {}
            assert ready.get("event") == "ready", cast(IO[str], process.stderr).read()
            yield process, ready
        finally:
            process.kill()


def command(*arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "expo_gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=START_S,
        env=clean_environment() | dict(env or {}),
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """Ours without settings of the gateway."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("EXPO_GATEWAY_")}
    return own | {"COLUMNS": "100", "NO_COLOR": "1"}
