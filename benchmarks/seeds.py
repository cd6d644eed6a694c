"""What a gateway has behind it when it is measured: devices, a backlog, receipts. Written through its own stores."""

import asyncio
import gzip
import json
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.traffic import APP_ID, BATCH, FULL_NAME, PROJECT_ID, Bodies, bodies, push_token
from expo_gateway.data_dir import DATABASE
from expo_gateway.outbox.base import NewBatch, Progress
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.device import Device, Platform, Project, ProjectKind
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from expo_gateway.protocol.ticket import BATCH_RANDOM_BYTES, batch_id, ticket_id
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.sqlite_file import SqliteFile

PROJECT = Project(project_id=PROJECT_ID, full_name=FULL_NAME, kind=ProjectKind.REAL)
_DEVICES_TOGETHER = 5_000
_BATCHES_TOGETHER = 256
_BODIES = 64
# Receipts are kept for a day; those of the last 20 hours do not lapse while we look.
_HISTORY_S = 20 * 3600.0


def _made(data: Path) -> Path:
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return data


@asynccontextmanager
async def _stores(data: Path) -> AsyncIterator[tuple[SqliteOutbox, SqliteRegistry]]:
    """Not durable: what is lost with the power is made anew."""
    async with SqliteFile(data / DATABASE, durability="process") as file:
        outbox, registry = SqliteOutbox(file), SqliteRegistry(file)
        await outbox.open()
        await registry.open()
        yield outbox, registry


def add_devices(data: Path, count: int) -> None:
    """So many iPhones of the project, in the order of their push tokens."""
    asyncio.run(_add_devices(_made(data), count))


async def _add_devices(data: Path, count: int) -> None:
    now = time.time()
    async with _stores(data) as (_, registry):
        for first in range(0, count, _DEVICES_TOGETHER):
            numbers = range(first, min(first + _DEVICES_TOGETHER, count))
            await registry.enrol([_device(number, count, now=now) for number in numbers])


def _device(number: int, count: int, *, now: float) -> Device:
    return Device(
        push_token=push_token(number, count),
        project=PROJECT,
        platform=Platform.IOS,
        device_token=f"{number:064x}",
        app_id=APP_ID,
        registered_at=now,
    )


def add_backlog(data: Path, messages: int, *, devices: int) -> list[bytes]:
    """Accepted and undelivered, in batches of 100. Returns the batch ids, earliest first."""
    return asyncio.run(_add_backlog(_made(data), messages // BATCH, devices=devices))


async def _add_backlog(data: Path, batches: int, *, devices: int) -> list[bytes]:
    texts = [gzip.compress(one, 6) for one in bodies(count=_BODIES, batch=BATCH, devices=devices)]
    ids = [_new_id(time.time()) for _ in range(batches)]
    async with _stores(data) as (outbox, _):
        for first in range(0, batches, _BATCHES_TOGETHER):
            some = [
                NewBatch(batch_id=one, project_id=PROJECT_ID, body=texts[number % _BODIES], places=BATCH)
                for number, one in enumerate(ids[first : first + _BATCHES_TOGETHER])
            ]
            await asyncio.gather(*(outbox.add(one) for one in some))
    return sorted(ids)


def add_receipts(data: Path, receipts: int) -> list[bytes]:
    """Delivered in the last hours, in batches of 100, all ok. Returns the batch ids, earliest first."""
    return asyncio.run(_add_receipts(_made(data), receipts // BATCH))


async def _add_receipts(data: Path, batches: int) -> list[bytes]:
    now = time.time()
    ids = [_new_id(now - _HISTORY_S * (1 - number / batches)) for number in range(batches)]
    receipts = dict.fromkeys(range(BATCH), RECEIPT_OK_JSON)
    async with _stores(data) as (outbox, _):
        for first in range(0, batches, _BATCHES_TOGETHER):
            some = ids[first : first + _BATCHES_TOGETHER]
            new = [NewBatch(batch_id=one, project_id=PROJECT_ID, body=b"[]", places=BATCH) for one in some]
            await asyncio.gather(*(outbox.add(one) for one in new))
            await outbox.record([Progress(batch_id=one, receipts=receipts, release=True) for one in some])
    return sorted(ids)


def _new_id(at: float) -> bytes:
    return batch_id(now=at, random_bytes=os.urandom(BATCH_RANDOM_BYTES))


def write_questions(directory: Path, batch_ids: Sequence[bytes], *, count: int, ids: int, scattered: bool) -> Bodies:
    """getReceipts bodies with `ids` ids each: all of some batches that stand side by side, as a client keeps its
    tickets, or `scattered` over as many batches as there are."""
    directory.mkdir(parents=True)
    dice = random.Random(1)
    for number in range(count):
        if scattered:
            tickets = [ticket_id(dice.choice(batch_ids), dice.randrange(BATCH)) for _ in range(ids)]
        else:
            first = dice.randrange(max(1, len(batch_ids) - ids // BATCH))
            some = batch_ids[first : first + ids // BATCH]
            tickets = [ticket_id(one, place) for one in some for place in range(BATCH)]
        (directory / f"{number}.body").write_text(json.dumps({"ids": tickets}))
    return Bodies(directory=directory, count=count, batch=1, gzipped=False)
