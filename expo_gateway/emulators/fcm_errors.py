"""Error bodies of FCM HTTP v1, each as an `Answer` that the emulator gives or that a fault can force.

Envelope: AIP-193, https://google.aip.dev/193. FCM's own codes: "ErrorCode",
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode. The code sits in a `FcmError` among the details, and
is often absent: a refusal by Google's front end (types, credentials, quota) carries none. The texts are captured ones;
where from, and which are guessed, is in fixtures/fcm/errors.json.
"""

from collections.abc import Iterable, Mapping

import orjson
from msgspec import Struct

from expo_gateway.emulators.faults import Answer

JSON = "application/json; charset=UTF-8"
HTML = "text/html; charset=UTF-8"

# https://cloud.google.com/apis/design/errors#handling_errors
GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
INVALID_ARGUMENT_TEXT = "Request contains an invalid argument."
CREDENTIALS_WANTED = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
QUOTA_LIMIT_PER_MINUTE = "600000"


class Violation(Struct, frozen=True):
    """One complaint about one field. `field` is the proto path, "" for the root."""

    field: str
    description: str

    def as_json(self) -> dict[str, str]:
        named = {"field": self.field} if self.field else {}
        return {**named, "description": self.description}


def pretty(value: object) -> bytes:
    """JSON as Google's front end prints it: two spaces of indent and a final line feed."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def refusal(
    status: int,
    message: str,
    *,
    code: str = "",
    details: Iterable[Mapping[str, object]] = (),
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """An error with Google's envelope. `code` is what a capture calls the reason: FCM's code, else Google's status."""
    google_status = GOOGLE_STATUS.get(status, "UNKNOWN")
    error: dict[str, object] = {"code": status, "message": message, "status": google_status}
    if listed := list(details):
        error["details"] = listed
    return Answer(status=status, reason=code or google_status, body=pretty({"error": error}), headers=headers)


def from_reason(status: int, reason: str) -> Answer:
    """The JSON for a fault that names only a status and a code."""
    code = reason or "UNSPECIFIED_ERROR"
    return refusal(status, f"{code} (forced by a fault).", code=code, details=[_fcm_error(code)])


# 400: what the front end finds while it reads JSON into the proto message. No FcmError.


def bad_fields(violations: Iterable[Violation]) -> Answer:
    """Wrong types and unknown names; several are reported at once, their texts joined by line feeds."""
    listed = list(violations)
    return refusal(400, "\n".join(violation.description for violation in listed), details=[_bad_request(*listed)])


def bad_json(text: str) -> Answer:
    return bad_fields([Violation("", f"Invalid JSON payload received. {text}")])


# 400: what FCM itself finds wrong with a message.


def invalid_argument(message: str, *, field: str) -> Answer:
    details = [_bad_request(Violation(field, message)), _fcm_error("INVALID_ARGUMENT")]
    return refusal(400, message, details=details)


def recipient_missing() -> Answer:
    return invalid_argument("Recipient of the message is not set.", field="message")


def invalid_registration_token(field: str = "message.token") -> Answer:
    """The two details stand in the other order here, as captured."""
    message = "The registration token is not a valid FCM registration token"
    return refusal(400, message, details=[_fcm_error("INVALID_ARGUMENT"), _bad_request(Violation(field, message))])


def invalid_condition() -> Answer:
    """The one refusal of FCM's own that comes without any details."""
    return refusal(400, INVALID_ARGUMENT_TEXT)


def too_big(limit_bytes: int = 4096) -> Answer:
    """Only the text says what is wrong."""
    message = f"Message is too large. The maximum is {limit_bytes // 1024}K ({limit_bytes} bytes)."
    return refusal(400, message, details=[_bad_request(), _fcm_error("INVALID_ARGUMENT")])


def too_big_older_text() -> Answer:
    return refusal(400, "Android message is too big", details=[_fcm_error("INVALID_ARGUMENT")])


def apns_device_token_disabled() -> Answer:
    """An iOS device reached through FCM, whose APNs token is dead."""
    details = [_fcm_error("INVALID_ARGUMENT"), _apns_error(410, "Unregistered")]
    return refusal(400, "APNs device token is disabled.", details=details)


# 401 and 403: credentials.


def credentials_missing() -> Answer:
    return _unauthenticated(
        f"Request is missing required authentication credential. {CREDENTIALS_WANTED}", "CREDENTIALS_MISSING", ""
    )


def access_token_expired() -> Answer:
    return _unauthenticated(
        f"Request had invalid authentication credentials. {CREDENTIALS_WANTED}",
        "ACCESS_TOKEN_EXPIRED",
        ', error="invalid_token"',
    )


def access_token_invalid() -> Answer:
    return _unauthenticated(
        f"Request had invalid authentication credentials. {CREDENTIALS_WANTED}", "", ', error="invalid_token"'
    )


def third_party_auth_error() -> Answer:
    """FCM's credentials for APNs or Web Push are wrong: not the caller's access token."""
    details = [_fcm_error("THIRD_PARTY_AUTH_ERROR"), _apns_error(403, "InvalidProviderToken")]
    return refusal(401, "Auth error from APNS or Web Push Service", code="THIRD_PARTY_AUTH_ERROR", details=details)


def sender_id_mismatch() -> Answer:
    return _fcm_refusal(403, "SENDER_ID_MISMATCH", "SenderId mismatch")


