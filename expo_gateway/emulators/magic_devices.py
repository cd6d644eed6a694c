"""Device tokens that are always refused, each for one reason: `magic-<kind>-…`, which for APNs stands there in hex.

The virtual devices of magic push tokens have them, and any client of the emulators may use them. A push to one is
judged as every push is; one that nothing else is wrong with is refused in the end.
"""

from collections.abc import Callable, Mapping
from typing import Final

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.apns_answers import ApnsReason, Refusal
from expo_gateway.emulators.faults import Answer

MARK: Final = "magic-"
_HEX_MARK: Final = MARK.encode().hex()


def _data_refused() -> Answer:
    return fcm_errors.invalid_argument("Invalid data payload key: magic", field="message.data")


# What the providers have to say about each kind. Apple knows no senders that could be mistaken.
APNS: Final[Mapping[str, ApnsReason]] = {
    "uninstalled": ApnsReason.UNREGISTERED,
    "toobig": ApnsReason.PAYLOAD_TOO_LARGE,
    "toofast": ApnsReason.TOO_MANY_REQUESTS,
    "credentials": ApnsReason.INVALID_PROVIDER_TOKEN,
    "developer": ApnsReason.BAD_DEVICE_TOKEN,
    "provider": ApnsReason.INTERNAL_SERVER_ERROR,
}
FCM: Final[Mapping[str, Callable[[], Answer]]] = {
    "uninstalled": fcm_errors.unregistered,
    "toobig": fcm_errors.too_big,
    "toofast": fcm_errors.quota_exceeded_as_documented,
    "mismatch": fcm_errors.sender_id_mismatch,
    "credentials": fcm_errors.third_party_auth_error,
    "developer": _data_refused,
    "provider": fcm_errors.internal,
}


def apns_refusal(device_token: str, *, now: float) -> Refusal | None:
    """Why APNs refuses every push to the device; None: it does not. With 410, the token died this instant."""
    if not device_token.startswith(_HEX_MARK):
        return None
    reason = APNS.get(_kind(_from_hex(device_token)))
    if reason is None:
        return None
    return Refusal(reason=reason, timestamp_ms=int(now * 1000) if reason.status == 410 else None)


def fcm_refusal(device_token: str) -> Answer | None:
    """The same of FCM."""
    if not device_token.startswith(MARK):
        return None
    refuse = FCM.get(_kind(device_token))
    return refuse() if refuse is not None else None


def _kind(text: str) -> str:
    return text[len(MARK) :].partition("-")[0]


def _from_hex(device_token: str) -> str:
    try:
        return bytes.fromhex(device_token).decode("latin-1")
    except ValueError:
        return ""
