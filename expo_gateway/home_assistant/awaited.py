"""Tickets whose receipts are still to come, by whom they were for: in memory, so that nothing but counts is kept.

What a restart forgets counts as delivered.
"""

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

# Our choice: some 5 MB. Whoever has waited longest is forgotten first.
MAX_TICKETS: Final = 50_000
# Our choice: twice what the official relay lets through on a day.
MAX_TICKETS_EACH: Final = 1_000


class Awaited:
    """By key and day: what is of another day counts no more."""

    def __init__(self) -> None:
        self._tickets: OrderedDict[tuple[bytes, int], list[str]] = OrderedDict()
        self._count = 0

    def add(self, key: bytes, *, day: int, tickets: Collection[str]) -> None:
        if not tickets:
            return
        of_key = self._tickets.setdefault((key, day), [])
        of_key.extend(tickets)
        self._count += len(tickets)
        excess = max(0, len(of_key) - MAX_TICKETS_EACH)
        del of_key[:excess]
        self._count -= excess
        while self._count > MAX_TICKETS:
            _, oldest = self._tickets.popitem(last=False)
            self._count -= len(oldest)

    def take(self, key: bytes, *, day: int) -> list[str]:
        """All of them; whoever takes them adds back what still has no receipt."""
        tickets = self._tickets.pop((key, day), [])
        self._count -= len(tickets)
        return tickets
