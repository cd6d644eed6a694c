"""Who watches deliveries go their way: what the dispatcher tells of each step. Nobody may watch, and then it costs
nothing but asking that.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

from expo_gateway.outbox.base import Claim
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.device import Device
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.message import PushMessage
from expo_gateway.protocol.ticket import BatchId
from expo_gateway.providers.base import Outcome

HeldBy = Literal["lapsed", "paused", "breaker"]
"""Its time is over, its project was told to wait, its credential is refused."""


class DeliveryObserver(Protocol):
    """Called in the event loop, between two steps of a delivery. No method raises or takes long."""

    def claimed(
        self, claim: Claim, *, place: int, message: PushMessage, push_token: str, device: Device | None
    ) -> None:
        """A place of the claim is due. `device` is None when it was forgotten meanwhile."""
        ...

    def attempt_started(self, ticket_id: str, *, n: int, request: ApnsRequest | FcmRequest | LocalRequest) -> None:
        """The request goes to the provider. Attempts are numbered from 1."""
        ...

    def attempt_ended(self, ticket_id: str, *, n: int, outcome: Outcome) -> None:
        """An attempt that never started was refused here, without a request."""
        ...

    def held(self, ticket_id: str, *, by: HeldBy) -> None:
        """It is due and not sent now. A receipt or a later due time follows."""
        ...

    def due_again(self, ticket_id: str, *, due_at: float) -> None: ...

    def settled(self, batch_id: BatchId, receipts: Mapping[int, bytes]) -> None:
        """Receipt JSON by place, in the outbox by now: whoever asks for it gets it."""
        ...

    def expired(self, *, before: float) -> None:
        """The outbox has forgotten batches that were accepted before this instant, settled or not."""
        ...
