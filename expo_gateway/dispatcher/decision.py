"""What follows from an outcome: a receipt, or another attempt. Pure arithmetic.

Expo promises a receipt within 15 minutes (https://docs.expo.dev/push-notifications/sending-notifications/), so by
default retries end ten minutes after a message was accepted.
"""

import msgspec

from expo_gateway.protocol.message import PushMessage
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON, FailedReceipt, expo_error, held_receipt
from expo_gateway.providers.base import Accepted, Backoff, Outcome, Unsent

RETRY_BUDGET_S = 600.0
# Our choice: how long a "now or never" message may wait for a connection.
NOW_OR_NEVER_S = 30.0
# Our choice: a retry may begin so much later than it should; later still the gateway was down, and its time is over.
LATE_S = 60.0
# Our choice: retries spread over this part of their delay, never sooner than the provider asked.
JITTER = 0.25


# A Struct is made in a tenth of the time that a frozen dataclass takes, and every delivery has one.
class Window(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """When a delivery may be tried."""

    lapses_at: float | None
    """From then on it is not sent any more: its `ttl` or `expiration`. None: it has neither."""
    retry_until: float
    """No attempt after the first begins later than this."""
    once: bool
    """Now or never: one attempt; only what never reached the provider is tried again."""


class Final(msgspec.Struct, frozen=True, kw_only=True):
    receipt: bytes


class Again(msgspec.Struct, frozen=True, kw_only=True):
    due_at: float


DELIVERED = Final(receipt=RECEIPT_OK_JSON)


def delivered(outcome: Accepted, *, accepted_at: float) -> Final:
    """`accepted_at`: of the message, by us."""
    if outcome.receipt_after_s is None:
        return DELIVERED
    return Final(receipt=held_receipt(accepted_at + outcome.receipt_after_s))


def window(message: PushMessage, *, accepted_at: float, budget_s: float = RETRY_BUDGET_S) -> Window:
    """`ttl` takes precedence over `expiration`; 0 of either is "now or never", not "expired"."""
    if message.ttl is not None:
        lapses_at, once = accepted_at + message.ttl, message.ttl <= 0
    elif message.expiration is not None:
        lapses_at, once = float(message.expiration), message.expiration <= 0
    else:
        return Window(lapses_at=None, retry_until=accepted_at + budget_s, once=False)
    if once:
        lapses_at = accepted_at + NOW_OR_NEVER_S
        return Window(lapses_at=lapses_at, retry_until=lapses_at, once=True)
    return Window(lapses_at=lapses_at, retry_until=min(accepted_at + budget_s, lapses_at), once=False)


def is_over(window: Window, *, attempts: int, now: float) -> bool:
    """Whether it is too late for another attempt. `attempts` were made."""
    if window.lapses_at is not None and now >= window.lapses_at:
        return True
    return attempts > 0 and now > window.retry_until + LATE_S


def decide(outcome: Outcome, *, window: Window, attempts: int, now: float, jitter: float) -> Final | Again:
    """`attempts` counts this one. `jitter` is a random number in [0, 1)."""
    if isinstance(outcome, Accepted):
        return DELIVERED
    final = Final(receipt=outcome.receipt.to_json(sent_at=now))
    if outcome.backoff is None or (window.once and not isinstance(outcome, Unsent)):
        return final
    if outcome.backoff.max_attempts is not None and attempts >= outcome.backoff.max_attempts:
        return final
    due_at = retry_at(now=now, attempts=attempts, backoff=outcome.backoff, jitter=jitter)
    # At once: that is no retry, but the other half of the same try.
    in_time = outcome.backoff.first_s == 0 or due_at <= window.retry_until
    return Again(due_at=due_at) if in_time else final


def retry_at(*, now: float, attempts: int, backoff: Backoff, jitter: float) -> float:
    """When attempt `attempts` + 1 is due."""
    delay_s = min(backoff.first_s * backoff.factor ** min(attempts - 1, 64), backoff.cap_s)
    delay_s *= 1 + JITTER * jitter
    return now + max(delay_s, backoff.retry_after_s or 0.0)


def lapsed() -> FailedReceipt:
    """The delivery's time ran out before it could be tried (again). Assumed: Expo's words for it are not known."""
    return expo_error("The notification expired before it could be delivered to the push notification service.")
