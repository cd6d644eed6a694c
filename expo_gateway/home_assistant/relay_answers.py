"""What the relay answers. Home Assistant reads an answer without looking: what is missing or empty in it ends a user's
automation. So each is a JSON object, each error has a text, and `rateLimits` has all its members.

`exact`: the statuses and bodies of the official relay, as observed 2026-11.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import orjson

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.home_assistant.notification import Json
from expo_gateway.protocol.message import MAX_DATA_BYTES
from expo_gateway.protocol.receipt import ReceiptError
from expo_gateway.providers.local import RelayAnswer
from expo_gateway.registry.home_assistant import RelayCounts

DAY_S: Final = 86_400
NOT_REGISTERED: Final = "registration-token-not-registered"
NO_TOKEN: Final = "You did not send a token!"
NO_FCM_TOKEN: Final = "That is not a valid FCM token"
LIMITED: Final = (
    "The given target has reached the maximum number of notifications allowed per day. Please try again later."
)
NO_REGISTRATION: Final = "Cannot read properties of undefined (reading 'webhook_id')"
UNAVAILABLE: Final = "The relay can't store anything at the moment. Nothing of this request was accepted; try again."

FAILED: Final = "The relay failed; its log says why. The notification may not have been accepted."


def day_of(now: float) -> int:
    """Days since 1970, UTC."""
    return int(now // DAY_S)


def resets_at(now: float) -> str:
    """The next midnight, UTC. Home Assistant fails without an offset."""
    midnight = datetime.fromtimestamp((day_of(now) + 1) * DAY_S, UTC)
    return f"{midnight:%Y-%m-%dT%H:%M:%S}.000Z"


def rate_limits(counts: RelayCounts, *, maximum: int, now: float) -> Json:
    """All seven: Home Assistant's Android app wants each."""
    return {
        "attempts": counts.attempts,
        "successful": counts.successful,
        "errors": counts.errors,
        "total": counts.total,
        "maximum": maximum,
        "remaining": max(0, maximum - counts.successful),
        "resetsAt": resets_at(now),
    }


def accepted(*, message_id: str, payload: Json, target: str, limits: Json) -> RelayAnswer:
    sent = {**payload, "token": target}
    body = {"messageId": message_id, "sentPayload": sent, "target": target, "rateLimits": limits}
    return RelayAnswer(status=201, body=body)


def limited(*, target: str, limits: Json) -> RelayAnswer:
    body = {"errorType": "RateLimited", "message": LIMITED, "target": target, "rateLimits": limits}
    return RelayAnswer(status=429, body=body)


def checked(*, target: str, limits: Json) -> RelayAnswer:
    return RelayAnswer(status=200, body={"target": target, "rateLimits": limits})


def unknown_token(
    *, exact: bool, text: str = "Nobody has this push token, and no FCM project knows it."
) -> RelayAnswer:
    return _not_registered(404, exact=exact, text=text)


def dead_token(*, exact: bool) -> RelayAnswer:
    return _not_registered(410, exact=exact, text="The app that had this push token is not installed any more.")


def internal_error(text: str, *, step: str = "sendNotification") -> RelayAnswer:
    """`text`: never empty."""
    return RelayAnswer(status=500, body={"errorType": "InternalError", "errorStep": step, "message": text})


def unavailable() -> RelayAnswer:
    return RelayAnswer(status=503, body={"errorType": "Unavailable", "message": UNAVAILABLE})


def refused(error: RequestRefused, *, exact: bool) -> RelayAnswer:
    """What was wrong with the request, or why its sender may not send."""
    text = error.message or error.code
    if exact and error.status < 500:
        return framework_error(error.status, text)
    return RelayAnswer(status=error.status, body={"errorType": _type_of(error), "message": text})


def forbidden(text: str) -> RelayAnswer:
    """Exact only: in the key that Home Assistant calls an internal error."""
    return RelayAnswer(status=403, body={"errorMessage": text})


def framework_error(status: int, text: str) -> RelayAnswer:
    """What the official relay's web framework says by itself."""
    body = {"statusCode": status, "error": HTTPStatus(status).phrase, "message": text}
    return RelayAnswer(status=status, body=body)


def failed_delivery(receipt: bytes) -> RelayAnswer:
    """Exact only: the receipt of a delivery that failed, as the answer to who waited for it."""
    fields = orjson.loads(receipt)
    error, text = fields["details"]["error"], fields.get("message") or "The notification was refused."
    if error == ReceiptError.DEVICE_NOT_REGISTERED:
        return _not_registered(500, exact=True, text=text)
    codes = {ReceiptError.MESSAGE_TOO_BIG: "payload-too-large", ReceiptError.DEVELOPER_ERROR: "invalid-argument"}
    if error not in codes:
        return internal_error(text)
    body = {"errorType": "PayloadTooLarge", "errorCode": codes[error], "errorStep": "sendNotification", "message": text}
    return RelayAnswer(status=500, body=body)


def too_large(size_bytes: int, *, exact: bool) -> RelayAnswer:
    """So much that it is not even stored."""
    text = f"The notification is {size_bytes} bytes; wanted at most {MAX_DATA_BYTES}, of which phones get 4096."
    body = {"errorType": "PayloadTooLarge", "errorCode": "payload-too-large"}
    if not exact:
        return RelayAnswer(status=413, body={**body, "message": text})
    return RelayAnswer(status=500, body={**body, "errorStep": "sendNotification", "message": text})


def _not_registered(status: int, *, exact: bool, text: str) -> RelayAnswer:
    body = {"errorType": "InvalidToken", "errorCode": NOT_REGISTERED}
    if not exact:
        return RelayAnswer(status=status, body={**body, "message": text})
    return RelayAnswer(status=500, body={**body, "errorStep": "sendNotification", "message": text})


def _type_of(error: RequestRefused) -> str:
    if error.status == 429:
        return "RateLimited"
    if error.status in (401, 403):
        return "Unauthorized"
    return "InvalidRequest" if error.status < 500 else "Unavailable"
