"""Receipts: what the provider said, in Expo's words.

Texts, numbers and key order are those of recorded receipts; where Expo's number or text was never seen it is left
out or marked assumed in fixtures/expo/receipts.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedReceipt:
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
