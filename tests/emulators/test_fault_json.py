"""Faults in JSON: read strictly, written back, and documented as they are."""

import re
from typing import Any, get_args

import pytest

from expo_gateway.emulators import fault_json
from expo_gateway.emulators.fault_acts import FCM_ERRORS, FaultAct
from expo_gateway.emulators.fault_json import InvalidFault, decode_rule, encode_rule
from expo_gateway.emulators.fault_rules import FaultRule, Match
from expo_gateway.emulators.faults import Answer, Slow

NOW = 1_760_000_000.0

ACTS: list[dict[str, Any]] = [
    {"type": "apns_reason", "reason": "Unregistered", "timestamp_ms": 5, "body": False, "split_at": 3},
    {"type": "fcm_error", "code": "UNAVAILABLE", "retry_after_s": 7},
    {"type": "oauth_error", "error": "backend_error", "status": 503, "description": "later"},
    {"type": "answer", "status": 502, "reason": "", "timestamp_ms": None, "body": "<html>", "headers": {"a": "b"}}
    | {"split_at": None},
    {"type": "latency", "delay": {"shape": "fixed", "delay_s": 0.5}},
    {"type": "latency", "delay": {"shape": "uniform", "min_s": 0.1, "max_s": 0.5}},
    {"type": "latency", "delay": {"shape": "log_normal", "median_s": 0.1, "sigma": 0.9, "max_s": 5.0}},
    {"type": "hang"},
    {"type": "disconnect", "reset": True},
    {"type": "outage"},
    {"type": "rst_stream", "error_code": 2},
    {"type": "refused_stream"},
    {"type": "goaway", "reason": "Shutdown", "graceful": False},
    {"type": "stream_limit", "max_streams": 1},
    {"type": "small_window"},
    {"type": "expo", "status": 503, "code": None, "message": None, "text": "upstream", "retry_after_s": None},
    {"type": "slow", "delay_s": 2.0},
    {"type": "cut", "when": "after"},
]
MATCH: dict[str, Any] = {
    "device_token": "aa",
    "push_token": "ExponentPushToken[x]",
    "project": "@acme/shop",
    "every": 2,
    "probability": 0.5,
    "seed": 4,
    "times": 3,
    "from_at": NOW,
    "until_at": NOW + 5,
}


def kinds() -> set[str]:
    return {str(act.__struct_config__.tag) for act in get_args(FaultAct)}


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act["type"])
def test_every_act_is_read_and_written_back(act: dict[str, Any]) -> None:
    value = {"id": "f", "match": MATCH, "act": act}

    assert encode_rule(decode_rule(value, now=NOW)) == value


def test_the_cases_above_are_all_acts() -> None:
    assert {act["type"] for act in ACTS} == kinds()


def test_the_documented_acts_are_those_that_there_are() -> None:
    text = fault_json.__doc__ or ""
    tables = text.split("\n`act`, at ")

    assert set(re.findall(r"^\| ([a-z_]+) \|", "".join(tables[1:]), re.MULTILINE)) - {"type"} == kinds()
    keys = {key for row in re.findall(r"^\| ([a-z_, ]+) \|", tables[0], re.MULTILINE) for key in row.split(", ")}
    assert keys - {"key"} == {*Match.__struct_fields__, "for_s"}
    (codes,) = re.findall(r"FCM's error: ([A-Z_, ]+)", text)
    assert codes.strip().split(", ") == list(FCM_ERRORS)


def test_defaults_are_filled_in() -> None:
    assert decode_rule({"act": {"type": "hang"}}, now=NOW).match == Match()


@pytest.mark.parametrize(
    ("match", "until_at"),
    [({"for_s": 60}, NOW + 60), ({"for_s": 60, "from_at": NOW + 5}, NOW + 65), ({"until_at": NOW + 1}, NOW + 1)],
)
def test_a_period_may_be_said_by_its_length(match: dict[str, Any], until_at: float) -> None:
    assert decode_rule({"match": match, "act": {"type": "outage"}}, now=NOW).match.until_at == until_at


HANG: dict[str, Any] = {"type": "hang"}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], ""),
        ({}, "act"),
        ({"act": HANG, "acts": HANG}, "acts"),
        ({"act": {"type": "hung"}}, "act.type"),
        ({"act": {}}, "act.type"),
        ({"act": HANG | {"delay_s": 1}}, "act.delay_s"),
        ({"act": HANG, "match": {"tokens": []}}, "match.tokens"),
        ({"act": HANG, "match": {"times": 0}}, "match.times"),
        ({"act": HANG, "match": {"times": "2"}}, "match.times"),
        ({"act": HANG, "match": {"probability": 1.5}}, "match.probability"),
        ({"act": HANG, "match": {"platform": "web"}}, "match.platform"),
        ({"act": HANG, "match": {"for_s": 1, "until_at": 5}}, "match.for_s"),
        ({"act": HANG, "match": {"for_s": 0}}, "match.for_s"),
        ({"act": HANG, "match": {"from_at": 5, "until_at": 5}}, "match.until_at"),
        ({"act": HANG, "id": "a b"}, "id"),
        ({"act": {"type": "apns_reason", "reason": "Nope"}}, "act.reason"),
        ({"act": {"type": "apns_reason"}}, "act.reason"),
        ({"act": {"type": "fcm_error", "code": "Nope"}}, "act.code"),
        ({"act": {"type": "latency", "delay": {"shape": "fixed"}}}, "act.delay.delay_s"),
        ({"act": {"type": "latency", "delay": {"shape": "uniform", "min_s": 2, "max_s": 1}}}, "act.delay.max_s"),
        ({"act": {"type": "answer", "status": 200, "headers": {"a\nb": "c"}}}, "act.headers"),
        ({"act": {"type": "answer", "status": 99}}, "act.status"),
        ({"act": {"type": "expo", "status": 200}}, "act.status"),
        ({"act": {"type": "cut", "when": "during"}}, "act.when"),
        ({"act": {"type": "fcm_error", "code": "INTERNAL"}, "match": {"provider": "apns"}}, "match.provider"),
        ({"act": {"type": "small_window"}, "match": {"platform": "android"}}, "match.platform"),
    ],
)
def test_what_is_no_fault_is_refused_by_the_key_that_is_wrong(value: object, field: str) -> None:
    with pytest.raises(InvalidFault) as refused:
        decode_rule(value, now=NOW)

    assert refused.value.field == field
    assert refused.value.message


def test_an_unknown_reason_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidFault, match=r"'Nope' is no reason of APNs; there are BadCertificate, .*, Unregistered"):
        decode_rule({"act": {"type": "apns_reason", "reason": "Nope"}}, now=NOW)


def test_acts_without_a_name_are_written_as_the_ones_that_have_one() -> None:
    slow = FaultRule(id="a", act=Slow(0.5))
    answer = FaultRule(id="b", act=Answer(status=500, body=b"x", headers=(("h", "v"),)))

    assert encode_rule(slow)["act"] == {"type": "latency", "delay": {"shape": "fixed", "delay_s": 0.5}}
    assert decode_rule(encode_rule(answer), now=NOW).id == "b"
