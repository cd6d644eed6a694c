"""Faults in JSON: `{"id": "no-news", "match": {…}, "act": {"type": …, …}}`. Only `act` must be there.

`match`, all of it optional; what is left out may be anything:

| key | meaning |
|---|---|
| device_token, push_token | the device that is addressed |
| project | full name, `@owner/slug` |
| platform | `ios` or `android` |
| provider | `apns`, `fcm`, or `oauth` (Google's token endpoint). Default: `apns` and `fcm`, and for an outage all three |
| every | act on each n-th request that fits the above (default 1) |
| probability, seed | act on so many of those, by dice that fall the same way every time (default 1, 0) |
| times | act at most so often |
| from_at, until_at | act from the one instant to before the other: Unix seconds, by the clock of the run |
| for_s | instead of `until_at`: so long from `from_at`, or from now |

`act`, at the providers:

| type | keys | what happens |
|---|---|---|
| apns_reason | reason, timestamp_ms?, body=true, split_at? | Apple's error with its status; `body: false`: headers only; `split_at`: the body in two DATA frames |
| fcm_error | code, retry_after_s? | FCM's error: UNREGISTERED, INVALID_ARGUMENT, MESSAGE_TOO_BIG, SENDER_ID_MISMATCH, THIRD_PARTY_AUTH_ERROR, ACCESS_TOKEN_EXPIRED, PERMISSION_DENIED, NOT_FOUND, QUOTA_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, UNSPECIFIED_ERROR, BAD_GATEWAY |
| oauth_error | error="invalid_grant", status=400, description? | the token endpoint refuses; while the fault stands, access tokens given out before it count as expired |
| answer | status, reason?, timestamp_ms?, body?, headers?, split_at? | any answer; without a body one is made of `reason` |
| latency | delay | the ordinary answer, late. `delay`: `{"shape": "fixed", "delay_s"}`, `{"shape": "uniform", "min_s", "max_s"}` or `{"shape": "log_normal", "median_s", "sigma"=0.5, "max_s"=60}` |
| hang | | no answer, ever |
| disconnect | reset=false | the connection is cut after the request was read; `reset`: by a TCP RST |
| outage | | nobody is there: connections are cut and nothing is captured |
| rst_stream | error_code | APNs: RST_STREAM |
| refused_stream | | APNs: RST_STREAM with REFUSED_STREAM |
| goaway | reason="Shutdown", graceful=true | APNs: GOAWAY; graceful: this request and those before it are answered |
| stream_limit | max_streams=1 | APNs: SETTINGS_MAX_CONCURRENT_STREAMS of the connections that carry matching requests |
| small_window | | APNs: a receive window of 65,535 bytes; a connection with a larger one gets GOAWAY |

At FCM rst_stream, refused_stream and goaway cut the connection, as `disconnect` does. stream_limit and small_window
leave the request to the rules after them. A connection shows whose it is by the credential of its requests, so an
outage takes TLS connections in and cuts them at their first request.

`act`, at the Expo API (there `match` knows push_token, project and what says how often and when):

| type | keys | what happens |
|---|---|---|
| expo | status, code?, message?, text?, retry_after_s? | the request is refused: Expo's JSON, or `text` as plain text |
| slow | delay_s | the ordinary answer, late |
| cut | when="before" | the connection ends without an answer: `before` anything was accepted, or `after` |
"""  # noqa: E501 (rows of tables)

import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from expo_gateway.emulators.fault_acts import (
    APNS_REASONS,
    FCM_ERRORS,
    ApnsError,
    FaultAct,
    FcmError,
    Fixed,
    Latency,
    Uniform,
    WholeAnswer,
    places_of,
)
from expo_gateway.emulators.fault_rules import FaultRule, Match
from expo_gateway.emulators.faults import Act, Answer, Slow


