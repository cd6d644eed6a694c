"""What an answer of APNs, or the lack of one, means for a delivery. Pure.

Source: Apple, "Handling notification responses from APNs",
https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

from dataclasses import dataclass

import orjson

from expo_gateway.protocol.receipt import ReceiptError, apns_dropped, apns_refused
from expo_gateway.providers.base import Accepted, Backoff, Outcome, Rejected, Scope, Uncertain, Unsent

EXPIRED_PROVIDER_TOKEN = "ExpiredProviderToken"
UNRELATED_KEY = "UnrelatedKeyIdInToken"
TOO_MANY_TOKEN_UPDATES = "TooManyProviderTokenUpdates"

# Refused before anything was done with the push: another connection takes it.
UNPROCESSED = frozenset({"IdleTimeout", "Shutdown"})
# After these the connection is good for nothing more. Apple binds it to the first key, and seen in the forums
# (developer.apple.com/forums/thread/702056): one with too many token updates stays unusable for a while.
ENDS_CONNECTION = UNPROCESSED | {UNRELATED_KEY, TOO_MANY_TOKEN_UPDATES}

# The key, the team or the certificate is wrong, whatever is sent with it. Apple documents the first spelling of
# BadEnvironmentKey…InToken and answers with the second (APNSwift issue 229).
CREDENTIAL_REFUSED = frozenset(
    {
        "InvalidProviderToken",
        "MissingProviderToken",
        "BadCertificate",
        "BadCertificateEnvironment",
        "BadEnvironmentKeyIdInToken",
        "BadEnvironmentKeyInToken",
        "Forbidden",
        # Those two come here only when the provider's own second try was refused as well.
        EXPIRED_PROVIDER_TOKEN,
        UNRELATED_KEY,
    }
)

# Never reached APNs: soon again, on another connection.
UNSENT_BACKOFF = Backoff(first_s=1, cap_s=60)
# Apple: "After 15 minutes, you can retry" a 5xx with back-off; Expo's receipt is due within 15, so we start sooner.
SERVER_BACKOFF = Backoff(first_s=2, cap_s=300)
# Too many pushes to one device: 1, 4, 16 and 60 seconds later, then no more.
DEVICE_RATE_BACKOFF = Backoff(first_s=1, factor=4, cap_s=60, max_attempts=5)
# Apple lets 20 minutes pass before a connection may change its token, longer than any delivery may wait. A new
# connection starts afresh, so we ask from one a minute later and then ever more rarely, with the same token.
TOKEN_UPDATES_BACKOFF = Backoff(first_s=60, cap_s=1200)

# Our choice: more than any reason or any text of a proxy that is worth a log line.
MAX_REASON_CHARS = 64
NO_REASON = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsAnswer:
    """A complete answer, read but not judged."""

    status: int
    """0 when `:status` was no number."""
    reason: str = ""
    """NO_REASON when the body of an error names none."""
    timestamp_ms: int | None = None
    """With 410: when APNs found the device token dead."""
    unique_id: str = ""
    """`apns-unique-id`; the sandbox only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounced:
    """A connection gave the push back unprocessed (RFC 9113, section 8.7): another one may take it at once."""

    why: str


Reply = ApnsAnswer | Bounced | Unsent | Uncertain
"""What a pool has to say about a push, before the provider has tried what can be tried at once."""


def read_answer(*, status: bytes, body: bytes, unique_id: bytes = b"") -> ApnsAnswer:
    """The answer in our types. Never fails: proxies answer in HTML, and broken servers in anything."""
    code = int(status) if status.isdigit() else 0
    unique = unique_id.decode("latin-1")
    if code == 200:
        return ApnsAnswer(status=code, unique_id=unique)
    said = _json_object(body)
    reason, timestamp_ms = said.get("reason"), said.get("timestamp")
    return ApnsAnswer(
        status=code,
        reason=reason[:MAX_REASON_CHARS] if isinstance(reason, str) and reason else NO_REASON,
        timestamp_ms=timestamp_ms if type(timestamp_ms) is int else None,
        unique_id=unique,
    )


