"""A start stays fast: what it must not load, it does not load, and whoever asks early is answered early."""

import fcntl
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import httpx
import pytest

from tests.running import START_S, Process, clean_environment, command
from tests.waiting import receipts

# They are loaded beside the first requests.
NOT_BEFORE_THE_FIRST_REQUEST = {
    "cryptography",
    "jwt",
    "encodings.idna",
    "expo_gateway.emulated",
    "expo_gateway.emulators.authority",
    "expo_gateway.emulators.apns",
    "expo_gateway.emulators.fcm",
    "expo_gateway.emulators.oauth",
    "hypercorn",
    "h2",
    "wsproto",
    "starlette.routing",
    "starlette.requests",
    "email",
    "http.client",
    "expo_gateway.doors.control.door",
    "expo_gateway.doors.runs",
    "expo_gateway.run_worlds",
}
# In the order of what they cost; providers and logs load theirs once the gateway serves.
NOT_BEFORE_READY = {
    "pydantic",
    "typer",
    "rich",
    "structlog",
    "aiohttp",
    "aioapns",
    "pyfcm",
    "google.auth",
    "requests",
    "urllib3",
    "OpenSSL",
    "prometheus_client",
    "granian",
    "multiprocessing.pool",
    "expo_gateway.commands",
    "expo_gateway.doors.home_assistant",
    "expo_gateway.home_assistant",
    "expo_gateway.home_assistant_front",
    "expo_gateway.protocol.native",
    "expo_gateway.protocol.native_requests",
    "expo_gateway.supervisor",
    "expo_gateway.providers.apns",
    "expo_gateway.providers.fcm",
    "expo_gateway.forward_proxy",
}

SERVE_AND_STOP = """
import gc, json, os, signal, sys
from expo_gateway import cli, serve

def say(ready):
    print(json.dumps({"loaded": sorted(sys.modules), "collects": gc.isenabled()}))
    os.kill(os.getpid(), signal.SIGTERM)

serve.print_json = say
code = cli.main(["serve", "--json", "--port", "0"])
print(json.dumps({"code": code, "frozen": gc.get_freeze_count(), "collects": gc.isenabled()}))
"""


# What is loaded when the emulators' turn comes, which is once the port is served.
SERVE_AND_LOOK = """
import json, os, sys
from expo_gateway import cli

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "expo_gateway.emulated":
            print(json.dumps(sorted(sys.modules)), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Finder())
cli.main(["serve", "--json", "--port", "0"])
"""

SEND = {"to": "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]", "body": "x"}


def served_and_stopped() -> tuple[dict[str, object], dict[str, object]]:
    """What the process said when it was ready, and at its end."""
    done = subprocess.run(
        [sys.executable, "-c", SERVE_AND_STOP],
        capture_output=True,
        text=True,
        timeout=START_S,
        env=clean_environment(),
        check=True,
    )
    at_ready, at_end = map(json.loads, done.stdout.splitlines())
    return at_ready, at_end


def test_what_the_first_request_does_not_need_is_loaded_after_ready() -> None:
    at_ready, _ = served_and_stopped()

    loaded = at_ready["loaded"]
    assert isinstance(loaded, list)
    assert "expo_gateway.gateway" in loaded
    assert NOT_BEFORE_READY & set(loaded) == set()


def test_garbage_is_looked_for_from_ready_on_and_not_before() -> None:
    at_ready, at_end = served_and_stopped()

    assert at_ready["collects"] is False
    assert at_end["collects"] is True
    assert isinstance(at_end["frozen"], int)
    assert at_end["frozen"] > 10_000, "what a start makes is not looked through again"
    assert at_end["code"] == 0


def test_what_only_the_emulators_need_is_loaded_once_the_port_is_served(tmp_path: Path) -> None:
    environment = clean_environment() | {"TMPDIR": str(tmp_path)}
    looked = subprocess.run(
        [sys.executable, "-c", SERVE_AND_LOOK],
        capture_output=True,
        text=True,
        timeout=START_S,
        env=environment,
        check=True,
    )

    loaded = set(json.loads(looked.stdout))
    assert {"expo_gateway.gateway", "expo_gateway.front"} <= loaded
    assert (NOT_BEFORE_READY | NOT_BEFORE_THE_FIRST_REQUEST) & loaded == set()


# -- while the emulators open -----------------------------------------------------------------------------------------


@contextmanager
def held_certificates(data: Path) -> Iterator[None]:
    """Inside, the emulators can't open: their certificates are another's to make."""
    (data / "tls").mkdir(parents=True)
    with (data / "tls" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def starting(data: Path, *options: str) -> Iterator[tuple[Process, httpx.Client]]:
    """A gateway that has not said yet that it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "expo_gateway", "serve", "--json", "--port", str(port), "--data", str(data), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    with process, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        try:
            yield process, client
        finally:
            process.kill()


def asked_until_answered(client: httpx.Client) -> None:
    give_up_at = time.monotonic() + START_S
    while True:
        try:
            client.get("/health/live").raise_for_status()
            return
        except httpx.TransportError:
            assert time.monotonic() < give_up_at, "nobody answers"
            time.sleep(0.01)


def said(stream: IO[str] | None) -> str:
    return cast(IO[str], stream).read()


def test_requests_are_answered_before_the_emulators_are_there_and_deliveries_wait(tmp_path: Path) -> None:
    with starting(tmp_path) as (process, client):
        with held_certificates(tmp_path):
            asked_until_answered(client)
            sent = client.post("/--/api/v2/push/send", json=SEND)
            ids = [sent.json()["data"]["id"]]
            early = client.post("/--/api/v2/push/getReceipts", json={"ids": ids})
            is_ready = client.get("/health/ready")
        ready: dict[str, Any] = json.loads(cast(IO[str], process.stdout).readline())
        found = receipts(client, ids)

    assert sent.status_code == 200
    assert early.json()["data"] == {}
    assert (is_ready.status_code, is_ready.json()["checks"]["server"]) == (503, "the gateway is starting")
    assert ready["event"] == "ready"
    assert [receipt["status"] for receipt in found.values()] == ["ok"]


def test_a_stop_before_the_emulators_are_there_ends_in_order(tmp_path: Path) -> None:
    with starting(tmp_path) as (process, client):
        with held_certificates(tmp_path):
            asked_until_answered(client)
            client.post("/--/api/v2/push/send", json=SEND).raise_for_status()
            process.send_signal(signal.SIGTERM)
        code = process.wait(START_S)
        logged = said(process.stderr)

    assert code == 0
    assert "Traceback" not in logged


@pytest.mark.parametrize("options", [(), ("--tls",)])
def test_emulators_that_cannot_open_end_the_start_with_one_line(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file where their directory belongs")

    ended = command("serve", "--json", "--port", "0", "--data", str(tmp_path), *options)

    line = json.loads(ended.stdout)
    assert (ended.returncode, line["event"]) == (1, "error")
    assert line["message"].startswith("the stores and emulators can't be opened: ")
    assert ended.stderr == f"expo-gateway: {line['message']}\n"
