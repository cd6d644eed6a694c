"""The SQLite outbox: both contracts, in memory and in a file, and what only it does."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from expo_gateway.errors import SettingsError, StoreUnavailable
from expo_gateway.outbox import sqlite_rows
from expo_gateway.outbox.base import NewBatch, Outbox, Pending, Progress
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from expo_gateway.protocol.ticket import ticket_id
from expo_gateway.sqlite_file import SqliteFile
from tests.outbox.batches import ERROR_JSON, LEASE_S, NOW, all_ok, claim_ids, new_batch, receipts
from tests.outbox.contract import OutboxContract
from tests.outbox.contract_leases import LeaseContract


@pytest.fixture(params=["memory", "file"])
async def file(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteFile]:
    path = ":memory:" if request.param == "memory" else tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process") as file:
        yield file


@pytest.fixture
async def outbox(file: SqliteFile) -> SqliteOutbox:
    outbox = SqliteOutbox(file)
    await outbox.open()
    return outbox


@pytest.fixture
async def other(file: SqliteFile, outbox: Outbox) -> Outbox:
    return SqliteOutbox(file)


class TestSqliteOutbox(OutboxContract, LeaseContract):
    pass


async def count_bodies(file: SqliteFile) -> int:
    return int(await file.read(lambda connection: connection.execute("SELECT count(*) FROM bodies").fetchone()[0]))


async def spoil(file: SqliteFile, batch: NewBatch, change: str) -> None:
    await file.write(
        lambda connection: connection.execute(f"UPDATE batches SET {change} WHERE id = ?", (batch.batch_id,)).rowcount
    )


async def test_a_body_goes_with_the_last_receipt(file: SqliteFile, outbox: Outbox) -> None:
    batch = new_batch()
    await outbox.add(batch)
    await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: RECEIPT_OK_JSON})])
    assert await count_bodies(file) == 1

    await outbox.record([all_ok(batch)])

    assert await count_bodies(file) == 0


async def test_a_batch_that_is_refused_whole_leaves_no_body(file: SqliteFile, outbox: Outbox) -> None:
    await outbox.add(new_batch(refused=[0, 1, 2]))

    assert await count_bodies(file) == 0


async def test_pending_batches_are_counted_up_to_a_bound(file: SqliteFile, outbox: Outbox) -> None:
    for number in range(4):
        await outbox.add(new_batch(number))

    found = [await file.read(partial(sqlite_rows.count_pending, most=most)) for most in (3, 4, 5)]

    assert found == [3, 4, 4]


async def test_an_expiry_in_several_chunks_counts_them_all(file: SqliteFile, outbox: Outbox) -> None:
    batches = [new_batch(number, places=1) for number in range(2500)]
    await asyncio.gather(*[outbox.add(batch) for batch in batches])

    assert await outbox.expire(before=NOW + 1) == 2500
    assert await count_bodies(file) == 0


async def test_what_a_killed_process_had_claimed_can_be_made_due_at_once(outbox: SqliteOutbox, other: Outbox) -> None:
    claimed, retried, waiting = (new_batch(number, places=1) for number in range(3))
    for batch in (claimed, retried, waiting):
        await outbox.add(batch)
    await claim_ids(other, limit=2)
    retry = Pending(place=0, attempts=1, due_at=NOW + 5)
    await other.record([Progress(batch_id=retried.batch_id, retries=[retry])])

    assert await outbox.end_leases() == 2

    assert await claim_ids(outbox) == [claimed.batch_id, waiting.batch_id]
    assert await claim_ids(outbox, now=NOW + 5) == [retried.batch_id]


async def test_an_id_of_the_wrong_length_is_refused_before_it_spoils_its_group(outbox: Outbox) -> None:
    batch = new_batch()

    wrong, right = await asyncio.gather(
        outbox.add(replace(batch, batch_id=b"short")), outbox.add(batch), return_exceptions=True
    )

    assert isinstance(wrong, ValueError)
    assert right is None


BROKEN = [
    "states = x'00'",
    "states = x'000009'",
    "states = 'abc'",
    "places = 7",
    "receipts = 'garbage'",
    "receipts = '[]'",
    "receipts = x'ff'",
    """receipts = '{"0": {}}'""",
    "states = x'000002'",
    """retries = '{"0": "soon"}'""",
    """retries = '{"7": [1, 2.0]}'""",
]


@pytest.mark.parametrize("change", BROKEN)
async def test_a_broken_row_is_set_aside_and_harms_nobody_else(
    file: SqliteFile, outbox: Outbox, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = new_batch(1, accepted_at=NOW - 1), new_batch(2)
    await outbox.add(broken)
    await outbox.add(sound)
    await spoil(file, broken, change)

    assert await claim_ids(outbox, limit=1) == [sound.batch_id]

    assert await outbox.pending_batches() == 1
    assert await outbox.next_due_at() == NOW + LEASE_S
    assert broken.batch_id.hex() in caplog.text


async def test_a_batch_that_lost_its_body_is_set_aside(
    file: SqliteFile, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    await outbox.add(new_batch())
    await file.write(lambda connection: connection.execute("DELETE FROM bodies").rowcount)

    assert await claim_ids(outbox) == []
    assert await outbox.next_due_at() is None
    assert "its body is missing" in caplog.text


async def test_progress_of_a_broken_row_does_not_stop_that_of_others(
    file: SqliteFile, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = new_batch(1), new_batch(2)
    await outbox.add(broken)
    await outbox.add(sound)
    await claim_ids(outbox)
    await spoil(file, broken, "states = x'00'")

    await outbox.record([all_ok(broken), all_ok(sound)])

    assert len(await receipts(outbox, sound)) == 3
    assert await outbox.pending_batches() == 0
    assert broken.batch_id.hex() in caplog.text


async def test_receipts_of_a_broken_row_are_left_out_and_those_of_others_found(
    file: SqliteFile, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = new_batch(1), new_batch(2)
    for batch in (broken, sound):
        await outbox.add(batch)
        await outbox.record([all_ok(batch)])
    await spoil(file, broken, "states = x'00'")
    ids = [ticket_id(batch.batch_id, 0) for batch in (broken, sound)]

    assert list(await outbox.receipts(ids, not_before=0.0)) == ids[1:]
    assert "can't be read" in caplog.text


async def test_the_reason_why_a_row_was_set_aside_stands_in_it(file: SqliteFile, outbox: Outbox) -> None:
    batch = new_batch()
    await outbox.add(batch)
    await spoil(file, batch, "states = x'00'")
    await claim_ids(outbox)

    ((why,),) = await file.read(lambda connection: connection.execute("SELECT broken FROM batches").fetchall())

    assert why == "the states of its 3 places are no 3 bytes of 0 to 3"


async def test_an_operator_can_read_receipts_and_retries_with_the_sqlite_shell(
    file: SqliteFile, outbox: Outbox
) -> None:
    batch = new_batch()
    await outbox.add(batch)
    await claim_ids(outbox)
    retry = Pending(place=1, attempts=2, due_at=NOW + 5)
    await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: ERROR_JSON}, retries=[retry])])

    ((found, retries),) = await file.read(
        lambda connection: connection.execute("SELECT receipts, retries FROM batches").fetchall()
    )

    assert json.loads(found) == {"0": json.loads(ERROR_JSON)}
    assert json.loads(retries) == {"1": [2, NOW + 5]}


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    done, pending = new_batch(1), new_batch(2)
    async with SqliteFile(tmp_path / "gateway.db", durability="power") as file:
        outbox = SqliteOutbox(file)
        await outbox.open()
        await outbox.add(done)
        await outbox.add(pending)
        await outbox.record([all_ok(done)])

    async with SqliteFile(tmp_path / "gateway.db", durability="power") as file:
        outbox = SqliteOutbox(file)
        await outbox.open()
        assert len(await receipts(outbox, done)) == 3
        assert await claim_ids(outbox) == [pending.batch_id]


async def test_tables_of_a_newer_program_are_refused(file: SqliteFile, outbox: Outbox) -> None:
    await file.write(lambda connection: connection.execute("INSERT INTO migrations VALUES ('outbox', 2)").rowcount)

    with pytest.raises(SettingsError, match=r"outbox tables have version 2, this program knows versions up to 1"):
        await SqliteOutbox(file).open()


async def test_a_store_that_is_full_accepts_nothing_and_recovers(
    file: SqliteFile, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    batch = new_batch(body=bytes(100_000))
    await set_max_pages(file, 1)
    with caplog.at_level(logging.ERROR), pytest.raises(StoreUnavailable, match="full"):
        await outbox.add(batch)
    assert "free some space" in caplog.text
    assert await outbox.pending_batches() == 0

    await set_max_pages(file, 1_000_000)
    await outbox.add(batch)

    assert await claim_ids(outbox) == [batch.batch_id]


async def set_max_pages(file: SqliteFile, pages: int) -> None:
    """As many as there are, when fewer. For the thread's connection, and for the loop's."""

    def limit(connection: sqlite3.Connection, _: object = None) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    await file.write(limit)
    await file.write_together(limit, None, size_bytes=0)


async def test_the_backlog_of_a_skipped_project_is_not_read(file: SqliteFile, outbox: Outbox) -> None:
    """By SQLite's own count of steps: 5,000 due batches take some 30,000 when they are passed one by one."""
    backlog = [new_batch(number, places=1, project_id="full", accepted_at=NOW - 9) for number in range(5000)]
    await asyncio.gather(*[outbox.add(batch) for batch in backlog])
    await outbox.add(new_batch(99_999, project_id="other"))
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    await file.write(lambda connection: connection.set_progress_handler(count, 100))
    assert len(await claim_ids(outbox, skip=["full"])) == 1

    assert steps < 10