class InvalidFault(ValueError):
    """The JSON is no fault. `field` is the key that is wrong, as `match.times`; "" when it is the whole."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.message = message
        self.field = field


class _Match(Match, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    for_s: float | None = None


class _Rule(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    act: FaultAct
    match: _Match = _Match()
    id: str = ""


def decode_rule(value: object, *, now: float) -> FaultRule:
    """The rule that the JSON object `value` says; `now` is the world's time, where `for_s` begins. InvalidFault."""
    try:
        form = msgspec.convert(value, _Rule)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    for field, message in (*_wrong_in_id(form.id), *_wrong_in_match(form.match), *_wrong_in_act(form.act)):
        raise InvalidFault(message, field=field)
    rule = FaultRule(act=form.act, match=_match(form.match, now=now), id=form.id)
    if not rule.places:
        raise InvalidFault(_contradiction(rule), field="match.provider" if rule.match.provider else "match.platform")
    return rule


def encode_rule(rule: FaultRule) -> dict[str, object]:
    """What `decode_rule` makes the rule of; defaults of `match` are left out."""
    match: dict[str, object] = msgspec.to_builtins(rule.match)
    return {"id": rule.id, "match": match, "act": msgspec.to_builtins(_named(rule.act))}


def _match(form: _Match, *, now: float) -> Match:
    until_at = form.until_at
    if form.for_s is not None:
        until_at = (now if form.from_at is None else form.from_at) + form.for_s
    kept = {name: getattr(form, name) for name in Match.__struct_fields__}
    return Match(**{**kept, "until_at": until_at})


def _named(act: FaultAct | Act) -> FaultAct:
    match act:
        case Slow():
            return Latency(delay=Fixed(delay_s=act.delay_s))
        case Answer():
            body = None if act.body is None else act.body.decode("utf-8", "replace")
            plain = WholeAnswer(status=act.status, reason=act.reason, timestamp_ms=act.timestamp_ms, body=body)
            return replace(plain, headers=dict(act.headers), split_at=act.split_at)
        case _:
            return act


# -- what is wrong beyond types ----------------------------------------------------------------------------------------


def _wrong_in_id(rule_id: str) -> Iterator[tuple[str, str]]:
    if rule_id and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", rule_id):
        yield "id", "wants 1 to 64 letters, digits, dots, underscores or hyphens"


def _wrong_in_match(match: _Match) -> Iterator[tuple[str, str]]:
    if match.for_s is not None and match.until_at is not None:
        yield "match.for_s", "stands instead of until_at, not beside it"
    if match.for_s is not None and match.for_s <= 0:
        yield "match.for_s", f"wants more than 0 seconds, got {match.for_s:g}"
    if None not in (match.from_at, match.until_at) and match.until_at <= match.from_at:  # type: ignore[operator]
        yield "match.until_at", "must be later than from_at"


def _wrong_in_act(act: FaultAct) -> Iterator[tuple[str, str]]:
    match act:
        case ApnsError() if act.reason not in APNS_REASONS:
            yield "act.reason", _unknown("reason of APNs", act.reason, APNS_REASONS)
        case FcmError() if act.code not in FCM_ERRORS:
            yield "act.code", _unknown("error of FCM", act.code, FCM_ERRORS)
        case Latency(delay=Uniform() as delay) if delay.max_s < delay.min_s:
            yield "act.delay.max_s", "must not be less than min_s"
        case _:
            return


def _unknown(kind: str, got: str, known: Mapping[str, object]) -> str:
    return f"'{got}' is no {kind}; there are {', '.join(sorted(known))}"


def _contradiction(rule: FaultRule) -> str:
    can = ", ".join(sorted("apns" if place == "connection" else place for place in places_of(rule.act)))
    return f"the act is performed at {can} only, where this never matches"


_AT = re.compile(r"(?P<text>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_KEY = re.compile(r"Object (?:contains unknown|missing required) field `(?P<key>[^`]*)`")


def _invalid(text: str) -> InvalidFault:
    """msgspec says where as "… - at `$.match.times`", and of a key too many or too few where it should be."""
    at = _AT.fullmatch(text)
    message, path = (at["text"], at["path"] or "") if at else (text, "")
    key = _KEY.match(message)
    return InvalidFault(message, field=".".join(part for part in (path, key and key["key"]) if part))
