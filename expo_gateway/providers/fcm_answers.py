"""What FCM's answers mean: an answer becomes an outcome. Pure.

Errors: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode, in the envelope of
https://google.aip.dev/193. FCM's own code sits in a `FcmError` among the details and is often absent, so an answer is
judged by its HTTP status, then by that code, then by the reasons of `ErrorInfo` and `ApnsError`, and last by its text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import orjson

from expo_gateway.protocol.receipt import FailedReceipt, ReceiptError, fcm_not_registered, fcm_refused
from expo_gateway.providers.base import Accepted, Backoff, Outcome, Rejected, Scope, Uncertain, Unsent
from expo_gateway.providers.fcm_http import is_taken

# https://firebase.google.com/docs/cloud-messaging/scale-fcm#handling-retries: never sooner than ten seconds, and after
# 429 a minute when FCM does not say how long.
FIRST_RETRY_S = 10.0
QUOTA_RETRY_S = 60.0
RETRY_CAP_S = 600.0
# Our choice: FCM's longest text that we know (a disabled API) has about 400 characters.
MAX_TEXT_CHARS = 500

_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_APNS_ERROR = "type.googleapis.com/google.firebase.fcm.v1.ApnsError"
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"

# Only from the beginning of the text: further on FCM may quote what the sender wrote.
_DEAD_TOKEN_TEXT = re.compile(r"The registration token is not a valid FCM registration token", re.IGNORECASE)
_TOO_BIG_TEXT = re.compile(r"(?:\w+ )?message is too (?:big|large)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FcmAnswer:
    """What an answer said. Every text is "" when the answer had none, or when its body was not Google's JSON."""

    status: int
    name: str = ""
    """The message name of a 2xx."""
    google_status: str = ""
    error_code: str = ""
    """`errorCode` of FcmError."""
    error_info: str = ""
    """`reason` of ErrorInfo."""
    apns_status: int | None = None
    """`statusCode` of ApnsError: an iOS device that is reached through FCM."""
    text: str = ""
    retry_after: str = ""
    is_page: bool = False
    """A 2xx with a web page: somebody in between speaks, and not FCM."""
    is_cut: bool = False
    """The body broke off, so only the status is known."""

    @property
    def reason(self) -> str:
        """The most exact code of the answer, for logs and metrics."""
        return self.error_code or self.error_info or self.google_status or f"HTTP_{self.status}"

    @property
    def wants_new_token(self) -> bool:
        """A 401 about our access token: expired, missing or unknown. FCM's own credentials for APNs are another 401."""
        return self.status == 401 and self.error_code != "THIRD_PARTY_AUTH_ERROR"


def read_answer(*, status: int, headers: Mapping[str, str], body: bytes | None) -> FcmAnswer:
    """`headers` has names in lower case. `body` None: it broke off."""
    retry_after = headers.get("retry-after", "")
    if body is None:
        return FcmAnswer(status=status, retry_after=retry_after, is_cut=True)
    answer = _object(_json(body))
    if is_taken(status):
        return FcmAnswer(status=status, name=_text(answer.get("name")), is_page=body.lstrip()[:1] == b"<")
    error = _object(answer.get("error"))
    details = _details(error.get("details"))
    return FcmAnswer(
        status=status,
        google_status=_text(error.get("status")),
        error_code=_text(details.get(_FCM_ERROR, {}).get("errorCode")),
        error_info=_text(details.get(_ERROR_INFO, {}).get("reason")),
        apns_status=_number(details.get(_APNS_ERROR, {}).get("statusCode")),
        text=_text(error.get("message")),
        retry_after=retry_after,
    )


def outcome_of(answer: FcmAnswer, *, now: float) -> Outcome:
    """What came of the push. `now` dates a `Retry-After` that is a date."""
    if is_taken(answer.status):
        # `Retry-After` is not looked at: the push is taken, and sending it again would deliver it twice.
        return _accepted(answer)
    if answer.status == 429:
        return _over_quota(answer, now=now)
    if not 400 <= answer.status < 500 or answer.status == 408:
        return _unavailable(answer, now=now)
    if answer.is_cut and answer.status not in (401, 403):
        return unsent(f"FCM's answer with HTTP {answer.status} broke off")
    return _refused(answer)


def retry_after_s(value: str, *, now: float) -> float | None:
    """Seconds to wait: `Retry-After` is a number of them or an HTTP date (RFC 9110, 10.2.3). None: it says nothing."""
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - now)


def unsent(why: str) -> Unsent:
    """FCM was not reached, or refused without our knowing why: nothing was delivered."""
    return Unsent(why=why, receipt=_no_answer(), backoff=_network_backoff())


def uncertain(why: str) -> Uncertain:
    """The push was written and no answer came."""
    return Uncertain(why=why, receipt=_no_answer(), backoff=_network_backoff())


