"""Who starts a server, who shares it, and that it goes with the last of them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast
from uuid import uuid4

import httpx
import pytest

from expo_gateway.errors import CannotStart
from expo_gateway.testing.serving import serving
from tests.testing.eventually import eventually

MEMBER = """
import sys
from expo_gateway.testing.serving import serving
with serving([], shared=sys.argv[1]) as served:
    print(served.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where servers have their state: seen to be empty afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@contextmanager
def member(shared: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A process that uses the server of that name until its stdin ends, and the address that it was given."""
    command = [sys.executable, "-c", MEMBER, shared]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, cast(IO[str], process.stdout).readline().strip()
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_a_server_is_gone_at_the_end_of_the_block_with_all_that_it_kept(directory: Path) -> None:
    with serving([], shared=None) as served:
        assert answers(served.url)

    assert not answers(served.url)
    assert list(directory.iterdir()) == []


def test_processes_share_a_server_that_lasts_as_long_as_the_last_of_them(directory: Path) -> None:
    name = uuid4().hex
    with member(name) as (first, url):
        with serving([], shared=name) as served:
            assert served.url == url
            first.kill()
            first.wait()
            assert answers(url)
        eventually(lambda: not answers(url))
    eventually(lambda: list(directory.iterdir()) == [])


def test_a_server_whose_only_user_is_killed_goes_too(directory: Path) -> None:
    with member(uuid4().hex) as (only, url):
        assert answers(url)
        only.kill()

    eventually(lambda: not answers(url))
    eventually(lambda: list(directory.iterdir()) == [])


def test_settings_of_the_environment_are_not_for_a_server_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPO_GATEWAY_SERVER__HOST", "no such host")

    with serving([], shared=None) as served:
        assert answers(served.url)


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(directory: Path) -> None:
    with pytest.raises(CannotStart, match="--no-such-option"), serving(["--no-such-option"], shared=None):
        pass

    eventually(lambda: list(directory.iterdir()) == [])


def test_a_directory_of_somebody_else_is_not_used(directory: Path) -> None:
    name = uuid4().hex
    (directory / f"expo-gateway-{name}").mkdir(mode=0o777)
    (directory / f"expo-gateway-{name}").chmod(0o777)

    with pytest.raises(CannotStart, match="belongs to somebody else"), serving([], shared=name):
        pass


def test_the_server_is_no_child_of_the_tests() -> None:
    """A test that waits for any child, or counts them, is not disturbed; and Ctrl-C reaches the tests alone."""
    with serving([], shared=None) as served:
        ready = json.loads((served.log.parent / "ready.json").read_bytes())

        assert os.getsid(ready["pid"]) != os.getsid(0)
        with pytest.raises(ChildProcessError):
            os.waitpid(ready["pid"], os.WNOHANG)
