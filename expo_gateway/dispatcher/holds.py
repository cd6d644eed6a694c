"""What keeps deliveries from being sent: a pause of a project, a breaker of a credential. No clock of its own."""

from collections import Counter

from msgspec import Struct

from expo_gateway.protocol.device import Platform
from expo_gateway.protocol.receipt import FailedReceipt

Key = tuple[str, Platform]
"""One credential: see `sender.credential_key`."""

# Our choice: a refused credential is asked again after this long, then after twice as long, up to the last.
BREAKER_FIRST_S = 5.0
BREAKER_CAP_S = 300.0


class Pause(Struct, frozen=True, kw_only=True):
    """Everything sent with the credential waits."""

    until: float
    receipt: FailedReceipt
    """The receipt of a delivery that can't wait so long."""


class _Open(Struct):
    receipt: FailedReceipt
    until: float
    span_s: float
    probing: bool = False
    """One delivery was let through to see whether the credential works by now."""


class Holds:
    """Pauses and breakers of all credentials."""

    def __init__(self) -> None:
        self._pauses: dict[Key, Pause] = {}
        self._open: dict[Key, _Open] = {}

    def pause(self, key: Key, *, now: float) -> Pause | None:
        """The pause that the credential has now."""
        pause = self._pauses.get(key)
        if pause is not None and pause.until <= now:
            del self._pauses[key]
            return None
        return pause

    def start_pause(self, key: Key, pause: Pause) -> None:
        """The provider asked everything to wait. A later pause never shortens an earlier one."""
        before = self._pauses.get(key)
        if before is None or pause.until > before.until:
            self._pauses[key] = pause

    def refusal(self, key: Key, *, now: float) -> FailedReceipt | None:
        """The receipt that every delivery gets while the credential's breaker is open.

        When its time is over one delivery is let through, and the others are refused until that one is back.
        """
        breaker = self._open.get(key)
        if breaker is None:
            return None
        if now < breaker.until:
            return breaker.receipt
        breaker.until = now + breaker.span_s
        breaker.probing = True
        return None

    def credential_refused(self, key: Key, receipt: FailedReceipt, *, now: float) -> None:
        """Open the breaker; after a probe that failed, for twice as long as before.

        Refusals of what was in flight when it opened change nothing.
        """
        before = self._open.get(key)
        if before is not None and not before.probing:
            return
        span_s = BREAKER_FIRST_S if before is None else min(before.span_s * 2, BREAKER_CAP_S)
        self._open[key] = _Open(receipt=receipt, until=now + span_s, span_s=span_s)

    def credential_works(self, key: Key) -> None:
        self._open.pop(key, None)

    def clear(self) -> None:
        self._pauses.clear()
        self._open.clear()

    def paused(self, *, now: float) -> Counter[Platform]:
        """How many credentials have a pause now."""
        return Counter(platform for (_, platform), pause in self._pauses.items() if pause.until > now)

    def refused(self) -> Counter[Platform]:
        """How many credentials have an open breaker."""
        return Counter(platform for _, platform in self._open)
