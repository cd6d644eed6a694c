"""Batches of which every open delivery waits for a phone to confirm a local push, or for the phone's own push_url.

Either has ten seconds for that. Nothing is done for such a batch meanwhile, so it takes no place from others; how many
there are at once is the provider's to bound (`providers/channels.py`, `providers/local.py`).
"""

from collections import Counter
from collections.abc import Callable
from typing import Protocol


class Batch(Protocol):
    project_id: str
    left: int
    """Deliveries that are open."""
    phones: int
    """Those of them that wait for a phone."""
    is_parked: bool


class Parked:
    """How many there are. `look` at a batch whenever one of its numbers has changed."""

    def __init__(self) -> None:
        self.batches = 0
        self.batches_of: Counter[str] = Counter()
        """By project."""
        self.on_parked: Callable[[], object] = lambda: None
        """There is a place for somebody else."""

    def look(self, batch: Batch) -> None:
        if (0 < batch.left == batch.phones) is not batch.is_parked:
            self._turn(batch)

    def drop(self, batch: Batch) -> None:
        """It is worked on no more."""
        if batch.is_parked:
            self._turn(batch)

    def _turn(self, batch: Batch) -> None:
        batch.is_parked = not batch.is_parked
        change = 1 if batch.is_parked else -1
        self.batches += change
        self.batches_of[batch.project_id] += change
        if not self.batches_of[batch.project_id]:
            del self.batches_of[batch.project_id]
        if batch.is_parked:
            self.on_parked()
