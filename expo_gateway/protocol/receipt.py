"""Receipts: what the provider said, in Expo's words.

Texts, numbers and key order are those of recorded receipts; where Expo's number or text was never seen it is left
out or marked assumed in fixtures/expo/receipts.json.
"""

from collections.abc import Mapping
from enum import StrEnum
from math import inf

import orjson
from msgspec import Struct


class ReceiptError(StrEnum):
    """`details.error`. Documented by Expo and typed by its SDK; the union of both lists."""

    DEVELOPER_ERROR = "DeveloperError"
    DEVICE_NOT_REGISTERED = "DeviceNotRegistered"
    EXPO_ERROR = "ExpoError"
    INVALID_CREDENTIALS = "InvalidCredentials"
    MESSAGE_RATE_EXCEEDED = "MessageRateExceeded"
    MESSAGE_TOO_BIG = "MessageTooBig"
    MISMATCH_SENDER_ID = "MismatchSenderId"
    PROVIDER_ERROR = "ProviderError"


# The three that were seen; the others are unknown and stay out of receipts.
ERROR_CODE_ENUM = {
    ReceiptError.PROVIDER_ERROR: 1,
    ReceiptError.DEVELOPER_ERROR: 2,
    ReceiptError.DEVICE_NOT_REGISTERED: 3,
}
MESSAGE_ENUM_FCM_NOT_REGISTERED = 7
MESSAGE_ENUM_APNS_CONNECTION = 1004
MESSAGE_ENUM_APNS_REFUSED = 1006

RECEIPT_OK_JSON = b'{"status":"ok"}'

# What a held receipt begins with, and no other: inside a text its quotes would be escaped.
_HELD = b'{"heldUntil":'


class FailedReceipt(Struct, frozen=True, kw_only=True):
    """A receipt of status "error", before it is dated."""

    error: ReceiptError
    message: str
    message_enum: int | None = None
    message_params: tuple[str, ...] = ()
    apns: Mapping[str, object] | None = None
    """`{"reason": str, "statusCode": int}`"""
    fcm: Mapping[str, object] | None = None

    def to_json(self, *, sent_at: float) -> bytes:
        """Compact JSON in the recorded key order. `sent_at` is written in whole Unix seconds."""
        receipt: dict[str, object] = {"status": "error", "message": self.message}
        if self.message_enum is not None:
            receipt["messageEnum"] = self.message_enum
            receipt["messageParamValues"] = self.message_params
        details: dict[str, object] = {}
        if self.apns is not None:
            details["apns"] = self.apns
        details["error"] = self.error.value
        if self.fcm is not None:
            details["fcm"] = self.fcm
        if self.error in ERROR_CODE_ENUM:
            details["errorCodeEnum"] = ERROR_CODE_ENUM[self.error]
        details["sentAt"] = int(sent_at)
        receipt["details"] = details
        return orjson.dumps(receipt)


def held_receipt(until: float) -> bytes:
    """A receipt that is ok, kept but not shown before this instant; inf: never. See `shown`."""
    return b'%b%b,"status":"ok"}' % (_HELD, orjson.dumps(until))


def is_ok(receipt: bytes) -> bool:
    """Whether the provider took the message, also while the receipt is held."""
    return receipt == RECEIPT_OK_JSON or receipt.startswith(_HELD)


def visible_at(receipt: bytes) -> float:
    """Since when a receipt is shown, however it came about: 0 unless it is held, inf when it never is."""
    if not receipt.startswith(_HELD):
        return 0.0
    until: float | None = orjson.loads(receipt)["heldUntil"]
    return inf if until is None else until


def plain(receipt: bytes) -> bytes:
    """As it is to be seen some day."""
    return RECEIPT_OK_JSON if receipt.startswith(_HELD) else receipt


def shown(receipts: Mapping[str, bytes], *, now: float) -> Mapping[str, bytes]:
    """Those that are to be seen now, as they are to be seen."""
    # Nearly always none is held, and one look at all of them takes a tenth of the time of a look at each.
    if _HELD not in b"".join(receipts.values()):
        return receipts
    seen = {}
    for key, receipt in receipts.items():
        if visible_at(receipt) <= now:
            seen[key] = plain(receipt)
    return seen


def apns_refused(error: ReceiptError, *, reason: str, status: int) -> FailedReceipt:
    """APNs answered with an error. Recorded with BadDeviceToken, 400."""
    return FailedReceipt(
        error=error,
        message=(
            "The Apple Push Notification service failed to send the notification "
            f"(reason: {reason}, status code: {status})."
        ),
        message_enum=MESSAGE_ENUM_APNS_REFUSED,
        message_params=(reason, str(status)),
        apns={"reason": reason, "statusCode": status},
    )


def apns_dropped() -> FailedReceipt:
    """APNs could not be reached, or went away without an answer. Recorded 2025-06."""
    return FailedReceipt(
        error=ReceiptError.PROVIDER_ERROR,
        message=(
            "The Apple Push Notification service unexpectedly dropped the connection. Retry sending the notification "
            "later. If this error recurs very frequently, there is likely an issue with your Apple push notification "
            "credentials."
        ),
        message_enum=MESSAGE_ENUM_APNS_CONNECTION,
    )


def fcm_not_registered(fcm: Mapping[str, object] | None = None) -> FailedReceipt:
    """Recorded 2026-08-07, without details.fcm."""
    return FailedReceipt(
        error=ReceiptError.DEVICE_NOT_REGISTERED,
        message="The recipient device is not registered with FCM.",
        message_enum=MESSAGE_ENUM_FCM_NOT_REGISTERED,
        fcm=fcm,
    )


FCM_TEXTS = {
    ReceiptError.DEVELOPER_ERROR: "The request sent to the server was malformed or contained invalid parameters.",
    ReceiptError.INVALID_CREDENTIALS: (
        "Failed to authenticate with the FCM server. Ensure the FCM credentials you uploaded are correct."
    ),
    ReceiptError.MESSAGE_RATE_EXCEEDED: "Message rate exceeded",
    ReceiptError.MESSAGE_TOO_BIG: "Message too big",
    ReceiptError.MISMATCH_SENDER_ID: (
        "There was an unknown error with the FCM server. See this error's details for more information."
    ),
    ReceiptError.PROVIDER_ERROR: (
        "There was an unknown error with the FCM server. See this error's details for more information."
    ),
}


def fcm_refused(error: ReceiptError, fcm: Mapping[str, object] | None) -> FailedReceipt:
    """FCM answered with an error. `fcm` is what it said: `{"error": …, "httpStatus": …, "message": …}`."""
    return FailedReceipt(error=error, message=FCM_TEXTS[error], fcm=fcm)


def too_big(size_bytes: int, limit_bytes: int) -> FailedReceipt:
    """The payload is larger than the provider takes; it was not sent."""
    return FailedReceipt(
        error=ReceiptError.MESSAGE_TOO_BIG,
        message=f"Message too big: the payload is {size_bytes} bytes, the maximum is {limit_bytes} bytes.",
    )


def expo_error(message: str) -> FailedReceipt:
    """Our own failure, never the provider's."""
    return FailedReceipt(error=ReceiptError.EXPO_ERROR, message=message)
