"""A server of one's own, or one that processes share. It ends with the last of them, however they end.

Who uses a server holds a shared flock(2) on a file, `members`; the kernel frees it when its holder dies. A small
process, `keeper.py`, has the server as its child and waits for the exclusive lock, which it gets when nobody is left.

    <temporary directory>/expo-gateway-<name>/
      members           the lock
      server/           what goes with the server: `starting`, another lock; `ready.json`; its log and its state
"""

import fcntl
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

from expo_gateway.errors import CannotStart

# Our choice: a start takes half a second; the rest is for a machine that is busy with tests.
START_S = 60.0
# More than the keeper gives the server.
STOP_S = 30.0
SHOWN_BYTES = 2000
# Nobody waits for what is under way when the tests are over.
AT_ONCE = {"EXPO_GATEWAY_SERVER__DRAIN_S": "0", "EXPO_GATEWAY_DISPATCHER__DRAIN_S": "0"}
KEEPER = Path(__file__).with_name("keeper.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    url: str
    log: Path

    def last_words(self) -> str:
        """The end of its log; empty when there is none."""
        try:
            return self.log.read_bytes()[-SHOWN_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            return ""


@contextmanager
def serving(options: Sequence[str], *, shared: str | None) -> Iterator[Served]:
    """A server that is ready. A server that is not shared is gone at the end of the block. Raises CannotStart."""
    directory = Path(tempfile.gettempdir()) / f"expo-gateway-{shared or uuid4().hex}"
    kept: IO[bytes] | None = None
    try:
        with _membership(directory):
            served, kept = _served(directory / "server", options)
            yield served
        if kept is not None and shared is None:
            _wait_for_end(kept)
    finally:
        if kept is not None:
            kept.close()


@contextmanager
def _membership(directory: Path) -> Iterator[None]:
    members = _joined(directory)
    try:
        yield
    finally:
        # Said and not left to the close: a child of a fork may hold the same descriptor.
        fcntl.flock(members, fcntl.LOCK_UN)
        os.close(members)


def _joined(directory: Path) -> int:
    """A descriptor with the shared lock. While a keeper ends its server, this waits, and begins anew."""
    while True:
        _make_own(directory)
        try:
            members = os.open(directory / "members", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue
        fcntl.flock(members, fcntl.LOCK_SH)
        if _is_at(members, directory / "members"):
            return members
        os.close(members)


def _make_own(directory: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise CannotStart(f"{directory} belongs to somebody else; a server is shared by one user only")


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _served(directory: Path, options: Sequence[str]) -> tuple[Served, IO[bytes] | None]:
    """The server that another member started, or a new one with what tells of its end."""
    directory.mkdir(mode=0o700, exist_ok=True)
    ready, log = directory / "ready.json", directory / "log"
    with (directory / "starting").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if ready.exists():
            return Served(url=json.loads(ready.read_bytes())["url"], log=log), None
        line, kept = _started(directory, options)
        said = _said(line)
        if "url" not in said:
            kept.close()
            # Its first line says it before its log does.
            why = said.get("message") or Served(url="", log=log).last_words() or f"no ready line within {START_S:g} s"
            raise CannotStart(f"the gateway did not start: {why}")
        ready.write_bytes(line)
        return Served(url=said["url"], log=log), kept


def _said(line: bytes) -> dict[str, str]:
    """The first line of a server: the ready line, or why there is none. Empty: nothing of the kind."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _started(directory: Path, options: Sequence[str]) -> tuple[bytes, IO[bytes]]:
    """The ready line, empty if there is none, and a pipe that ends with the keeper."""
    # -P: what lies in the working directory of the tests is not for the server to import.
    command = [sys.executable, "-P", "-m", "expo_gateway", "serve", "--json", "--port", "0", *options]
    reading, writing = os.pipe()
    kept = open(reading, "rb")  # noqa: SIM115 - it is handed on
    with (directory / "log").open("wb") as log, open(writing, "wb") as ready:
        subprocess.run(
            [sys.executable, "-P", str(KEEPER), str(directory.parent), *command],
            stdin=subprocess.DEVNULL,
            stdout=ready,
            stderr=log,
            env=_environment(directory),
            check=True,
            timeout=START_S,
        )
    return (kept.readline() if _has_come(kept, START_S) else b""), kept


def _environment(directory: Path) -> dict[str, str]:
    """Ours without settings of the gateway; what it keeps for itself goes where the keeper clears up."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("EXPO_GATEWAY_")}
    return own | {"TMPDIR": str(directory), **AT_ONCE}


def _wait_for_end(kept: IO[bytes]) -> None:
    while _has_come(kept, STOP_S) and kept.readline():
        pass


def _has_come(pipe: IO[bytes], timeout_s: float) -> bool:
    """Whether a line, or the end, came in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))
