"""The acts that a fault can name, and what each of them comes to for one request.

Acts are named as a tester thinks of them ("Unregistered", "log-normal latency"); `performed` makes of them what an
emulator does. Their JSON is documented in `fault_json.py`.
"""

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.apns_answers import ApnsReason
from expo_gateway.emulators.faults import (
    Act,
    Answer,
    ConnectionAct,
    Disconnect,
    GoAway,
    Hang,
    Outage,
    Reset,
    Slow,
    SmallWindow,
    StreamLimit,
    json_answer,
)
from expo_gateway.request_faults import MAX_RETRY_AFTER_S, RequestAct, RequestCut, RequestDelay, RequestError

Place = Literal["apns", "fcm", "oauth", "connection", "expo"]
"""Where an act is performed; "connection": on one to APNs."""

Seconds = Annotated[float, Meta(ge=0, le=3600)]
Status = Annotated[int, Meta(ge=200, le=599)]
# What every JSON reader takes for a whole number.
Milliseconds = Annotated[int, Meta(ge=0, le=2**53 - 1)]
# RFC 9113 §8.1: a name in lower case, without the colon of a pseudo header; RFC 9110 §5.5: no control characters.
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str, Meta(pattern=r"^[\t\x20-\x7e\xa0-\xff]*$")]

REFUSED_STREAM = 7
APNS_REASONS: Mapping[str, ApnsReason] = {reason.wire: reason for reason in ApnsReason}
FCM_ERRORS: Mapping[str, Callable[[], Answer]] = {
    "UNREGISTERED": fcm_errors.unregistered,
    "INVALID_ARGUMENT": fcm_errors.invalid_registration_token,
    "MESSAGE_TOO_BIG": fcm_errors.too_big,
    "SENDER_ID_MISMATCH": fcm_errors.sender_id_mismatch,
    "THIRD_PARTY_AUTH_ERROR": fcm_errors.third_party_auth_error,
    "ACCESS_TOKEN_EXPIRED": fcm_errors.access_token_expired,
    "PERMISSION_DENIED": lambda: fcm_errors.permission_denied("forced-by-a-fault"),
    "NOT_FOUND": fcm_errors.not_found,
    "QUOTA_EXCEEDED": fcm_errors.quota_exceeded_as_documented,
    "RESOURCE_EXHAUSTED": lambda: fcm_errors.quota_exceeded("1"),
    "INTERNAL": fcm_errors.internal,
    "UNAVAILABLE": fcm_errors.unavailable,
    "UNSPECIFIED_ERROR": fcm_errors.unspecified_error,
    "BAD_GATEWAY": lambda: fcm_errors.front_end_error(502),
}
"""FCM's codes, and names of ours for refusals that have none of their own."""


class WholeAnswer(Struct, frozen=True, kw_only=True, tag_field="type", tag="answer", forbid_unknown_fields=True):
    """Any answer; see `Answer`."""

    status: Status
    reason: str = ""
    timestamp_ms: Milliseconds | None = None
    body: str | None = None
    headers: dict[HeaderName, HeaderValue] = {}
    split_at: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class ApnsError(Struct, frozen=True, kw_only=True, tag_field="type", tag="apns_reason", forbid_unknown_fields=True):
    """One of Apple's reasons, with its status; with 410 a timestamp, by default that of the request."""

    reason: str
    timestamp_ms: Milliseconds | None = None
    body: bool = True
    """False: the headers alone, as in an answer whose DATA frame never came."""
    split_at: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class FcmError(Struct, frozen=True, kw_only=True, tag_field="type", tag="fcm_error", forbid_unknown_fields=True):
    code: str
    retry_after_s: Annotated[int, Meta(ge=0, le=MAX_RETRY_AFTER_S)] | None = None


class OAuthError(Struct, frozen=True, kw_only=True, tag_field="type", tag="oauth_error", forbid_unknown_fields=True):
    """The token endpoint refuses. While such a fault stands, access tokens given out before it count as expired."""

    error: str = "invalid_grant"
    status: Status = 400
    description: str = ""


