"""The database is write-locked from outside, as by a backup or a forgotten shell: nothing is accepted, nothing lost.

A full disk is tried by hand only: it needs a file system of its own.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.conftest import Server, StartServer
from tests.e2e.wire import SEND
from tests.waiting import receipts

TIMEOUT_S = 60.0
HUNDRED = [{"to": f"ExponentPushToken[recipient-number-{place:05}]", "body": "x"} for place in range(100)]


@pytest.fixture
def server(tmp_path: Path, start_server: StartServer) -> Server:
    return start_server("--data", str(tmp_path / "data"))


@pytest.fixture
def outsider(server: Server, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "data" / "gateway.db", isolation_level=None)) as connection:
        yield connection


@pytest.mark.slow
def test_a_locked_database_is_said_so_and_what_was_accepted_is_delivered_when_it_is_free(
    server: Server, client: httpx.Client, outsider: sqlite3.Connection
) -> None:
    client.timeout = httpx.Timeout(TIMEOUT_S)
    ids = [ticket["id"] for _ in range(10) for ticket in client.post(SEND, json=HUNDRED).json()["data"]]
    outsider.execute("BEGIN EXCLUSIVE")

    ready = client.get("/health/ready")
    refused = client.post(SEND, json=HUNDRED)
    alive = client.get("/health/live")
    outsider.execute("ROLLBACK")
    found = receipts(client, ids)

    (error,) = refused.json()["errors"]
    assert refused.status_code == 503
    assert error.pop("requestId")
    assert error == {
        "code": "SERVICE_UNAVAILABLE",
        "type": "SERVER",
        "message": "The push service can't store anything at the moment. Nothing of this request was accepted; "
        "try again.",
        "isTransient": True,
    }
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert ready.json()["checks"]["store"] != "ok"
    assert len(found) == len(ids)
    assert all(receipt == {"status": "ok"} for receipt in found.values())
    assert "Another process holds its write lock" in server.stderr()
    assert client.get("/health/ready").json()["status"] == "ok"
    assert client.post(SEND, json=HUNDRED).status_code == 200


@pytest.mark.slow
def test_nothing_of_a_refused_batch_is_sent_later(
    server: Server, client: httpx.Client, outsider: sqlite3.Connection
) -> None:
    client.timeout = httpx.Timeout(TIMEOUT_S)
    client.post(SEND, json=HUNDRED)
    before = outsider.execute("SELECT count(*) FROM batches").fetchone()
    outsider.execute("BEGIN EXCLUSIVE")

    refused = client.post(SEND, json=HUNDRED)
    outsider.execute("ROLLBACK")
    client.post(SEND, json=HUNDRED).raise_for_status()

    assert (refused.status_code, before) == (503, (1,))
    assert outsider.execute("SELECT count(*) FROM batches").fetchone() == (2,)
