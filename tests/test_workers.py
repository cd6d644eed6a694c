"""`serve --workers 2`: one port, one store, several processes."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from expo_gateway.emulators.faults import Answer
from expo_gateway.protocol.device import project_id_of
from expo_gateway.protocol.ticket import BatchId
from expo_gateway.supervisor import restart_after_s
from tests.conftest import STOP_S, Server, StartServer
from tests.e2e.test_crash import missing_receipts
from tests.e2e.test_stop import send_until_refused, stop, stored_batches
from tests.e2e.wire import SEND
from tests.outside import TEAM_ID, Outside, open_outside
from tests.running import command, gateway

WAIT_S = 30.0
RECIPIENTS = 20
SHOP = "@acme/shop"
IPHONE = "b2" * 32


@pytest.fixture
def server(start_server: StartServer, tmp_path: Path) -> Server:
    return start_server("--workers", "2", "--data", str(tmp_path / "data"))


def until(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """In the order of their birth: the emulators, then the workers."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def messages(number: int) -> list[dict[str, str]]:
    return [{"to": f"ExponentPushToken[{number:06}-{place:015}]", "body": "x"} for place in range(RECIPIENTS)]


def send(server: Server, number: int) -> list[str]:
    """Tickets. Each call has a connection of its own, so that both workers get some."""
    answer = httpx.post(server.url + SEND, json=messages(number), timeout=WAIT_S)
    return [ticket["id"] for ticket in answer.raise_for_status().json()["data"]]


def metrics(server: Server) -> dict[str, dict[str, float]]:
    """name -> labels' values, joined -> value."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(httpx.get(f"{server.url}/metrics", timeout=WAIT_S).text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[" ".join(sample.labels.values())] = sample.value
    return found


def test_both_workers_serve_and_deliver_each_message_once(server: Server) -> None:
    ids = [ticket for number in range(40) for ticket in send(server, number)]

    assert missing_receipts(server, ids, timeout_s=WAIT_S) == set()
    until(lambda: metrics(server)["expo_gateway_receipts_total"].get("") == len(ids))
    seen = metrics(server)
    assert seen["expo_gateway_notifications_accepted_total"][""] == len(ids)
    until(lambda: metrics(server)["expo_gateway_emulator_captures_total"][""] == len(ids))
    assert seen["expo_gateway_requests_total"]["/--/api/v2/push/send 200"] == 40
    assert set(seen["process_resident_memory_bytes"]) == {"emulators", "worker-1", "worker-2"}


def test_all_workers_take_connections(server: Server) -> None:
    workers = children(server.pid)[1:]
    clients = [socket.create_connection((server.host, server.port)) for _ in range(64)]
    try:
        until(lambda: all(len(list(Path(f"/proc/{worker}/fd").iterdir())) > 25 for worker in workers))
    finally:
        for client in clients:
            client.close()


def test_it_is_ready_when_all_are(server: Server) -> None:
    assert httpx.get(f"{server.url}/health/ready").json()["checks"]["others"] == "ok"

    emulators = children(server.pid)[0]
    os.kill(emulators, signal.SIGSTOP)
    try:
        until(lambda: httpx.get(f"{server.url}/health/ready").status_code == 503)
        assert "emulators has not been heard" in httpx.get(f"{server.url}/health/ready").json()["checks"]["others"]
    finally:
        os.kill(emulators, signal.SIGCONT)
    until(lambda: httpx.get(f"{server.url}/health/ready").status_code == 200)


def test_a_worker_that_is_killed_is_replaced_and_what_it_had_is_delivered(server: Server) -> None:
    ids: list[str] = []
    counted = 0.0
    for life in range(3):
        for number in range(20):
            ids += send(server, life * 100 + number)
        counted = max(counted, metrics(server)["expo_gateway_notifications_accepted_total"][""])
        workers = children(server.pid)
        os.kill(workers[-1], signal.SIGKILL)
        until(lambda workers=workers: len(set(children(server.pid)) - set(workers)) == 1)  # type: ignore[misc]
        until(lambda: httpx.get(f"{server.url}/health/ready", timeout=WAIT_S).status_code == 200)

    # Well within the minute that a lease lasts.
    assert missing_receipts(server, ids, timeout_s=20.0) == set()
    assert "was ended by signal 9; the next one starts in 0 s" in server.stderr()
    assert metrics(server)["expo_gateway_notifications_accepted_total"][""] >= counted


def asked(server: Server) -> str:
    """What became of a request on a connection of its own: its answer's status line, or why there is none."""
    try:
        with socket.create_connection((server.host, server.port), timeout=WAIT_S) as client:
            client.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            return client.recv(65536).partition(b"\r\n")[0].decode() or "closed"
    except OSError as error:
        return type(error).__name__


