"""What was acknowledged survives kill -9."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from expo_gateway.protocol.ticket import ticket_id
from expo_gateway.sqlite_connection import Durability
from expo_gateway.sqlite_file import SqliteFile

ACKNOWLEDGED = 300


def acknowledged_before_kill(path: Path, durability: Durability) -> list[tuple[bytes, str]]:
    """(batch id, "added" or "recorded") of all that a writer said before it was killed in the midst of it."""
    command = [sys.executable, "-m", "tests.outbox.crash_writer", str(path), durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        try:
            lines = list(islice(writer.stdout, ACKNOWLEDGED))
        finally:
            writer.kill()
        lines += [line for line in writer.stdout if line.endswith("\n")]
    return [(bytes.fromhex(line.split()[0]), line.split()[1]) for line in lines]


@pytest.mark.parametrize("durability", ["process", "power"])
async def test_every_acknowledged_write_is_there_after_a_kill(tmp_path: Path, durability: Durability) -> None:
    said = acknowledged_before_kill(tmp_path / "gateway.db", durability)
    added = {batch_id for batch_id, what in said if what == "added"}
    recorded = [ticket_id(batch_id, 1) for batch_id, what in said if what == "recorded"]
    assert len(said) >= ACKNOWLEDGED

    async with SqliteFile(tmp_path / "gateway.db", durability=durability) as file:
        outbox = SqliteOutbox(file)
        await outbox.open()
        claims = await outbox.claim(now=1e11, lease_s=1.0, limit=10_000)
        found = await outbox.receipts(recorded, not_before=0.0)

    assert added <= {claim.batch_id for claim in claims}
    assert all(claim.body == claim.batch_id * 300 for claim in claims)
    assert found == dict.fromkeys(recorded, RECEIPT_OK_JSON)
