"""`serve --server granian`: what holds for the other server holds here, except for what docs/configuration.md names."""

import gzip
import json
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from exponent_server_sdk import PushClient, PushMessage

from expo_gateway.protocol.ticket import BatchId
from tests.compat.node_sdk import drive, receipts_through
from tests.conftest import STOP_S, Server, StartServer, running_server
from tests.e2e.test_crash import missing_receipts
from tests.e2e.test_stop import send_until_refused, stop, stored_batches
from tests.e2e.wire import GET_RECEIPTS, MESSAGE, SEND, connected, head
from tests.missing import module
from tests.running import clean_environment
from tests.test_workers import until

HUNDRED = json.dumps([{"to": f"ExponentPushToken[{place:022}]", "body": "x" * 50} for place in range(100)]).encode()
GRANIAN = ("--server", "granian")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    module("granian")
    with running_server(*GRANIAN) as running:
        yield running


@pytest.fixture(scope="module")
def tls_server() -> Iterator[Server]:
    with running_server(*GRANIAN, "--tls") as running:
        yield running


@pytest.fixture(params=["h1", "h2c", "h1 over TLS", "h2 over TLS"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[httpx.Client]:
    is_h2 = "h2" in request.param
    if "TLS" not in request.param:
        with httpx.Client(base_url=server.url, http1=not is_h2, http2=is_h2, timeout=30.0) as opened:
            yield opened
        return
    over_tls: Server = request.getfixturevalue("tls_server")
    verify = ssl.create_default_context(cafile=str(over_tls.ca_path))
    with httpx.Client(base_url=over_tls.url, http2=is_h2, verify=verify, timeout=30.0) as opened:
        yield opened


@pytest.mark.parametrize("body", [MESSAGE, gzip.compress(MESSAGE), HUNDRED, gzip.compress(HUNDRED)], ids=len)
def test_batches_are_taken_and_delivered(client: httpx.Client, body: bytes) -> None:
    tickets = client.post(SEND, content=body).raise_for_status().json()["data"]
    ids = [ticket["id"] for ticket in tickets]
    found: dict[str, object] = {}
    until(
        lambda: (
            bool(found.update(client.post(GET_RECEIPTS, json={"ids": ids}).json()["data"])) or len(found) == len(ids)
        )
    )

    assert {ticket["status"] for ticket in tickets} == {"ok"}
    assert set(map(str, found.values())) == {"{'status': 'ok'}"}


def test_errors_have_the_recorded_shape_and_the_connection_is_good_after_them(client: httpx.Client) -> None:
    bodies = [(SEND, b"{"), ("/nothing", b"x"), (SEND, b" " * 5 * 1024 * 1024), (SEND, MESSAGE)] * 3

    answers = [client.post(path, content=body) for path, body in bodies]

    assert [answer.status_code for answer in answers] == [400, 404, 413, 200] * 3
    assert answers[2].json()["errors"][0]["code"]


@pytest.mark.parametrize("sdk", ["expo_sdk_7"])
def test_the_node_sdk_is_served(sdk: str, server: Server) -> None:
    messages = [{"to": f"ExponentPushToken[{number:022}]", "body": "x" * 100} for number in range(300)]
    (given,) = drive(sdk, server.url, {"call": "send", "messages": messages})
    ids = [ticket["id"] for ticket in given["tickets"]]

    assert len(receipts_through(sdk, server.url, ids)) == 300


def test_the_python_sdk_is_served(server: Server) -> None:
    (ticket,) = PushClient(host=server.url).publish_multiple([PushMessage(to="ExponentPushToken[python]", body="x")])

    assert ticket.status == "ok"


@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
def test_a_fault_cuts_the_connection_without_an_answer(client: httpx.Client, when: str, accepted: int) -> None:
    run = f"/r/{uuid.uuid4().hex}"
    fault = {"act": {"type": "cut", "when": when}, "match": {"times": 1}}
    client.post(f"{run}/_gateway/v1/faults", json=fault).raise_for_status()

    with pytest.raises(httpx.TransportError):
        client.post(run + SEND, content=MESSAGE)

    assert len(client.get(f"{run}/_gateway/v1/deliveries").json()["deliveries"]) == accepted
    assert client.post(run + SEND, content=MESSAGE).status_code == 200


def test_a_body_that_is_too_slow_is_answered_408(start_server: StartServer) -> None:
    server = start_server(*GRANIAN, EXPO_GATEWAY_SERVER__BODY_TIMEOUT_S="0.5")
    with connected(server) as wire:
        wire.write(head(SEND, **{"content-length": "100"}), b"[")
        assert wire.read().status == 408


def test_every_batch_that_is_stored_at_a_stop_was_answered_and_is_delivered_after_it(
    tmp_path: Path, start_server: StartServer
) -> None:
    data = tmp_path / "data"
    server = start_server(*GRANIAN, "--data", str(data))
    answered: list[BatchId] = []
    with ThreadPoolExecutor(6) as pool:
        senders = [pool.submit(send_until_refused, server.url, answered) for _ in range(6)]
        until(lambda: len(answered) >= 30)
        exit_code = stop(server)
        for sender in senders:
            sender.result(timeout=STOP_S)

    assert exit_code == 0
    assert set(answered) == stored_batches(data)
    assert "Traceback" not in server.stderr()


def test_a_request_under_way_at_a_stop_is_answered(start_server: StartServer) -> None:
    server = start_server(*GRANIAN)
    with connected(server) as wire:
        wire.write(head(SEND, **{"content-length": str(len(MESSAGE))}), MESSAGE[:10])
        httpx.get(f"{server.url}/health/live")
        server.process.terminate()
        until(lambda: "stopping" in server.stderr())
        wire.write(MESSAGE[10:])

        assert wire.read().status == 200
    assert server.process.wait(timeout=STOP_S) == 0


def test_clients_that_never_end_do_not_keep_it_from_stopping(start_server: StartServer) -> None:
    server = start_server(*GRANIAN, EXPO_GATEWAY_SERVER__DRAIN_S="0.5")
    with connected(server) as silent, connected(server) as slow, httpx.Client(http1=False, http2=True) as idle:
        silent.write(b"")
        slow.write(head(SEND, **{"content-length": "9"}), b"[")
        idle.get(f"{server.url}/health/live")

        assert stop(server) == 0
    assert "Traceback" not in server.stderr()


@pytest.mark.parametrize("workers", ["2"])
def test_workers_serve_with_it_too(workers: str, start_server: StartServer) -> None:
    server = start_server(*GRANIAN, "--workers", workers)
    ids = [
        ticket["id"]
        for _ in range(20)
        for ticket in httpx.post(server.url + SEND, content=gzip.compress(HUNDRED), timeout=30.0).json()["data"]
    ]

    assert missing_receipts(server, ids, timeout_s=30.0) == set()
    assert stop(server) == 0


def test_without_the_package_it_says_which_extra_brings_it(tmp_path: Path) -> None:
    (tmp_path / "granian.py").write_text("raise ImportError('not installed')")
    done = subprocess.run(
        [sys.executable, "-m", "expo_gateway", "serve", "--port", "0", *GRANIAN],
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment() | {"PYTHONPATH": str(tmp_path)},
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr == (
        "expo-gateway: server.http: got granian, which is not installed; wanted hypercorn, "
        "or the extra `fast`: pip install 'expo-gateway[fast]'\n"
    )


# A gateway with a part that a test has spoilt.
SPOILT = """
import asyncio, atexit, sys
from expo_gateway import cli, errors, granian_listener, server
atexit.register(print, "the interpreter was taken down")
{}
sys.exit(cli.main(["serve", "--json", "--port", "0", "--server", "granian"]))
"""
FAILS_ONCE_IT_SERVES = """
def warm_up():
    raise errors.CannotStart("something fell")
server.warm_up = warm_up
"""
GRANIAN_ENDS = """
serve = granian_listener._OnSocket.serve
async def ends(self):
    asyncio.get_running_loop().call_later(0.5, lambda: self.wrks[0]._task.cancel())
    await serve(self)
granian_listener._OnSocket.serve = ends
"""
GRANIAN_FAILS = """
async def fails(self):
    await asyncio.sleep(0.5)
    raise errors.CannotStart("Granian has a reason")
granian_listener._OnSocket.serve = fails
"""


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (FAILS_ONCE_IT_SERVES, "something fell"),
        (GRANIAN_ENDS, "Granian has ended by itself"),
        (GRANIAN_FAILS, "Granian has a reason"),
    ],
    ids=["a failure after the start", "a server that ends", "a server that fails"],
)
def test_what_fails_while_it_serves_ends_the_process_and_not_by_the_interpreter(spoil: str, why: str) -> None:
    module("granian")
    done = subprocess.run(
        [sys.executable, "-c", SPOILT.format(spoil)],
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(),
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert f"expo-gateway: {why}" in done.stderr
    assert "taken down" not in done.stdout


def test_a_worker_whose_server_ends_is_replaced(tmp_path: Path) -> None:
    module("granian")
    script = SPOILT.format(GRANIAN_ENDS).replace('"granian"]', '"granian", "--workers", "2"]')
    with (
        (tmp_path / "log").open("w+") as log,
        subprocess.Popen([sys.executable, "-c", script], stdout=log, stderr=log, env=clean_environment()) as process,
    ):
        try:
            until(lambda: (tmp_path / "log").read_text().count("ended with 1; the next one starts in") >= 2)
            process.terminate()
            assert process.wait(timeout=STOP_S) == 0
        finally:
            process.kill()
