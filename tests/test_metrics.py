"""What is counted, and how Prometheus hears of it."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from expo_gateway.app import open_app
from expo_gateway.metrics import OTHER, Histogram, Reasons
from expo_gateway.settings import Server, Settings
from tests.waiting import receipts_async

SEND = "/--/api/v2/push/send"
TOKENS = [f"ExponentPushToken[metrics{place:015d}]" for place in range(4)]
BAD = {"to": "nobody", "body": "x"}

Labels = tuple[tuple[str, str], ...]


@asynccontextmanager
async def gateway(directory: Path, settings: Settings | None = None) -> AsyncIterator[httpx.AsyncClient]:
    async with open_app(settings or Settings(), directory) as app:
        transport = httpx.ASGITransport(app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client


async def metrics(client: httpx.AsyncClient) -> dict[str, dict[Labels, float]]:
    """name of a sample -> labels -> value"""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


async def send(client: httpx.AsyncClient, *messages: dict[str, Any]) -> list[str]:
    """Ids of the tickets that are ok, when all have their receipts."""
    answer = await client.post(SEND, json=list(messages))
    ids = [ticket["id"] for ticket in answer.json()["data"] if ticket["status"] == "ok"]
    await receipts_async(client, ids)
    return ids


def test_a_value_counts_in_the_first_bucket_that_holds_it() -> None:
    histogram = Histogram((0.1, 1.0))

    for value_s in (0.05, 0.1, 0.5, 7.0, -3.0):
        histogram.observe(value_s)

    assert (histogram.counts, histogram.sum_s) == ([3, 1, 1], 7.65)


def test_what_a_provider_makes_up_has_no_room_of_its_own() -> None:
    reasons = Reasons(most=2)

    labels = [reasons.label(word) for word in ("A", "B", "C", "A", 'D"}', "x" * 65, "")]

    assert labels == ["A", "B", OTHER, "A", OTHER, OTHER, OTHER]


async def test_requests_tickets_and_deliveries_are_counted(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        await send(client, *({"to": token, "body": "x"} for token in TOKENS), BAD)
        await client.post(SEND, json={"to": 1})
        await client.get("/made/up/by/a/client")
        found = await metrics(client)

    by_status = found["expo_gateway_requests_total"]
    assert by_status[("endpoint", SEND), ("status", "200")] == 1
    assert by_status[("endpoint", SEND), ("status", "400")] == 1
    assert by_status[("endpoint", OTHER), ("status", "404")] == 1
    assert found["expo_gateway_requests_refused_total"][(("code", "VALIDATION_ERROR"),)] == 1
    assert found["expo_gateway_notifications_accepted_total"] == {(): 4}
    assert found["expo_gateway_notifications_refused_total"] == {(("error", "DeviceNotRegistered"),): 1}
    assert sum(found["expo_gateway_attempts_total"].values()) == 4
    assert {dict(labels)["outcome"] for labels in found["expo_gateway_attempts_total"]} == {"accepted"}
    assert found["expo_gateway_receipts_total"] == {(("error", ""),): 4}
    assert found["expo_gateway_settled_seconds_count"] == {(): 4}
    assert found["expo_gateway_claim_lag_seconds_count"][()] >= 1
    assert found["expo_gateway_store_commit_seconds_count"][()] >= 1
    assert found["expo_gateway_emulator_captures_total"] == {(): 4}
    assert found["expo_gateway_outbox_pending_batches"] == {(): 0}
    assert found["expo_gateway_outbox_oldest_due_seconds"] == {(): 0}


async def test_an_apns_connection_is_seen(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        assert (await metrics(client))["expo_gateway_apns_connections"] == {(): 0}
        # Half of them are iPhones.
        await send(client, *({"to": f"ExponentPushToken[{place:022d}]"} for place in range(16)))

        assert (await metrics(client))["expo_gateway_apns_connections"] == {(): 1}


async def test_a_store_that_is_away_takes_no_other_metric_with_it(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        await client.get("/health/live")
        break_database(tmp_path / "gateway.db")
        found = await metrics(client)

    assert "expo_gateway_outbox_pending_batches" not in found
    assert found["expo_gateway_requests_total"][("endpoint", "/health/live"), ("status", "200")] == 1


def break_database(path: Path) -> None:
    """From another process' point of view: the table is gone."""
    code = f"import sqlite3; sqlite3.connect({str(path)!r}).execute('ALTER TABLE batches RENAME TO lost')"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_names_follow_prometheus_and_help_says_what_they_are(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        text = (await client.get("/metrics")).text

    families = [family for family in text_string_to_metric_families(text) if family.name.startswith("expo_gateway_")]
    assert len(families) > 15
    assert all(family.documentation for family in families)
    # Seconds, never milliseconds; the parser itself wants _total of counters.
    assert [family.name for family in families if family.type == "histogram" and family.name[-8:] != "_seconds"] == []


async def test_openmetrics_is_spoken_to_those_who_ask_for_it(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        await send(client, {"to": TOKENS[0]})
        answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert any(family.name == "expo_gateway_requests" for family in parse_openmetrics(answer.text))  # type: ignore[no-untyped-call]


async def test_metrics_can_be_turned_off(tmp_path: Path) -> None:
    async with gateway(tmp_path, Settings(server=Server(metrics=False))) as client:
        assert (await client.get("/metrics")).status_code == 404


def test_prometheus_is_not_loaded_at_the_start() -> None:
    code = "import sys, expo_gateway.app; sys.exit('prometheus_client' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
