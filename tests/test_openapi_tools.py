"""The OpenAPI document in the hands of tools from elsewhere: Prism between the Node SDK and us, Schemathesis on us.

Prism refuses what it finds undocumented, in requests (422) and answers (500). It can't read gzip, which the SDK uses
from 1,024 characters on, so requests are small here.
"""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.compat.node_sdk import NODE, SDKS, drive, receipts_through
from tests.conftest import Server, StartServer
from tests.contract import CONTROL, DOCUMENT
from tests.missing import missing, program

PRISM = NODE / "prism" / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
# The Makefile puts it into an environment of its own.
SCHEMATHESIS = Path(sys.prefix) / "schemathesis" / "bin" / "schemathesis"
CONFIG = Path(__file__).parent / "schemathesis.toml"
START_S = 30.0
RUN_S = 300.0
PUSH_TOKEN = "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"


# -- Prism ------------------------------------------------------------------------------------------------------------


@contextmanager
def prism(upstream: str) -> Iterator[str]:
    """A validating proxy in front of `upstream`: its URL."""
    node = program("node")
    if not PRISM.exists():
        missing("prism is not installed: run `npm ci` in tests/compat/node/prism, or `make test`")
    port = free_port()
    command = [
        node,
        str(PRISM),
        "proxy",
        str(DOCUMENT),
        upstream,
        "--errors",
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def prism_url(server: Server) -> Iterator[str]:
    with prism(server.url) as url:
        yield url


@pytest.mark.parametrize("sdk", SDKS)
def test_prism_finds_nothing_wrong_with_what_an_sdk_sends_and_gets(sdk: str, prism_url: str) -> None:
    messages = [
        {"to": PUSH_TOKEN, "sound": "default", "title": "Hello", "body": "World", "data": {"order": {"id": 7}}},
        {"to": [PUSH_TOKEN, "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"], "sound": {"critical": True, "volume": 1}},
        {
            "to": PUSH_TOKEN,
            "sound": None,
            "priority": "high",
            "badge": 0,
            "ttl": 60,
            "richContent": {"image": "https://x"},
        },
        {"to": "ExponentPushToken[xd"},
    ]

    (given,) = drive(sdk, prism_url, {"call": "sendUnchunked", "messages": messages})

    assert [ticket["status"] for ticket in given.get("tickets", [given])] == ["ok", "ok", "ok", "ok", "error"]
    ids = [ticket["id"] for ticket in given["tickets"][:4]]
    assert receipts_through(sdk, prism_url, ids) == {id_: {"status": "ok"} for id_ in ids}


def test_prism_finds_nothing_wrong_with_a_bare_message(prism_url: str) -> None:
    answer = httpx.post(f"{prism_url}/--/api/v2/push/send", json={"to": PUSH_TOKEN, "body": "x"}, timeout=START_S)

    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "ok")


def test_prism_refuses_what_is_no_message(prism_url: str) -> None:
    answer = httpx.post(f"{prism_url}/--/api/v2/push/send", json={"to": 1}, timeout=START_S)

    assert answer.status_code == 422


# -- Schemathesis -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_schemathesis_finds_no_violation_in_expos_api(start_server: StartServer) -> None:
    run_schemathesis(start_server(), paths="^/(--/|health/|$)")


@pytest.mark.slow
def test_schemathesis_finds_no_violation_in_the_control_api(start_server: StartServer) -> None:
    server = start_server()
    if httpx.get(f"{server.url}{CONTROL}/counts").status_code == 404:
        pytest.skip("there is no control API yet")

    run_schemathesis(server, paths=f"^{CONTROL}/")


def run_schemathesis(server: Server, *, paths: str) -> None:
    """Its report is the test's."""
    if not SCHEMATHESIS.exists():
        missing("schemathesis is not installed: run `make test`")
    options = ["--include-path-regex", paths, "--url", server.url, "--max-examples", "25", "--seed", "1", "--no-color"]
    done = subprocess.run(
        [str(SCHEMATHESIS), "--config-file", str(CONFIG), "run", str(DOCUMENT), *options],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested, done.stdout
    assert int(tested[1]) > 5, done.stdout


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at and process.poll() is None:
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("prism did not start")
