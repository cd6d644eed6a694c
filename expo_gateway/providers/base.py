"""What every provider gives back, and how the dispatcher may go on.

Accepted    the provider took the push
Rejected    the provider answered no
Unsent      the push never reached the provider, or was refused unprocessed: safe to send again
Uncertain   the push left and no answer came: sending again may deliver twice
"""

from enum import Enum
from typing import Protocol, TypeVar

from msgspec import Struct

from expo_gateway.protocol.receipt import FailedReceipt

Request = TypeVar("Request", contravariant=True)


class Scope(Enum):
    """What has to wait, or is broken, after a refusal."""

    DELIVERY = "delivery"
    PROJECT = "project"
    CREDENTIAL = "credential"


class Backoff(Struct, frozen=True, kw_only=True):
    """When to try again: `first_s` × `factor` ** (attempts - 1), at most `cap_s`, with jitter.

    `retry_after_s` is the provider's own word and beats the arithmetic; it is a lower bound, without a cap.
    `max_attempts` counts all attempts of the delivery; None leaves the end to the time budget.
    """

    first_s: float
    factor: float = 2.0
    cap_s: float = 600.0
    retry_after_s: float | None = None
    max_attempts: int | None = None


class Accepted(Struct, frozen=True, kw_only=True):
    provider_id: str = ""
    """APNs: `apns-unique-id` or "". FCM: the message name."""
    receipt_after_s: float | None = None
    """Magic devices: when the receipt is shown, in seconds after the message was accepted; inf: never."""


class Rejected(Struct, frozen=True, kw_only=True):
    """The provider answered no. Without `backoff` that is final and `receipt` is the delivery's receipt."""

    reason: str
    """The provider's own code, for logs and metrics."""
    status: int
    receipt: FailedReceipt
    backoff: Backoff | None = None
    scope: Scope = Scope.DELIVERY
    """PROJECT: everything of the project waits. CREDENTIAL: the credential is refused, whatever is sent with it."""
    device_gone: bool = False
    gone_at: float | None = None
    """When the provider says that the device token died: Unix seconds; None when it does not say."""


class Unsent(Struct, frozen=True, kw_only=True):
    why: str
    receipt: FailedReceipt
    """The delivery's receipt if time runs out."""
    backoff: Backoff


class Uncertain(Struct, frozen=True, kw_only=True):
    why: str
    receipt: FailedReceipt
    backoff: Backoff


Outcome = Accepted | Rejected | Unsent | Uncertain


class Provider(Protocol[Request]):
    """Sends one request and says what came of it."""

    @property
    def emulated(self) -> bool:
        """Whether it speaks to our own emulator. Virtual devices are sent to emulated providers only."""
        ...

    async def send(self, request: Request) -> Outcome:
        """Never raises but for cancellation, and always ends: the provider keeps its own deadline."""
        ...

    async def close(self) -> None:
        """Let go of connections. What is in flight ends as Uncertain."""
        ...