def test_no_client_waits_for_a_worker_that_is_dead(server: Server) -> None:
    """Who was with it when it died is cut; whoever comes before there is a successor gets to another."""
    ends, outcomes = threading.Event(), list[str]()

    def keep_asking() -> None:
        while not ends.is_set():
            outcomes.append(asked(server))

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(keep_asking) for _ in range(2)]
        try:
            victim = children(server.pid)[-1]
            for after_s in ("0", "0.5", "1"):
                victim = killed_and_replaced(server, victim, after_s=after_s)
            os.kill(victim, signal.SIGKILL)
            until(lambda: "the next one starts in 2 s" in server.stderr())
            meanwhile = [asked(server) for _ in range(24)]
            family = children(server.pid)
        finally:
            ends.set()
        for one in asking:
            one.result()

    assert len(family) == 2  # the emulators, and one worker
    assert meanwhile == ["HTTP/1.1 200 "] * 24
    assert set(outcomes) <= {"HTTP/1.1 200 ", "closed", "ConnectionResetError", "BrokenPipeError"}


def killed_and_replaced(server: Server, victim: int, *, after_s: str) -> int:
    """The process in its place, which has died so often that the next one starts so much later."""
    before = set(children(server.pid))
    os.kill(victim, signal.SIGKILL)
    until(lambda: f"the next one starts in {after_s} s" in server.stderr())
    until(lambda: len(set(children(server.pid)) - before) == 1)
    (successor,) = set(children(server.pid)) - before
    return successor


def test_a_worker_that_was_replaced_takes_connections_again(server: Server) -> None:
    killed_and_replaced(server, children(server.pid)[-1], after_s="0")
    until(lambda: httpx.get(f"{server.url}/health/ready", timeout=WAIT_S).status_code == 200)

    test_all_workers_take_connections(server)


def test_emulators_that_are_killed_come_back_where_they_were(server: Server) -> None:
    before = children(server.pid)[0]
    os.kill(before, signal.SIGKILL)
    until(lambda: f"emulators (process {before}) was ended" in server.stderr())

    ids = send(server, 1)

    assert missing_receipts(server, ids, timeout_s=WAIT_S) == set()


def test_every_batch_that_is_stored_at_a_stop_was_answered(server: Server, tmp_path: Path) -> None:
    answered: list[BatchId] = []
    with ThreadPoolExecutor(6) as pool:
        senders = [pool.submit(send_until_refused, server.url, answered) for _ in range(6)]
        until(lambda: len(answered) >= 30)
        exit_code = stop(server)
        for sender in senders:
            sender.result(timeout=STOP_S)

    assert exit_code == 0
    assert set(answered) == stored_batches(tmp_path / "data")


