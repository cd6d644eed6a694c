"""Processes that are measured: what they cost by /proc, and an end that leaves none behind. Linux only.

/proc/<pid>/stat: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
END_S = 5.0
READY_S = 30.0
# Our choice: a poll that costs nothing and is not seen in a start of 250 ms.
POLL_S = 0.002


class DidNotStart(Exception):
    """What was to be measured has ended, or does not answer; the text says why as far as it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process with all its children, in a session of their own."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    def cpu_s(self) -> float:
        """User and system time of it and its living children, all threads."""
        return sum(_cpu_s(pid) for pid in _tree(self.popen.pid))

    def rss_bytes(self) -> int:
        return sum(_rss_bytes(pid) for pid in _tree(self.popen.pid))

    def freeze(self) -> None:
        """While others are measured it takes no time at all."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        self._signal(signal.SIGKILL)
        self.popen.wait(END_S)

    def said(self) -> str:
        """The last of what it wrote."""
        return self.log.read_text(errors="replace")[-2000:].strip() if self.log.exists() else ""

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)


@contextmanager
def running(
    command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Process]:
    """Both outputs go to the file `log`. Whatever happens, the process and its children are gone at the end."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            list(command),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
        )
    process = Process(popen=popen, log=log)
    try:
        yield process
    finally:
        process.end()


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without the gateway's settings and without proxies: all traffic is on the loopback."""
    unwanted = ("EXPO_GATEWAY_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | {"NO_COLOR": "1"} | dict(extra or {})


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for_port(port: int, process: Process, *, timeout_s: float = READY_S) -> None:
    """Until somebody listens there. DidNotStart when the process ends before, or takes too long."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        check_alive(process, give_up_at)
        time.sleep(POLL_S)


def check_alive(process: Process, give_up_at: float) -> None:
    name = Path(str(process.popen.args[0] if isinstance(process.popen.args, list) else process.popen.args)).name
    if process.popen.poll() is not None:
        raise DidNotStart(f"{name} has ended: {process.said()}")
    if time.monotonic() > give_up_at:
        raise DidNotStart(f"{name} does not answer: {process.said()}")


def end_on_sigterm() -> None:
    """So that whoever ends the benchmark ends its processes too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _tree(pid: int) -> list[int]:
    children: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += [int(child) for child in (task / "children").read_text().split()]
    return [pid, *(one for child in children for one in _tree(child))]


def _cpu_s(pid: int) -> float:
    with suppress(OSError):
        # The name in brackets may hold spaces; utime and stime are fields 14 and 15.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S
    return 0.0


def _rss_bytes(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
