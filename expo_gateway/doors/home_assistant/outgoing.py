"""What waits to be sent on one WebSocket, under Home Assistant's bounds. Whoever reads too slowly is let go.

Source of the bounds: homeassistant/components/websocket_api/const.py.
"""

import asyncio
from collections.abc import Callable
from typing import Final

MAX_FRAMES: Final = 4096
PEAK_FRAMES: Final = 1024
PEAK_S: Final = 10.0
# Ours: so many large notifications as small ones are no more than this.
MAX_BYTES: Final = 4 * 1024 * 1024


class Outgoing:
    """Frames in order. `on_overflow` is called once, when they are too many; from then on nothing is kept."""

    def __init__(self, *, monotonic: Callable[[], float], on_overflow: Callable[[], None]) -> None:
        self._monotonic = monotonic
        self._on_overflow = on_overflow
        self._frames: list[bytes] = []
        self._size_bytes = 0
        self._peak_since: float | None = None
        self._changed = asyncio.Event()
        self._is_over = False

    def put(self, frame: bytes) -> None:
        """Never waits."""
        if self._is_over:
            return
        self._frames.append(frame)
        self._size_bytes += len(frame)
        self._changed.set()
        if self._is_too_much():
            self._frames.clear()
            self.end()
            self._on_overflow()

    async def take(self) -> list[bytes]:
        """All that wait, once there are any. Empty: there will be no more."""
        while not self._frames and not self._is_over:
            self._changed.clear()
            await self._changed.wait()
        frames, self._frames = self._frames, []
        self._size_bytes = 0
        self._peak_since = None
        return frames

    def end(self) -> None:
        """What waits may still be taken."""
        self._is_over = True
        self._changed.set()

    def _is_too_much(self) -> bool:
        if len(self._frames) > PEAK_FRAMES and self._peak_since is None:
            self._peak_since = self._monotonic()
        is_peak_long = self._peak_since is not None and self._monotonic() - self._peak_since > PEAK_S
        return len(self._frames) >= MAX_FRAMES or self._size_bytes > MAX_BYTES or is_peak_long