def permission_denied(project: str) -> Answer:
    """The service account may not send for this project, or there is no such project. No FcmError."""
    message = (
        "Permission 'cloudmessaging.messages.create' denied on resource "
        f"'//cloudresourcemanager.googleapis.com/projects/{project}' (or it may not exist)."
    )
    metadata = {"permission": "cloudmessaging.messages.create", "resource": f"projects/{project}"}
    details = [_error_info("IAM_PERMISSION_DENIED", "cloudresourcemanager.googleapis.com", metadata)]
    return refusal(403, message, details=details)


def api_disabled(project_number: str) -> Answer:
    url = f"https://console.developers.google.com/apis/api/fcm.googleapis.com/overview?project={project_number}"
    message = (
        f"Firebase Cloud Messaging API has not been used in project {project_number} before or it is disabled. "
        f"Enable it by visiting {url} then retry. If you enabled this API recently, "
        "wait a few minutes for the action to propagate to our systems and retry."
    )
    metadata = {"service": "fcm.googleapis.com", "consumer": f"projects/{project_number}"}
    details = [
        _help("Google developers console API activation", url),
        _error_info("SERVICE_DISABLED", "googleapis.com", metadata),
    ]
    return refusal(403, message, details=details)


# 404: the device, or the project.


def unregistered() -> Answer:
    return _fcm_refusal(404, "UNREGISTERED", "Requested entity was not found.")


def not_found() -> Answer:
    """Without FcmError it may be the project that is missing: no reason to drop a device token."""
    return refusal(404, "Requested entity was not found.")


# 413, 429, 5xx.


def request_too_large(limit_bytes: int) -> Answer:
    return refusal(413, f"Request payload size exceeds the limit: {limit_bytes} bytes.")


def quota_exceeded(project_number: str, *, retry_after_s: int | None = None) -> Answer:
    """What production sends: the front end's quota, without FcmError."""
    message = (
        "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute' "
        f"of service 'fcm.googleapis.com' for consumer 'project_number:{project_number}'."
    )
    metadata = {
        "service": "fcm.googleapis.com",
        "consumer": f"projects/{project_number}",
        "quota_metric": "fcm.googleapis.com/send_requests",
        "quota_limit": "SendsPerMinutePerProject",
        "quota_limit_value": QUOTA_LIMIT_PER_MINUTE,
        "quota_location": "global",
        "quota_unit": "1/min/{project}",
    }
    details = [
        _error_info("RATE_LIMIT_EXCEEDED", "googleapis.com", metadata),
        _help("Request a higher quota limit.", "https://cloud.google.com/docs/quotas/help/request_increase"),
    ]
    return refusal(429, message, details=details, headers=_retry_after(retry_after_s))


def quota_exceeded_as_documented(*, retry_after_s: int | None = None) -> Answer:
    """What the reference promises, and what limits per device or topic are said to give."""
    quota_failure = {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"subject": "device", "description": "Message rate exceeded"}],
    }
    details: list[Mapping[str, object]] = [_fcm_error("QUOTA_EXCEEDED"), quota_failure]
    message = "Quota exceeded."
    return refusal(429, message, code="QUOTA_EXCEEDED", details=details, headers=_retry_after(retry_after_s))


def internal() -> Answer:
    return _fcm_refusal(500, "INTERNAL", "Internal error encountered.")


def unavailable(*, retry_after_s: int | None = None) -> Answer:
    return _fcm_refusal(
        503, "UNAVAILABLE", "The service is currently unavailable.", headers=_retry_after(retry_after_s)
    )


def unspecified_error() -> Answer:
    return _fcm_refusal(500, "UNSPECIFIED_ERROR", "Unknown error.")


def front_end_error(status: int) -> Answer:
    """A page of the front end, not JSON: 404 for an unknown path, 502 and 504 when FCM can't be reached."""
    kind = "Server Error" if status >= 500 else "Not Found"
    page = (
        "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n"
        f"  <title>Error {status} ({kind})!!1</title>\n"
        f"  <p><b>{status}.</b> <ins>That’s an error.</ins>\n  <p><ins>That’s all we know.</ins>\n"
    )
    return Answer(status=status, reason=f"HTTP_{status}", body=page.encode(), headers=(("content-type", HTML),))


def _fcm_refusal(status: int, code: str, message: str, *, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return refusal(status, message, code=code, details=[_fcm_error(code)], headers=headers)


def _unauthenticated(message: str, reason: str, challenge: str) -> Answer:
    metadata = {"method": "google.firebase.fcm.v1.FcmService.SendMessage", "service": "fcm.googleapis.com"}
    details = [_error_info(reason, "googleapis.com", metadata)] if reason else []
    headers = (("www-authenticate", f'Bearer realm="https://accounts.google.com/"{challenge}'),)
    return refusal(401, message, code=reason, details=details, headers=headers)


def _retry_after(retry_after_s: int | None) -> tuple[tuple[str, str], ...]:
    return () if retry_after_s is None else (("retry-after", str(retry_after_s)),)


def _fcm_error(code: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}


def _apns_error(status: int, reason: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.firebase.fcm.v1.ApnsError", "statusCode": status, "reason": reason}


def _bad_request(*violations: Violation) -> dict[str, object]:
    detail: dict[str, object] = {"@type": "type.googleapis.com/google.rpc.BadRequest"}
    if violations:
        detail["fieldViolations"] = [violation.as_json() for violation in violations]
    return detail


def _error_info(reason: str, domain: str, metadata: Mapping[str, str]) -> dict[str, object]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": domain,
        "metadata": dict(metadata),
    }


def _help(description: str, url: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": description, "url": url}]}
