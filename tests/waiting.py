"""Waiting for receipts, as every client of Expo does: ask, and ask again."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import httpx

GET_RECEIPTS = "/--/api/v2/push/getReceipts"
# Our choice: they are there within milliseconds; the rest is for a busy machine.
TIMEOUT_S = 20.0
PAUSE_S = 0.02

Receipts = dict[str, dict[str, Any]]


def receipts(client: httpx.Client, ids: Sequence[str]) -> Receipts:
    """The receipts of these tickets when all are there, or those that are there when the time is up."""
    give_up_at = time.monotonic() + TIMEOUT_S
    while True:
        found: Receipts = client.post(GET_RECEIPTS, json={"ids": list(ids)}).raise_for_status().json()["data"]
        if len(found) == len(set(ids)) or time.monotonic() > give_up_at:
            return found
        time.sleep(PAUSE_S)


async def receipts_async(client: httpx.AsyncClient, ids: Sequence[str]) -> Receipts:
    """The same, inside an event loop."""
    give_up_at = time.monotonic() + TIMEOUT_S
    while True:
        answer = await client.post(GET_RECEIPTS, json={"ids": list(ids)})
        found: Receipts = answer.raise_for_status().json()["data"]
        if len(found) == len(set(ids)) or time.monotonic() > give_up_at:
            return found
        await asyncio.sleep(PAUSE_S)
