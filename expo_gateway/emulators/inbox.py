"""What the emulators received: captures, newest last, bounded."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct

# Our choice: a day of manual testing; about 4 MB at APNs' largest payload.
MAX_CAPTURES = 1000


class Capture(Struct, frozen=True, kw_only=True):
    """One request that an emulator answered, as it stood on the wire."""

    emulator: Literal["apns", "fcm"]
    received_at: float
    path: str
    headers: tuple[tuple[str, str], ...]
    """As received: order, case and repeats kept. The value of `authorization` is cut to its scheme."""
    body: bytes
    device_token: str
    """"" when the request named none."""
    status: int
    """The HTTP status of the answer; 0 when a fault left the request without one."""
    reason: str
    """Provider's error code, "" when the push was accepted."""
    answer_id: str
    """apns-id or FCM message name of the answer, "" when there was none."""


class Inbox:
    """A bounded list of captures, numbered from 1. When it is full the oldest goes; `dropped` counts those."""

    def __init__(self, *, max_captures: int = MAX_CAPTURES) -> None:
        self.max_captures = max_captures
        self._captures: dict[int, Capture] = {}
        self.received = 0
        self.dropped = 0

    def add(self, capture: Capture) -> None:
        self.received += 1
        self._captures[self.received] = capture
        if len(self._captures) > self.max_captures:
            del self._captures[next(iter(self._captures))]
            self.dropped += 1

    def get(self, number: int) -> Capture | None:
        return self._captures.get(number)

    def numbered(self, *, after: int = 0) -> list[tuple[int, Capture]]:
        """Those with a higher number than `after`, the oldest first."""
        return [(number, capture) for number, capture in self._captures.items() if number > after]

    def remove(self, numbers: Iterable[int]) -> int:
        """Forget these captures. Returns how many went."""
        return sum(self._captures.pop(number, None) is not None for number in tuple(numbers))

    def put(self, captures: Mapping[int, Capture]) -> None:
        """Keep these and nothing else, by their numbers, in their order; at most `max_captures`."""
        self.clear()
        self._captures.update(captures)
        self.received = max(self.received, *captures, 0)

    def clear(self) -> None:
        """Numbers go on from where they were."""
        self._captures.clear()
        self.dropped = 0

    def __iter__(self) -> Iterator[Capture]:
        return iter(tuple(self._captures.values()))

    def __len__(self) -> int:
        return len(self._captures)

    def accepted(self) -> list[Capture]:
        return [capture for capture in self._captures.values() if capture.status == 200]