class Fixed(Struct, frozen=True, kw_only=True, tag_field="shape", tag="fixed", forbid_unknown_fields=True):
    delay_s: Seconds


class Uniform(Struct, frozen=True, kw_only=True, tag_field="shape", tag="uniform", forbid_unknown_fields=True):
    min_s: Seconds
    max_s: Seconds


class LogNormal(Struct, frozen=True, kw_only=True, tag_field="shape", tag="log_normal", forbid_unknown_fields=True):
    """Most answers near the median, a few very late: what networks do."""

    median_s: Annotated[float, Meta(gt=0, le=3600)]
    sigma: Annotated[float, Meta(ge=0, le=5)] = 0.5
    max_s: Seconds = 60.0


class Latency(Struct, frozen=True, kw_only=True, tag_field="type", tag="latency", forbid_unknown_fields=True):
    """The ordinary answer, late. The dice are those of the rule: `match.seed`."""

    delay: Fixed | Uniform | LogNormal


class RefusedStream(Struct, frozen=True, tag_field="type", tag="refused_stream", forbid_unknown_fields=True):
    """APNs: RST_STREAM with REFUSED_STREAM: nothing was done with the request."""


NamedAct = WholeAnswer | ApnsError | FcmError | OAuthError | Latency | RefusedStream
ProviderAct = Hang | Disconnect | Outage | Reset | GoAway | NamedAct
FaultAct = ProviderAct | ConnectionAct | RequestAct
"""What JSON can say."""


def places_of(act: FaultAct | Act) -> frozenset[Place]:
    """Where the act can be performed; where a rule doesn't say more, also where it is."""
    match act:
        case RequestError() | RequestDelay() | RequestCut():
            return frozenset(("expo",))
        case StreamLimit() | SmallWindow():
            return frozenset(("connection",))
        case ApnsError():
            return frozenset(("apns",))
        case FcmError():
            return frozenset(("fcm",))
        case OAuthError():
            return frozenset(("oauth",))
        case _:
            return frozenset(("apns", "fcm", "oauth"))


def performed(act: NamedAct | Act, *, now: float, dice: Random) -> Act:
    """What the emulator does with a request that came at `now`."""
    match act:
        case WholeAnswer():
            return _whole(act)
        case ApnsError():
            return _apns_answer(act, now=now)
        case FcmError():
            return _fcm_answer(act)
        case OAuthError():
            described = {"error_description": act.description} if act.description else {}
            # Brings PyJWT, which a start does not need.

            return json_answer(act.status, {"error": act.error, **described})
        case Latency():
            return Slow(delay_drawn(act.delay, dice))
        case RefusedStream():
            return Reset(REFUSED_STREAM)
        case _:
            return act


def delay_drawn(delay: Fixed | Uniform | LogNormal, dice: Random) -> float:
    match delay:
        case Fixed():
            return delay.delay_s
        case Uniform():
            return dice.uniform(delay.min_s, delay.max_s)
        case LogNormal():
            return min(dice.lognormvariate(math.log(delay.median_s), delay.sigma), delay.max_s)


def _whole(act: WholeAnswer) -> Answer:
    return Answer(
        status=act.status,
        reason=act.reason,
        timestamp_ms=act.timestamp_ms,
        body=None if act.body is None else act.body.encode(),
        headers=tuple(act.headers.items()),
        split_at=act.split_at,
    )


def _apns_answer(act: ApnsError, *, now: float) -> Answer:
    reason = APNS_REASONS[act.reason]
    timestamp_ms = act.timestamp_ms
    if timestamp_ms is None and reason.status == 410:
        timestamp_ms = int(now * 1000)
    return Answer(
        status=reason.status,
        reason=reason.wire,
        timestamp_ms=timestamp_ms,
        body=None if act.body else b"",
        split_at=act.split_at,
    )


def _fcm_answer(act: FcmError) -> Answer:
    answer = FCM_ERRORS[act.code]()
    if act.retry_after_s is None:
        return answer
    return replace(answer, headers=(*answer.headers, ("retry-after", str(act.retry_after_s))))
