"""Which requests a fault is for, and how often: rules alone, without a wire."""

import pytest

from expo_gateway.emulators.fault_acts import ApnsError, FcmError, Fixed, Latency, LogNormal, OAuthError, Uniform
from expo_gateway.emulators.fault_rules import FaultRule, Faults, Match, Occasion, Owner, take_request_fault
from expo_gateway.emulators.faults import Act, Answer, Disconnect, Hang, Outage, Reset, Slow, SmallWindow, StreamLimit
from expo_gateway.request_faults import RequestCut, RequestDelay, RequestError

NOW = 1_760_000_000.0
PUSH_TOKEN = "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"
OWNERS = {"aa": Owner(push_token=PUSH_TOKEN, project="@acme/shop")}


def occasion(device_token: str = "aa", *, now: float = NOW) -> Occasion:
    return Occasion(now=now, device_token=device_token, owner_of=OWNERS.get)


def hung(match: Match) -> Faults:
    faults = Faults()
    faults.add(FaultRule(act=Hang(), match=match))
    return faults


def acts(faults: Faults, count: int) -> str:
    """One character a push: x when the rule acted."""
    return "".join("." if faults.take("apns", occasion()) is None else "x" for _ in range(count))


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        (Match(), "aa bb"),
        (Match(device_token="aa"), "aa"),
        (Match(push_token=PUSH_TOKEN), "aa"),
        (Match(push_token="ExponentPushToken[other]"), ""),
        (Match(project="@acme/shop"), "aa"),
        (Match(project="@acme/desk"), ""),
        (Match(push_token=PUSH_TOKEN, device_token="bb"), ""),
        (Match(platform="ios"), "aa bb"),
    ],
)
def test_a_rule_acts_on_the_devices_that_it_names(match: Match, hit: str) -> None:
    faults = hung(match)

    assert " ".join(token for token in ("aa", "bb") if faults.take("apns", occasion(token))) == hit


def test_of_several_rules_the_first_that_matches_acts() -> None:
    faults = Faults()
    faults.force(Hang(), device_token="bb")
    faults.force(Disconnect(), device_token="aa")
    faults.force(Reset(7))

    assert [faults.take("apns", occasion(token)) for token in ("aa", "bb", "cc")] == [Disconnect(), Hang(), Reset(7)]


def test_every_third_request_that_fits_is_hit() -> None:
    faults = hung(Match(every=3, device_token="aa"))
    faults.take("apns", occasion("bb"))

    assert acts(faults, 7) == "..x..x."


def test_times_are_counted_and_then_the_rule_is_used_up() -> None:
    faults = Faults()
    rule = faults.force(Hang(), times=2)

    assert acts(faults, 4) == "xx.."
    counts = faults.counts(rule.id)
    assert (counts.seen, counts.acted, counts.is_used_up) == (2, 2, True)
    assert [kept.id for kept in faults] == [rule.id]
    assert "apns" not in faults


def test_a_probability_falls_the_same_way_every_time_and_otherwise_with_another_seed() -> None:
    first, again = (acts(hung(Match(probability=0.5, seed=7)), 40) for _ in range(2))

    assert first == again
    assert first != acts(hung(Match(probability=0.5, seed=8)), 40)
    assert 10 <= first.count("x") <= 30


@pytest.mark.parametrize(("probability", "expected"), [(0.0, "...."), (1.0, "xxxx")])
def test_the_ends_of_probability_are_never_and_always(probability: float, expected: str) -> None:
    assert acts(hung(Match(probability=probability)), 4) == expected


def test_a_rule_stands_from_one_instant_to_before_another() -> None:
    faults = hung(Match(from_at=NOW, until_at=NOW + 10))

    hits = [at for at in (-1, 0, 9, 10) if faults.take("apns", occasion(now=NOW + at))]

    assert hits == [0, 9]
    (rule,) = faults
    assert faults.counts(rule.id).seen == 2


@pytest.mark.parametrize(
    ("act", "match", "places"),
    [
        (Hang(), Match(), "apns fcm"),
        (Hang(), Match(provider="fcm"), "fcm"),
        (Hang(), Match(provider="oauth"), "oauth"),
        (Hang(), Match(platform="android"), "fcm"),
        (Outage(), Match(), "apns fcm oauth"),
        (Outage(), Match(provider="apns"), "apns"),
        (ApnsError(reason="Unregistered"), Match(), "apns"),
        (FcmError(code="INTERNAL"), Match(), "fcm"),
        (OAuthError(), Match(), "oauth"),
        (StreamLimit(), Match(provider="apns"), "connection"),
        (SmallWindow(), Match(), "connection"),
        (RequestCut(), Match(), "expo"),
        (RequestCut(), Match(provider="apns"), ""),
        (ApnsError(reason="Unregistered"), Match(platform="android"), ""),
        (FcmError(code="INTERNAL"), Match(provider="apns"), ""),
    ],
)
def test_a_rule_acts_where_its_act_and_its_match_agree(act: Act, match: Match, places: str) -> None:
    assert " ".join(sorted(FaultRule(act=act, match=match).places)) == places