def credentials_refused(*, status: int, error: str, text: str) -> Rejected:
    """Google refused the service account itself, at its token endpoint."""
    said = {"error": error, "httpStatus": status, "message": text[:MAX_TEXT_CHARS]}
    return Rejected(
        reason=error,
        status=status,
        receipt=fcm_refused(ReceiptError.INVALID_CREDENTIALS, said),
        scope=Scope.CREDENTIAL,
    )


def _accepted(answer: FcmAnswer) -> Outcome:
    """A 2xx without a body, with half of one or with one that can't be read is still a 2xx; only a web page in its
    place is some proxy's, which kept the push from FCM."""
    if answer.is_page:
        return uncertain(f"HTTP {answer.status} with a web page in the place of FCM's answer")
    return Accepted(provider_id=answer.name)


def _over_quota(answer: FcmAnswer, *, now: float) -> Rejected:
    wait_s = retry_after_s(answer.retry_after, now=now)
    return Rejected(
        reason=answer.reason,
        status=answer.status,
        receipt=fcm_refused(ReceiptError.MESSAGE_RATE_EXCEEDED, _said(answer)),
        backoff=Backoff(first_s=wait_s or QUOTA_RETRY_S, cap_s=RETRY_CAP_S, retry_after_s=wait_s),
        scope=Scope.PROJECT,
    )


def _unavailable(answer: FcmAnswer, *, now: float) -> Rejected:
    """5xx, and what FCM never sends itself (redirects): somebody in between is in trouble."""
    wait_s = retry_after_s(answer.retry_after, now=now)
    return Rejected(
        reason=answer.reason,
        status=answer.status,
        receipt=fcm_refused(ReceiptError.PROVIDER_ERROR, _said(answer)),
        backoff=Backoff(first_s=FIRST_RETRY_S, cap_s=RETRY_CAP_S, retry_after_s=wait_s),
    )


def _refused(answer: FcmAnswer) -> Rejected:
    """4xx that no retry mends."""
    if answer.error_code == "UNREGISTERED":
        return _final(answer, fcm_not_registered(), device_gone=True)
    if answer.error_code == "SENDER_ID_MISMATCH":
        # Assumed: documented as a code of receipts; the legacy spelling of `error` is what was seen, in 2023.
        said = {**_said(answer), "error": "MismatchSenderId"}
        return _final(answer, fcm_refused(ReceiptError.MISMATCH_SENDER_ID, said))
    if answer.status in (401, 403):
        return _final(answer, fcm_refused(ReceiptError.INVALID_CREDENTIALS, _said(answer)), scope=_scope(answer))
    if answer.status == 404:
        # The project or the device: never a reason to drop a device token.
        return _final(answer, fcm_refused(ReceiptError.PROVIDER_ERROR, _said(answer)))
    if _is_dead_token(answer):
        return _final(answer, fcm_not_registered(_said(answer)), device_gone=True)
    error = ReceiptError.MESSAGE_TOO_BIG if _is_too_big(answer) else ReceiptError.DEVELOPER_ERROR
    return _final(answer, fcm_refused(error, _said(answer)))


def _scope(answer: FcmAnswer) -> Scope:
    """THIRD_PARTY_AUTH_ERROR is about the key for APNs or Web Push in Firebase: Android devices are not affected."""
    return Scope.DELIVERY if answer.error_code == "THIRD_PARTY_AUTH_ERROR" else Scope.CREDENTIAL


def _final(
    answer: FcmAnswer, receipt: FailedReceipt, *, scope: Scope = Scope.DELIVERY, device_gone: bool = False
) -> Rejected:
    return Rejected(reason=answer.reason, status=answer.status, receipt=receipt, scope=scope, device_gone=device_gone)


def _is_dead_token(answer: FcmAnswer) -> bool:
    """FCM's refusal of the token's form, or APNs' 410 passed on."""
    return answer.apns_status == 410 or _DEAD_TOKEN_TEXT.match(answer.text) is not None


def _is_too_big(answer: FcmAnswer) -> bool:
    return answer.status == 413 or _TOO_BIG_TEXT.match(answer.text) is not None


def _said(answer: FcmAnswer) -> dict[str, object]:
    """`details.fcm`: what is known of `{"error": str, "httpStatus": int, "message": str}`."""
    said: dict[str, object] = {}
    if error := answer.error_code or answer.google_status:
        said["error"] = error
    said["httpStatus"] = answer.status
    if answer.text:
        said["message"] = answer.text[:MAX_TEXT_CHARS]
    return said


def _no_answer() -> FailedReceipt:
    return fcm_refused(ReceiptError.PROVIDER_ERROR, None)


def _network_backoff() -> Backoff:
    return Backoff(first_s=FIRST_RETRY_S, cap_s=RETRY_CAP_S)


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _details(value: object) -> dict[str, dict[str, object]]:
    """The details by type."""
    listed = value if isinstance(value, list) else []
    return {_text(detail.get("@type")): detail for detail in map(_object, listed)}


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