def test_a_stop_leaves_no_process_and_no_throwaway(tmp_path: Path) -> None:
    with gateway("--workers", "2", env={"TMPDIR": str(tmp_path)}) as (process, ready):
        assert ready["pid"] == process.pid
        family = children(process.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=STOP_S)

    assert process.returncode == 0
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    with gateway("--workers", "2", env={"TMPDIR": str(tmp_path)}) as (process, ready):
        family = children(process.pid)
        port = int(ready["url"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /--/api/v2/push/send HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n[")
            httpx.get(ready["url"] + "/health/live")
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            assert "stopping" in process.stderr.readline()

            process.send_signal(signal.SIGTERM)

            assert process.wait(timeout=5) == 128 + signal.SIGTERM
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []


def test_children_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with gateway("--workers", "2", "--data", str(tmp_path / "data")) as (process, _):
        family = children(process.pid)
        process.kill()
        process.wait(timeout=STOP_S)

    until(lambda: not [pid for pid in family if is_alive(pid)])
    with gateway("--workers", "2", "--data", str(tmp_path / "data")):
        pass


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_signal_that_reaches_all_of_them_is_one_signal(server: Server) -> None:
    """As a terminal's Ctrl-C does, and systemd."""
    ids = send(server, 1)
    for child in children(server.pid):
        os.kill(child, signal.SIGTERM)

    assert missing_receipts(server, ids, timeout_s=WAIT_S) == set()
    assert stop(server) == 0


# -- what goes wrong at the start --------------------------------------------------------------------------------------


def test_a_port_of_other_workers_is_taken(server: Server) -> None:
    done = command("serve", "--workers", "2", "--port", str(server.port))

    assert done.returncode == 1
    assert done.stderr.startswith(f"expo-gateway: port {server.port} on 127.0.0.1 is taken")


def test_what_the_emulators_or_workers_can_not_start_for_is_one_line(server: Server) -> None:
    port = int(server.apns_url.rpartition(":")[2])

    done = command("serve", "--workers", "2", "--port", "0", env={"EXPO_GATEWAY_EMULATOR__APNS_PORT": str(port)})

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the emulators can't listen" in done.stderr


def test_a_wrong_setting_is_said_once() -> None:
    done = command("serve", "--workers", "2", "--port", "0", env={"EXPO_GATEWAY_PROVIDERS__CA_FILE": "/nowhere.pem"})

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "providers.ca_file" in done.stderr


@pytest.mark.parametrize(("deaths", "after_s"), [(1, 0.0), (2, 0.5), (3, 1.0), (4, 2.0), (50, 30.0)])
def test_whoever_dies_again_and_again_is_replaced_ever_more_slowly(deaths: int, after_s: float) -> None:
    assert restart_after_s(deaths) == after_s


# -- what workers have in common ---------------------------------------------------------------------------------------


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    async with open_outside(tmp_path / "outside") as opened:
        yield opened


@pytest.fixture
def config(outside: Outside, tmp_path: Path) -> Path:
    project = {
        "full_name": SHOP,
        "apns_key_file": str(outside.new_apns_key()),
        "apns_key_id": "ABCDEFGHIJ",
        "apns_team_id": TEAM_ID,
        "notifications_per_second": 50,
    }
    lines = ["[providers]", *(f"{key} = {json.dumps(value)}" for key, value in outside.addresses.items())]
    lines += ["[[projects]]", *(f"{key} = {json.dumps(value)}" for key, value in project.items())]
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join(lines))
    return path


async def register(server: Server) -> str:
    device = {"type": "apns", "deviceId": "phone", "development": False, "appId": "com.acme.shop"}
    device |= {"deviceToken": IPHONE, "projectId": project_id_of(SHOP)}
    async with httpx.AsyncClient(base_url=server.url, timeout=WAIT_S) as client:
        answer = await client.post("/--/api/v2/push/getExpoPushToken", json=device)
    return str(answer.raise_for_status().json()["data"]["expoPushToken"])


async def post(server: Server, body: object) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, timeout=WAIT_S) as client:
        return await client.post(SEND, json=body)


async def test_a_rate_limit_holds_over_all_workers(config: Path, start_server: StartServer) -> None:
    server = await asyncio.to_thread(start_server, "--workers", "2", "--config", str(config))
    token = await register(server)
    began_at = time.monotonic()

    answers = await asyncio.gather(*(post(server, [{"to": token}] * 50) for _ in range(12)))
    took_s = time.monotonic() - began_at

    admitted = sum(answer.status_code == 200 for answer in answers)
    assert {answer.status_code for answer in answers} == {200, 429}
    assert admitted <= 1 + took_s
    await asyncio.to_thread(stop, server)


async def test_a_device_that_one_worker_finds_gone_is_refused_by_the_others_within_a_second(
    config: Path, outside: Outside, start_server: StartServer
) -> None:
    server = await asyncio.to_thread(start_server, "--workers", "2", "--config", str(config))
    token = await register(server)
    warm = [await post(server, {"to": token}) for _ in range(10)]
    assert {answer.status_code for answer in warm} == {200}
    outside.faults.force(Answer(status=410, reason="Unregistered"), device_token=IPHONE)
    (await post(server, {"to": token})).raise_for_status()
    give_up_at = time.monotonic() + WAIT_S
    while "DeviceNotRegistered" not in (await post(server, {"to": token})).text:
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.05)

    await asyncio.sleep(1.0)
    answers = [(await post(server, {"to": token})).text for _ in range(20)]

    assert [answer for answer in answers if "DeviceNotRegistered" not in answer] == []
    await asyncio.to_thread(stop, server)
