"""Adds batches to the SQLite outbox of argv[1] until killed; prints the id of each once it is acknowledged."""

import asyncio
import itertools
import os
import sys
import time

from expo_gateway.outbox.base import NewBatch, Progress
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from expo_gateway.protocol.ticket import batch_id
from expo_gateway.sqlite_file import SqliteFile


async def write_for_ever(outbox: SqliteOutbox, numbers: "itertools.count[int]") -> None:
    while True:
        new_id = batch_id(now=time.time(), random_bytes=next(numbers).to_bytes(8, "big"))
        await outbox.add(NewBatch(batch_id=new_id, project_id="p", body=new_id * 300, places=2))
        print(new_id.hex(), "added", flush=True)
        await outbox.record([Progress(batch_id=new_id, receipts={1: RECEIPT_OK_JSON})])
        print(new_id.hex(), "recorded", flush=True)


async def main() -> None:
    async with SqliteFile(sys.argv[1], durability="power" if sys.argv[2] == "power" else "process") as file:
        outbox = SqliteOutbox(file)
        await outbox.open()
        numbers = itertools.count(int.from_bytes(os.urandom(4), "big"))
        await asyncio.gather(*[write_for_ever(outbox, numbers) for _ in range(8)])


asyncio.run(main())