def _json_object(body: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def go_away_reason(payload: bytes | None) -> str:
    """The reason in a GOAWAY frame: `{"reason":"…"}`; NO_REASON when there is none."""
    reason = _json_object(payload or b"").get("reason")
    return reason[:MAX_REASON_CHARS] if isinstance(reason, str) and reason else NO_REASON


def outcome_of(reply: Reply) -> Outcome:
    """What the reply means, once nothing more can be done about it at once."""
    if isinstance(reply, ApnsAnswer):
        return _judged(reply)
    return unsent(reply.why) if isinstance(reply, Bounced) else reply


def _judged(answer: ApnsAnswer) -> Outcome:
    status, reason = answer.status, answer.reason
    if status == 200:
        return Accepted(provider_id=answer.unique_id)
    if status < 400:
        # Nothing that APNs documents, so nobody knows whether the push went on.
        return uncertain(f"unexpected status {status}")
    if reason in UNPROCESSED:
        return _unprocessed(answer)
    if status >= 500:
        return _rejected(answer, ReceiptError.PROVIDER_ERROR, backoff=SERVER_BACKOFF)
    if reason == TOO_MANY_TOKEN_UPDATES:
        return _rejected(answer, ReceiptError.PROVIDER_ERROR, backoff=TOKEN_UPDATES_BACKOFF, scope=Scope.CREDENTIAL)
    if reason in CREDENTIAL_REFUSED:
        return _rejected(answer, ReceiptError.INVALID_CREDENTIALS, scope=Scope.CREDENTIAL)
    return _refused_push(answer)


def _refused_push(answer: ApnsAnswer) -> Rejected:
    """APNs has something against this push or this device. BadDeviceToken is Expo's DeveloperError, as was seen."""
    match answer.status:
        case 410:
            return _gone(answer)
        case 413:
            return _rejected(answer, ReceiptError.MESSAGE_TOO_BIG)
        case 429:
            return _rejected(answer, ReceiptError.MESSAGE_RATE_EXCEEDED, backoff=DEVICE_RATE_BACKOFF)
        case _:
            return _rejected(answer, ReceiptError.DEVELOPER_ERROR)


def _rejected(
    answer: ApnsAnswer, error: ReceiptError, *, backoff: Backoff | None = None, scope: Scope = Scope.DELIVERY
) -> Rejected:
    return Rejected(
        reason=answer.reason,
        status=answer.status,
        receipt=apns_refused(error, reason=answer.reason, status=answer.status),
        backoff=backoff,
        scope=scope,
    )


def _gone(answer: ApnsAnswer) -> Rejected:
    return Rejected(
        reason=answer.reason,
        status=answer.status,
        receipt=apns_refused(ReceiptError.DEVICE_NOT_REGISTERED, reason=answer.reason, status=answer.status),
        device_gone=True,
        gone_at=None if answer.timestamp_ms is None else answer.timestamp_ms / 1000,
    )


def refused_here(reason: str, *, status: int = 400) -> Rejected:
    """Refused by ourselves, in APNs' words: what it would have said, had sending it been safe."""
    return _rejected(ApnsAnswer(status=status, reason=reason), ReceiptError.DEVELOPER_ERROR)


def unsent(why: str) -> Unsent:
    return Unsent(why=why, receipt=apns_dropped(), backoff=UNSENT_BACKOFF)


def uncertain(why: str) -> Uncertain:
    return Uncertain(why=why, receipt=apns_dropped(), backoff=SERVER_BACKOFF)


def _unprocessed(answer: ApnsAnswer) -> Unsent:
    return Unsent(
        why=f"APNs answered {answer.status} {answer.reason}",
        receipt=apns_refused(ReceiptError.PROVIDER_ERROR, reason=answer.reason, status=answer.status),
        backoff=UNSENT_BACKOFF,
    )
