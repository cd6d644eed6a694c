"""What the answers of Expo's push API mean for who asked, and when to ask again. Pure.

Retries are Expo's advice: "exponential backoff" for 429 and 5xx,
https://docs.expo.dev/push-notifications/sending-notifications/#request-errors
"""

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

# Our choice: with these a gateway that restarts, or a rate limit, is sat out for about a minute and a half.
MAX_TRIES = 8
FIRST_BACK_OFF_S = 0.5
MAX_BACK_OFF_S = 30.0
# Our choice: a server that never answered is probably not there; the operator wants to hear of it soon.
MAX_TRIES_UNREACHED = 3
# Our choice: a longer Retry-After is cut to this; the tries bound the whole.
MAX_RETRY_AFTER_S = 60.0

# Expo's code for 403, and what to do about that and about 401.
UNAUTHORIZED = "UNAUTHORIZED"
GIVE_TOKEN = (
    "give an access token of the project with --token FILE or in EXPO_ACCESS_TOKEN; "
    "`expo-gateway tokens create PROJECT NAME --data DIR` makes one"
)

SPLIT_BY_PROJECT = "PUSH_TOO_MANY_EXPERIENCE_IDS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Status 200. `value` is what stands under `data`."""

    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The whole request was refused, nothing of it was accepted, and asking again would not help."""

    status: int
    code: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No answer that counts."""

    why: str
    """One sentence, with what to do."""
    lost: bool = False
    """The request may have been accepted all the same."""
    final: bool = False
    """Asking again would not help, nor would asking anything else."""
    retry_after_s: float | None = None


def read_answer(status: int, body: bytes, *, retry_after: str | None, now: float) -> Data | Refused | Failure:
    decoded = _decoded(body)
    if status == 200 and "data" in decoded and not decoded.get("errors"):
        return Data(value=decoded["data"])
    if status == 429 or status >= 500:
        why = f"it answered {status}{_said(decoded)}"
        # A proxy in between answers 502 and 504 when the gateway's own answer got lost.
        return Failure(why=why, lost=status in (502, 504), retry_after_s=retry_after_s(retry_after, now=now))
    error = _first_error(decoded)
    if status == 401:
        return Failure(why=f"it refuses the access token (401); {GIVE_TOKEN}", final=True)
    if 400 <= status < 500 and status != 404 and error:
        details = error.get("details")
        return Refused(
            status=status,
            code=str(error.get("code", "")),
            message=str(error.get("message", "")),
            details=details if isinstance(details, dict) else {},
        )
    return Failure(why=f"it answered {status}, and not as Expo's push API does; is --url right?", final=True)


def try_again_in_s(failure: Failure, *, tries: int, reached: bool, dice: float) -> float | None:
    """Seconds until the next try after so many; None when there is none. `dice` is from [0, 1)."""
    if failure.final or tries >= (MAX_TRIES if reached else MAX_TRIES_UNREACHED):
        return None
    if failure.retry_after_s is not None:
        return min(failure.retry_after_s, MAX_RETRY_AFTER_S)
    back_off_s: float = min(FIRST_BACK_OFF_S * 2 ** (tries - 1), MAX_BACK_OFF_S)
    return back_off_s * (0.5 + dice / 2)


def retry_after_s(header: str | None, *, now: float) -> float | None:
    """Seconds or a date, RFC 9110, section 10.2.3. None for anything else."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header)
    at = http_date(header)
    return None if at is None else max(0.0, at - now)


def http_date(header: str) -> float | None:
    """An instant as HTTP writes it, RFC 9110, section 5.6.7; None when it is none."""
    try:
        return email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _decoded(body: bytes) -> Mapping[str, object]:
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _first_error(decoded: Mapping[str, object]) -> Mapping[str, object]:
    errors = decoded.get("errors")
    return errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}


def _said(decoded: Mapping[str, object]) -> str:
    message = _first_error(decoded).get("message")
    return f": {message}" if isinstance(message, str) else ""
