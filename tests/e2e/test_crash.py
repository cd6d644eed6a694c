"""kill -9 under load: every ticket that a client has received gets its receipt after the restart."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.conftest import Server, StartServer
from tests.e2e.wire import GET_RECEIPTS, SEND, still_serves

SENDERS = 6  # as many as every SDK opens; clients.md, point 28
RECIPIENTS = 5
BATCHES_BEFORE_THE_CRASH = 300
# However slow the machine is, the crash comes after so many. This only ends a test that hangs.
HANG_S = 300.0
# Our choice: on an idle machine it takes seconds.
DELIVERED_S = 60.0
IDS_PER_REQUEST = 1000


@dataclass(slots=True)
class Load:
    """What the senders have been told, until the server is gone."""

    tickets: list[str] = field(default_factory=list)
    batches: int = 0
    enough: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledged(self, ids: list[str]) -> None:
        with self._lock:
            self.tickets += ids
            self.batches += 1
            if self.batches >= BATCHES_BEFORE_THE_CRASH:
                self.enough.set()

    def send(self, url: str, sender: int) -> None:
        """Send until the connection breaks."""
        with httpx.Client(base_url=url, timeout=HANG_S) as client:
            for number in range(100_000):
                messages = [
                    {
                        "to": f"ExponentPushToken[{sender:02}-{number:06}-{place:011}]",
                        "body": "x" * 50,
                        "data": {"n": place},
                    }
                    for place in range(RECIPIENTS)
                ]
                try:
                    answer = client.post(SEND, json=messages)
                except httpx.TransportError:
                    return
                self.acknowledged([ticket["id"] for ticket in answer.raise_for_status().json()["data"]])


def load_until_crash(server: Server) -> list[str]:
    load = Load()
    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(load.send, server.url, sender) for sender in range(SENDERS)]
        load.enough.wait(HANG_S)
        server.kill()
        for sender in senders:
            sender.result(timeout=HANG_S)
    return load.tickets


def missing_receipts(server: Server, ids: list[str], *, timeout_s: float) -> set[str]:
    """The tickets that have no ok receipt when the time is up."""
    missing = set(ids)
    give_up_at = time.monotonic() + timeout_s
    with httpx.Client(base_url=server.url, timeout=30.0) as client:
        while missing and time.monotonic() < give_up_at:
            asked = sorted(missing)
            for at in range(0, len(asked), IDS_PER_REQUEST):
                answer = client.post(GET_RECEIPTS, json={"ids": asked[at : at + IDS_PER_REQUEST]})
                found = answer.raise_for_status().json()["data"]
                missing -= {id_ for id_, receipt in found.items() if receipt == {"status": "ok"}}
            time.sleep(0.1)
    return missing


@pytest.mark.slow
def test_every_ticket_that_a_client_received_gets_its_receipt_after_kill_9(
    tmp_path: Path, start_server: StartServer
) -> None:
    tickets = load_until_crash(start_server("--data", str(tmp_path / "data")))
    assert len(tickets) >= BATCHES_BEFORE_THE_CRASH * RECIPIENTS

    restarted = start_server("--data", str(tmp_path / "data"))

    assert missing_receipts(restarted, tickets, timeout_s=DELIVERED_S) == set()
    still_serves(restarted)


def test_receipts_and_devices_survive_an_ordinary_restart(tmp_path: Path, start_server: StartServer) -> None:
    data = str(tmp_path / "data")
    device = {"type": "fcm", "deviceId": "d", "development": False, "appId": "a", "deviceToken": "t:APA91bxyz"}
    device |= {"projectId": "51092087-87a4-4b12-8008-145625477434"}
    tokens, ids = [], []
    for _ in range(2):
        server = start_server("--data", data)
        with httpx.Client(base_url=server.url, timeout=10.0) as client:
            token = client.post("/--/api/v2/push/getExpoPushToken", json=device).json()["data"]["expoPushToken"]
            answer = client.post(SEND, json=[{"to": token, "body": "x"}])
            ids.append(answer.json()["data"][0]["id"])
            tokens.append(token)
            assert missing_receipts(server, ids, timeout_s=20.0) == set()
        server.process.terminate()
        assert server.process.wait(timeout=20.0) == 0

    assert tokens[0] == tokens[1]


@pytest.mark.slow
def test_a_server_killed_again_and_again_loses_nothing(tmp_path: Path, start_server: StartServer) -> None:
    """Each life ends before the work of the one before it is done."""
    data = str(tmp_path / "data")
    ids: list[str] = []
    for life in range(3):
        server = start_server("--data", data)
        with httpx.Client(base_url=server.url, timeout=10.0) as client:
            for number in range(10):
                messages = [{"to": f"ExponentPushToken[{life:02}-{number:06}-{place:011}]"} for place in range(50)]
                ids += [ticket["id"] for ticket in client.post(SEND, json=messages).json()["data"]]
        server.kill()

    last = start_server("--data", data)

    assert missing_receipts(last, ids, timeout_s=DELIVERED_S) == set()