def test_a_rule_that_could_act_nowhere_is_not_added() -> None:
    with pytest.raises(ValueError, match="never performed"):
        Faults().force(ApnsError(reason="Unregistered"), provider="fcm")


def test_rules_have_ids_of_their_own() -> None:
    faults = Faults()
    faults.add(FaultRule(id="fault-2", act=Hang()))
    second = faults.force(Hang())

    assert [rule.id for rule in faults] == ["fault-2", second.id]
    assert second.id != "fault-2"
    with pytest.raises(ValueError, match="fault-2 already"):
        faults.add(FaultRule(id="fault-2", act=Hang()))


def test_a_removed_rule_acts_no_more() -> None:
    faults = Faults()
    rule = faults.force(Hang())

    assert faults.remove(rule.id)
    assert not faults.remove(rule.id)
    assert faults.take("apns", occasion()) is None
    assert (len(faults), faults.get(rule.id)) == (0, None)


def test_used_up_rules_make_room_and_others_are_never_dropped() -> None:
    faults = Faults(max_rules=2)
    used = faults.force(Hang(), times=1)
    faults.force(Disconnect())
    assert faults.take("apns", occasion()) == Hang()

    faults.force(Hang(), device_token="bb")

    assert faults.get(used.id) is None
    with pytest.raises(ValueError, match="2 faults already"):
        faults.force(Hang())


def test_latencies_have_their_shapes_and_the_rules_dice() -> None:
    delays: dict[str, list[float]] = {}
    for delay in (Fixed(delay_s=0.2), Uniform(min_s=0.1, max_s=0.3), LogNormal(median_s=0.2, sigma=1, max_s=1)):
        faults = Faults()
        faults.add(FaultRule(act=Latency(delay=delay), match=Match(seed=3)))
        taken = [faults.take("fcm", occasion()) for _ in range(200)]
        delays[type(delay).__name__] = [act.delay_s for act in taken if isinstance(act, Slow)]

    assert set(delays["Fixed"]) == {0.2}
    assert 0.1 <= min(delays["Uniform"]) < 0.15 < 0.25 < max(delays["Uniform"]) <= 0.3
    assert max(delays["LogNormal"]) == 1
    assert 0.15 < sorted(delays["LogNormal"])[100] < 0.27


def test_410_gets_the_time_of_the_request_as_its_timestamp() -> None:
    faults = Faults()
    faults.force(ApnsError(reason="Unregistered"))

    assert faults.take("apns", occasion()) == Answer(
        status=410, reason="Unregistered", timestamp_ms=int(NOW * 1000), body=None
    )


def test_what_a_connection_must_be_like_leaves_the_request_to_later_rules() -> None:
    faults = Faults()
    faults.force(StreamLimit(2))
    faults.force(SmallWindow(), device_token="bb")
    faults.force(Hang())

    assert faults.take_connection(occasion()) == [StreamLimit(2)]
    assert faults.take("apns", occasion()) == Hang()


# -- requests to the Expo API ------------------------------------------------------------------------------------------


def requests(match: Match) -> Faults:
    faults = Faults()
    faults.force(Hang())
    faults.add(FaultRule(act=RequestError(status=429), match=match))
    return faults


@pytest.mark.parametrize(
    ("match", "is_hit"),
    [
        (Match(), True),
        (Match(push_token=PUSH_TOKEN), True),
        (Match(push_token="ExponentPushToken[other]"), False),
        (Match(project="@acme/shop"), True),
        (Match(project="@acme/desk"), False),
    ],
)
def test_a_request_is_hit_for_one_of_its_push_tokens_or_its_project(match: Match, is_hit: bool) -> None:
    tokens = ["ExponentPushToken[zzzzzzzzzzzzzzzzzzzzzz]", PUSH_TOKEN]

    act = take_request_fault(requests(match), tokens, "@acme/shop", now=NOW)

    assert act == (RequestError(status=429) if is_hit else None)


def test_429_on_the_first_request_and_then_fine() -> None:
    faults = requests(Match(times=1))

    taken = [take_request_fault(faults, [PUSH_TOKEN], None, now=NOW) for _ in range(2)]

    assert taken == [RequestError(status=429), None]


def test_delays_and_cuts_are_for_requests_too() -> None:
    faults = Faults()
    faults.add(FaultRule(act=RequestDelay(delay_s=1), match=Match(times=1)))
    faults.add(FaultRule(act=RequestCut(when="after")))

    taken = [take_request_fault(faults, [], None, now=NOW) for _ in range(2)]

    assert taken == [RequestDelay(delay_s=1), RequestCut(when="after")]


def test_tokens_stand_in_no_repr() -> None:
    match = Match(push_token=PUSH_TOKEN, device_token="d" * 64)
    rule = FaultRule(act=Hang(), match=match)

    text = repr(rule) + repr(OWNERS["aa"]) + repr(Occasion(now=NOW, device_token="d" * 64, push_tokens=[PUSH_TOKEN]))

    assert "xxxxxxxx" not in text
    assert "dddddddd" not in text
