"""What the emulators received: captures, newest last, bounded."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

# Our choice: a day of manual testing; about 4 MB at APNs' largest payload.
MAX_CAPTURES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
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
    """A bounded list of captures. When it is full the oldest goes; `dropped` counts those."""

    def __init__(self, *, max_captures: int = MAX_CAPTURES) -> None:
        self._captures: deque[Capture] = deque(maxlen=max_captures)
        self.received = 0

    @property
    def dropped(self) -> int:
        return self.received - len(self._captures)

    def add(self, capture: Capture) -> None:
        self.received += 1
        self._captures.append(capture)

    def __iter__(self) -> Iterator[Capture]:
        return iter(tuple(self._captures))

    def __len__(self) -> int:
        return len(self._captures)

    def accepted(self) -> list[Capture]:
        return [capture for capture in self._captures if capture.status == 200]
