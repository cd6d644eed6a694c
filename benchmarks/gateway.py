"""Our side: `expo-gateway serve` on a data directory, as an operator runs it."""

import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import SEND, get, post
from benchmarks.mock import KEY_ID, TEAM_ID, Mock
from benchmarks.processes import POLL_S, READY_S, Process, check_alive, running
from benchmarks.traffic import APP_ID, FULL_NAME, PROJECT_ID
from expo_gateway.command_line import command_line

READY = "/health/ready"
MESSAGE = b'{"to":"ExponentPushToken[first-first-first-firs]","body":"first"}'

_CONFIG = """
[providers]
apns_host = "127.0.0.1"
apns_port = {apns_port}
fcm_endpoint = "https://localhost:{fcm_port}"
ca_file = "{ca}"

[logs]
level = "error"

[[projects]]
full_name = "{full_name}"
project_id = "{project_id}"
apns_key_file = "{apns_key}"
apns_key_id = "{key_id}"
apns_team_id = "{team_id}"
apns_bundle_ids = ["{app_id}"]
fcm_service_account_file = "{service_account}"
notifications_per_second = 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server under test."""

    name: str
    url: str
    process: Process
    ready_s: float = 0.0
    """From the start of the process until it says that everything is up."""
    first_s: float = 0.0
    """From the start of the process to its first 200, of whoever asks all the time: a message, accepted."""


def serve_options() -> set[str]:
    """The options that this build's `serve` has: what it has not is skipped and said."""
    import typer

    group = typer.main.get_command(command_line())
    serve = group.commands["serve"]  # type: ignore[attr-defined]
    return {option for parameter in serve.params for option in parameter.opts}


def can_granian() -> bool:
    """Whether this build serves with Granian, and it is installed."""
    from importlib.util import find_spec

    return "--server" in serve_options() and find_spec("granian") is not None


def write_config(path: Path, mock: Mock, *, slow: bool) -> Path:
    """A real project without a rate limit, whose Apple and Google are the mock; all else is as in production."""
    path.write_text(
        _CONFIG.format(
            apns_port=mock.slow_port if slow else mock.port,
            fcm_port=mock.port,
            ca=mock.tls.ca_pem,
            full_name=FULL_NAME,
            project_id=PROJECT_ID,
            apns_key=mock.apns_key,
            key_id=KEY_ID,
            team_id=TEAM_ID,
            app_id=APP_ID,
            service_account=mock.service_account,
        )
    )
    return path


@contextmanager
def gateway(
    data: Path,
    *,
    config: Path | None = None,
    server: str = "hypercorn",
    workers: int = 1,
    name: str = "",
    port: int = 0,
) -> Iterator[Served]:
    """`expo-gateway serve --data …`: durable against a loss of power, as it is by default with a data directory.

    `port`: a free one, which is asked from the start on; then there is a `first_s`.
    """
    began_at = time.perf_counter()
    with running(_command(data, config, server, workers, port), log=data.with_suffix(".log")) as process:
        first_s = _first_200(f"http://127.0.0.1:{port}{SEND}", process) - began_at if port else 0.0
        url = _ready_url(process)
        get(url + READY)
        ready_s = time.perf_counter() - began_at
        yield Served(name=name or f"gateway on {server}", url=url, process=process, ready_s=ready_s, first_s=first_s)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _first_200(url: str, process: Process) -> float:
    """When it came. DidNotStart when the process ends before, or takes too long."""
    give_up_at = time.monotonic() + READY_S
    while True:
        try:
            post(url, MESSAGE)
            return time.perf_counter()
        except OSError:  # refused, until somebody listens
            check_alive(process, give_up_at)
            time.sleep(POLL_S)


def _command(data: Path, config: Path | None, server: str, workers: int, port: int) -> Sequence[str]:
    command = [sys.executable, "-m", "expo_gateway", "serve", "--json", "--port", str(port), "--data", str(data)]
    if config is not None:
        command += ["--config", str(config)]
    if server != "hypercorn":
        command += ["--server", server]
    if workers > 1:
        command += ["--workers", str(workers)]
    return command


def _ready_url(process: Process) -> str:
    """From the line that it prints. DidNotStart when it ends before, or takes too long."""
    give_up_at = time.monotonic() + READY_S
    while True:
        for line in process.log.read_text(errors="replace").splitlines():
            if line.startswith('{"event":"ready"') and line.endswith("}"):
                return str(json.loads(line)["url"])
        check_alive(process, give_up_at)
        time.sleep(POLL_S)
