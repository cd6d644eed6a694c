"""The clock of a run: real time, moved or stood still as a test wants it. For one event loop.

Everything in a run that asks for the time asks its clock; deadlines of sockets are the loop's.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

# Our choice: ticket ids hold 48 bits of milliseconds, and the day before every instant must exist as well.
EARLIEST_AT: Final = 31_536_000.0
"""1971-01-01"""
LATEST_AT: Final = 7_258_118_400.0
"""2200-01-01"""


class RunClock:
    """Instants are Unix seconds. `real` is where time comes from while the clock goes.

    ValueError: the clock would stand outside of EARLIEST_AT to LATEST_AT; it is left as it was.
    """

    def __init__(self, *, real: Callable[[], float] = time.time) -> None:
        self._real = real
        self._offset_s = 0.0
        self._frozen_at: float | None = None
        self._changed = asyncio.Event()
        self._watchers: list[Callable[[], None]] = []

    def now(self) -> float:
        return self._real() + self._offset_s if self._frozen_at is None else self._frozen_at

    @property
    def is_frozen(self) -> bool:
        return self._frozen_at is not None

    @property
    def offset_s(self) -> float:
        """How far ahead of real time it is; negative: behind."""
        return self._offset_s if self._frozen_at is None else self._frozen_at - self._real()

    # -- changes ----------------------------------------------------------------------------------------------------

    def freeze(self, at: float | None = None) -> None:
        """Stand still, at this instant or where the clock is."""
        self._frozen_at = _checked(self.now() if at is None else at)
        self._has_changed()

    def advance(self, seconds: float) -> None:
        """Go forward at once; a clock that is frozen stays so. ValueError: that is backwards, which `set` can do."""
        if seconds < 0:
            raise ValueError(f"a clock advances by 0 seconds or more, not by {seconds}")
        self.set(self.now() + seconds)

    def set(self, at: float) -> None:
        """Show this instant, and go on from there unless frozen. It may be one that has passed."""
        at = _checked(at)
        if self._frozen_at is None:
            self._offset_s = at - self._real()
        else:
            self._frozen_at = at
        self._has_changed()

    def resume(self) -> None:
        """Go on from where the clock was frozen. Nothing happens to one that goes."""
        if self._frozen_at is not None:
            self._offset_s, self._frozen_at = self._frozen_at - self._real(), None
            self._has_changed()

    def go_by_real_time(self) -> None:
        """As at the start."""
        self._offset_s, self._frozen_at = 0.0, None
        self._has_changed()

    def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` after every change, for as long as the clock lives. It must not raise."""
        self._watchers.append(wake)

    def _has_changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        for wake in self._watchers:
            wake()

    # -- waiting ----------------------------------------------------------------------------------------------------

    async def wait_until(self, at: float, *, timeout_s: float) -> bool:
        """Whether this clock came to `at` within `timeout_s`, which are seconds of the loop. True at once if it has."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_s
        while (left_s := at - self.now()) > 0:
            patience_s = give_up_at - loop.time()
            if patience_s <= 0:
                return False
            await self._change_within(patience_s if self.is_frozen else min(left_s, patience_s))
        return True

    async def _change_within(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return


def _checked(at: float) -> float:
    if not EARLIEST_AT <= at <= LATEST_AT:  # which is also false of NaN
        raise ValueError(f"a clock shows {EARLIEST_AT:.0f} to {LATEST_AT:.0f} Unix seconds (1971 to 2200), not {at}")
    return float(at)
