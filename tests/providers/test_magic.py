"""Magic devices before a provider: what the emulator says is final, and about nothing else."""

import math

import pytest

from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.protocol.magic import REFUSED_BY_PROVIDER, Magic, MagicKind
from expo_gateway.protocol.receipt import ReceiptError, apns_dropped, apns_refused, expo_error
from expo_gateway.providers.base import Accepted, Backoff, Outcome, Rejected, Scope, Unsent
from expo_gateway.providers.magic import MagicProvider, fixed

REFUSED = Rejected(
    reason="TooManyRequests",
    status=429,
    receipt=apns_refused(ReceiptError.MESSAGE_RATE_EXCEEDED, reason="TooManyRequests", status=429),
    backoff=Backoff(first_s=1),
    scope=Scope.CREDENTIAL,
    device_gone=True,
)
UNSENT = Unsent(why="", receipt=apns_dropped(), backoff=Backoff(first_s=1))


class Scripted:
    """A provider that gives one outcome."""

    emulated = True

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.sent: list[str] = []
        self.closed = False

    async def send(self, request: FcmRequest) -> Outcome:
        self.sent.append(request.device_token)
        return self.outcome

    async def close(self) -> None:
        self.closed = True


def request(device_token: str) -> FcmRequest:
    return FcmRequest(device_token=device_token, notification=None, data={}, android={})


@pytest.mark.parametrize("kind", sorted(REFUSED_BY_PROVIDER))
def test_a_refusal_is_final_and_harms_no_other(kind: MagicKind) -> None:
    outcome = fixed(REFUSED, Magic(kind=kind))

    assert outcome == Rejected(reason="TooManyRequests", status=429, receipt=REFUSED.receipt)


def test_a_refusal_that_is_not_the_kinds_own_is_like_any() -> None:
    assert fixed(REFUSED, Magic(kind=MagicKind.PENDING, receipt_after_s=math.inf)) is REFUSED


def test_what_was_not_answered_is_tried_again() -> None:
    assert fixed(UNSENT, Magic(kind=MagicKind.TOO_BIG)) is UNSENT


def test_a_push_that_is_taken_tells_when_its_receipt_is_shown() -> None:
    outcome = fixed(Accepted(provider_id="x"), Magic(kind=MagicKind.AFTER, receipt_after_s=30.0))

    assert outcome == Accepted(provider_id="x", receipt_after_s=30.0)


async def test_an_ordinary_push_goes_through_as_it_is() -> None:
    scripted = Scripted(REFUSED)

    assert await MagicProvider(scripted).send(request("ordinary")) is REFUSED


async def test_an_expo_error_is_made_without_the_provider() -> None:
    scripted = Scripted(Accepted())

    outcome = await MagicProvider(scripted).send(request("magic-expo-1:APA91b"))

    assert isinstance(outcome, Rejected)
    assert outcome.receipt.error is expo_error("").error
    assert scripted.sent == []


async def test_it_closes_what_it_stands_before() -> None:
    scripted = Scripted(Accepted())

    await MagicProvider(scripted).close()

    assert scripted.closed
