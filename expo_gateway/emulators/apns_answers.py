"""Every answer that APNs gives: the reasons with their statuses, and how an answer stands on the wire.

Source: Apple, "Handling notification responses from APNs",
https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

from collections.abc import Mapping
from enum import Enum

import orjson
from msgspec import Struct

from expo_gateway.emulators.faults import Answer


class ApnsReason(Enum):
    """Apple's error codes: (the word on the wire, HTTP status).

    Those that no single request brings about (IdleTimeout, TooManyRequests, 5xx, ...) are here to be scripted.
    """

    BAD_COLLAPSE_ID = ("BadCollapseId", 400)
    BAD_DEVICE_TOKEN = ("BadDeviceToken", 400)
    BAD_EXPIRATION_DATE = ("BadExpirationDate", 400)
    BAD_MESSAGE_ID = ("BadMessageId", 400)
    BAD_PRIORITY = ("BadPriority", 400)
    BAD_TOPIC = ("BadTopic", 400)
    DEVICE_TOKEN_NOT_FOR_TOPIC = ("DeviceTokenNotForTopic", 400)
    DUPLICATE_HEADERS = ("DuplicateHeaders", 400)
    IDLE_TIMEOUT = ("IdleTimeout", 400)
    INVALID_PUSH_TYPE = ("InvalidPushType", 400)
    MISSING_DEVICE_TOKEN = ("MissingDeviceToken", 400)
    MISSING_TOPIC = ("MissingTopic", 400)
    PAYLOAD_EMPTY = ("PayloadEmpty", 400)
    TOPIC_DISALLOWED = ("TopicDisallowed", 400)
    BAD_CERTIFICATE = ("BadCertificate", 403)
    BAD_CERTIFICATE_ENVIRONMENT = ("BadCertificateEnvironment", 403)
    # Documented as BadEnvironmentKeyIdInToken; this is what production answers (APNSwift issue 229).
    BAD_ENVIRONMENT_KEY_IN_TOKEN = ("BadEnvironmentKeyInToken", 403)
    EXPIRED_PROVIDER_TOKEN = ("ExpiredProviderToken", 403)
    FORBIDDEN = ("Forbidden", 403)
    INVALID_PROVIDER_TOKEN = ("InvalidProviderToken", 403)
    MISSING_PROVIDER_TOKEN = ("MissingProviderToken", 403)
    UNRELATED_KEY_ID_IN_TOKEN = ("UnrelatedKeyIdInToken", 403)
    BAD_PATH = ("BadPath", 404)
    METHOD_NOT_ALLOWED = ("MethodNotAllowed", 405)
    EXPIRED_TOKEN = ("ExpiredToken", 410)
    UNREGISTERED = ("Unregistered", 410)
    PAYLOAD_TOO_LARGE = ("PayloadTooLarge", 413)
    TOO_MANY_PROVIDER_TOKEN_UPDATES = ("TooManyProviderTokenUpdates", 429)
    TOO_MANY_REQUESTS = ("TooManyRequests", 429)
    INTERNAL_SERVER_ERROR = ("InternalServerError", 500)
    SERVICE_UNAVAILABLE = ("ServiceUnavailable", 503)
    SHUTDOWN = ("Shutdown", 503)

    def __init__(self, wire: str, status: int) -> None:
        self.wire = wire
        self.status = status


class Refusal(Struct, frozen=True, kw_only=True):
    reason: ApnsReason
    timestamp_ms: int | None = None
    """With 410 only: when APNs found the device token dead."""


class Reply(Struct, frozen=True, kw_only=True):
    """An answer ready for the wire. Without chunks it is HEADERS with END_STREAM, as Apple's 200 is."""

    status: int
    reason: str
    """"" when the push was accepted."""
    apns_id: str
    headers: tuple[tuple[bytes, bytes], ...]
    chunks: tuple[bytes, ...] = ()
    """The body, one DATA frame each."""
    proves_token: bool = False
    """The provider token was valid, whatever became of the push."""


def accepted_reply(*, apns_id: str, unique_id: str | None) -> Reply:
    """`unique_id` is given in the sandbox only, where it names the push in the Push Notifications Console."""
    headers = {b":status": b"200", b"apns-id": apns_id.encode("latin-1")}
    if unique_id is not None:
        headers[b"apns-unique-id"] = unique_id.encode("latin-1")
    return Reply(status=200, reason="", apns_id=apns_id, headers=tuple(headers.items()), proves_token=True)


def refused_reply(refusal: Refusal, *, apns_id: str, proves_token: bool) -> Reply:
    status, reason = refusal.reason.status, refusal.reason.wire
    body = error_json(reason, timestamp_ms=refusal.timestamp_ms)
    headers = tuple(_error_headers(status, apns_id=apns_id).items())
    return Reply(
        status=status, reason=reason, apns_id=apns_id, headers=headers, chunks=(body,), proves_token=proves_token
    )


def scripted_reply(answer: Answer, *, apns_id: str) -> Reply:
    """What a fault forces. Its headers replace ours of the same name."""
    body = answer.body
    if body is None:
        body = error_json(answer.reason, timestamp_ms=answer.timestamp_ms) if answer.reason else b""
    headers = _error_headers(answer.status, apns_id=apns_id)
    if not body:
        del headers[b"content-type"]
    headers |= _wire_headers(dict(answer.headers))
    return Reply(
        status=answer.status,
        reason=answer.reason,
        apns_id=headers[b"apns-id"].decode("latin-1"),
        headers=tuple(headers.items()),
        chunks=_split(body, at=answer.split_at),
    )


def error_json(reason: str, *, timestamp_ms: int | None = None) -> bytes:
    """The body of an error, and what a GOAWAY frame carries."""
    if timestamp_ms is None:
        return orjson.dumps({"reason": reason})
    return orjson.dumps({"reason": reason, "timestamp": timestamp_ms})


def _error_headers(status: int, *, apns_id: str) -> dict[bytes, bytes]:
    return {
        b":status": b"%d" % status,
        b"apns-id": apns_id.encode("latin-1"),
        b"content-type": b"application/json",
    }


def _wire_headers(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in headers.items()}


def _split(body: bytes, *, at: int | None) -> tuple[bytes, ...]:
    pieces = (body,) if at is None else (body[:at], body[at:])
    return tuple(piece for piece in pieces if piece)
