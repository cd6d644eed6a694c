"""SIGTERM at the worst moments: what was accepted was answered, what was answered is kept, and the end comes soon."""

import asyncio
import json
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from expo_gateway.emulators.fault_rules import FaultRule
from expo_gateway.emulators.faults import Act, Hang, Slow
from expo_gateway.protocol.device import project_id_of
from expo_gateway.protocol.ticket import BatchId, parse_ticket_id
from tests.conftest import STOP_S, Server, StartServer
from tests.dispatcher.conftest import until
from tests.e2e.wire import SEND
from tests.outside import TEAM_ID, Outside, open_outside
from tests.waiting import receipts, receipts_async

SENDERS = 6  # as many as every SDK opens; clients.md, point 28
BATCHES_BEFORE_THE_STOP = 30
# A machine that has much else to do gets there too.
HANG_S = 120.0
SHOP = "@acme/shop"
IPHONE = "a1" * 32
HUNDRED = [{"to": f"ExponentPushToken[recipient-number-{place:05}]", "body": "x" * 50} for place in range(100)]


def stop(server: Server) -> int:
    """The exit code. Fails when the end does not come."""
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(timeout=STOP_S)


def stored_batches(data: Path) -> set[BatchId]:
    with closing(sqlite3.connect(data / "gateway.db")) as store:
        return {batch_id for (batch_id,) in store.execute("SELECT id FROM batches")}


# -- clients that are being served ------------------------------------------------------------------------------------


def send_until_refused(url: str, answered: list[BatchId]) -> None:
    """One client with one connection that is kept alive, and no pause between its requests."""
    with httpx.Client(base_url=url, timeout=HANG_S) as client:
        while True:
            try:
                answer = client.post(SEND, json=HUNDRED)
            except httpx.TransportError:
                return
            parsed = parse_ticket_id(answer.raise_for_status().json()["data"][0]["id"])
            assert parsed is not None
            answered.append(parsed[0])


def test_every_batch_that_is_stored_at_a_stop_was_answered(tmp_path: Path, start_server: StartServer) -> None:
    server = start_server("--data", str(tmp_path / "data"))
    answered: list[BatchId] = []
    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(send_until_refused, server.url, answered) for _ in range(SENDERS)]
        give_up_at = time.monotonic() + HANG_S
        while len(answered) < BATCHES_BEFORE_THE_STOP and time.monotonic() < give_up_at:
            time.sleep(0.01)
        exit_code = stop(server)
        for sender in senders:
            sender.result(timeout=STOP_S)

    assert exit_code == 0
    assert len(answered) >= BATCHES_BEFORE_THE_STOP
    assert set(answered) == stored_batches(tmp_path / "data")


# -- deliveries that are in flight ------------------------------------------------------------------------------------


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    async with open_outside(tmp_path / "outside") as opened:
        yield opened


@pytest.fixture
def options(outside: Outside, tmp_path: Path) -> list[str]:
    """Of a server with one real project, whose provider is in our hands."""
    project = {
        "full_name": SHOP,
        "apns_key_file": str(outside.new_apns_key()),
        "apns_key_id": "ABCDEFGHIJ",
        "apns_team_id": TEAM_ID,
    }
    lines = ["[providers]", *(f"{key} = {json.dumps(value)}" for key, value in outside.addresses.items())]
    lines += ["[[projects]]", *(f"{key} = {json.dumps(value)}" for key, value in project.items())]
    config = tmp_path / "gateway.toml"
    config.write_text("\n".join(lines))
    return ["--config", str(config), "--data", str(tmp_path / "data")]


async def send_into(server: Server, outside: Outside, fault: FaultRule) -> str:
    """The ticket of a message that is in flight to a provider with this fault."""
    device = {"type": "apns", "deviceId": "phone", "development": False, "appId": "com.acme.shop"}
    device |= {"deviceToken": IPHONE, "projectId": project_id_of(SHOP)}
    async with httpx.AsyncClient(base_url=server.url, timeout=HANG_S) as client:
        answer = await client.post("/--/api/v2/push/getExpoPushToken", json=device)
        token = answer.raise_for_status().json()["data"]["expoPushToken"]
        sent = await client.post(SEND, json=[{"to": token, "body": "x"}])
    await until(lambda: outside.faults.counts(fault.id).is_used_up, timeout_s=HANG_S)
    return str(sent.raise_for_status().json()["data"][0]["id"])


@pytest.mark.parametrize(("act", "pushes"), [(Slow(1.0), 1), (Hang(), 2)])
async def test_a_delivery_in_flight_at_a_stop_is_finished_then_or_after_the_next_start(
    act: Act, pushes: int, options: list[str], outside: Outside, start_server: StartServer
) -> None:
    fault = outside.faults.force(act, times=1)
    server = await asyncio.to_thread(start_server, *options, EXPO_GATEWAY_DISPATCHER__DRAIN_S="3")
    ticket = await send_into(server, outside, fault)
    # What answers it runs in this loop.
    assert await asyncio.to_thread(stop, server) == 0

    restarted = await asyncio.to_thread(start_server, *options)
    async with httpx.AsyncClient(base_url=restarted.url, timeout=HANG_S) as client:
        found = await receipts_async(client, [ticket])
    await asyncio.to_thread(stop, restarted)

    assert found == {ticket: {"status": "ok"}}
    assert [dict(capture.headers)["apns-id"] for capture in outside.inbox] == [ticket] * pushes


@pytest.mark.slow
def test_a_stop_ends_though_the_store_is_locked_and_the_next_start_goes_on(
    tmp_path: Path, start_server: StartServer
) -> None:
    data = tmp_path / "data"
    server = start_server("--data", str(data), EXPO_GATEWAY_DISPATCHER__DRAIN_S="0.5")
    with closing(sqlite3.connect(data / "gateway.db", isolation_level=None)) as outsider:
        with httpx.Client(base_url=server.url, timeout=HANG_S) as client:
            ids = [ticket["id"] for _ in range(20) for ticket in client.post(SEND, json=HUNDRED).json()["data"]]
        outsider.execute("BEGIN EXCLUSIVE")
        assert stop(server) == 0

    restarted = start_server("--data", str(data))
    with httpx.Client(base_url=restarted.url, timeout=HANG_S) as client:
        found = [receipts(client, ids[at : at + 1000]) for at in (0, 1000)]

    assert [len(some) for some in found] == [1000, 1000]
    assert all(receipt == {"status": "ok"} for some in found for receipt in some.values())
