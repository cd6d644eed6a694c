"""Faults: which requests they are for, how often, and what happens to those.

The rules of a world stand in the order in which they were added, and the first that matches acts. Dice are seeded and
the clock is the world's, so that the same requests in the same order meet the same faults.
"""

from collections.abc import Callable, Collection, Iterator
from random import Random
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from expo_gateway.emulators.fault_acts import FaultAct, Place, performed, places_of
from expo_gateway.emulators.faults import Act, Outage, SmallWindow, StreamLimit
from expo_gateway.request_faults import RequestAct, RequestCut, RequestDelay, RequestError

Provider = Literal["apns", "fcm", "oauth"]

# Our choice: more than any test has. Rules that are used up make room for others.
MAX_RULES = 1000
MAX_TIMES = 1_000_000_000


class Match(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a request must be for a rule to act; what is left out may be anything."""

    device_token: str | None = None
    push_token: str | None = None
    project: str | None = None
    """Its full name, @owner/slug."""
    platform: Literal["ios", "android"] | None = None
    provider: Provider | None = None
    """None: APNs and FCM; the token endpoint too for an outage."""
    every: Annotated[int, Meta(ge=1, le=MAX_TIMES)] = 1
    """3: of the requests that fit all of the above, the third, the sixth, ..."""
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0
    """Of the dice for `probability` and for latencies."""
    times: Annotated[int, Meta(ge=1, le=MAX_TIMES)] | None = None
    """The rule acts so often and is used up then; None: without end."""
    from_at: float | None = None
    until_at: float | None = None
    """The rule stands from the one instant to before the other, by the world's clock."""

    def __repr__(self) -> str:
        return f"Match(provider={self.provider!r}, every={self.every}, times={self.times})"  # tokens are secrets


class FaultRule(Struct, frozen=True, kw_only=True):
    act: FaultAct | Act
    match: Match = field(default_factory=Match)
    id: str = ""
    """"": `Faults.add` makes one."""

    @property
    def places(self) -> frozenset[Place]:
        """Where the rule acts; empty when its act and its match contradict each other."""
        wanted = {"ios": {"apns", "connection"}, "android": {"fcm"}}.get(self.match.platform or "")
        named = {"apns": {"apns", "connection"}, "fcm": {"fcm"}, "oauth": {"oauth"}}.get(self.match.provider or "")
        places = places_of(self.act)
        if named is None and len(places) > 1 and not isinstance(self.act, Outage):
            named = {"apns", "fcm"}
        return frozenset(place for place in places if place in (named or places) and place in (wanted or places))


class FaultCounts(Struct, frozen=True, kw_only=True):
    """`seen`: requests that were what the rule's match names; `acted`: those that met the act."""

    seen: int
    acted: int
    is_used_up: bool


class Owner(Struct, frozen=True, kw_only=True):
    """Whose a device token is."""

    push_token: str
    project: str
    """The full name."""

    def __repr__(self) -> str:
        return f"Owner(project={self.project!r})"  # tokens are secrets


class Occasion(Struct, frozen=True, kw_only=True):
    """One request, as far as rules ask."""

    now: float
    device_token: str = ""
    owner_of: Callable[[str], Owner | None] | None = None
    """Asked only when a rule names a push token or a project."""
    push_tokens: Collection[str] = ()
    """With `project` what is known at the door, where there may be many."""
    project: str | None = None

    def __repr__(self) -> str:
        return f"Occasion(now={self.now!r}, project={self.project!r})"  # tokens are secrets

    def is_for(self, match: Match) -> bool:
        if match.device_token is not None and match.device_token != self.device_token:
            return False
        if match.push_token is None and match.project is None:
            return True
        owner = self.owner_of(self.device_token) if self.owner_of and self.device_token else None
        push_tokens, project = ((owner.push_token,), owner.project) if owner else (self.push_tokens, self.project)
        return (match.push_token is None or match.push_token in push_tokens) and match.project in (None, project)


class Standing:
    """A rule with its dice and counts."""

    def __init__(self, rule: FaultRule, *, number: int) -> None:
        self.rule = rule
        self.number = number
        self.dice = Random(rule.match.seed)
        self.seen = 0
        self.acted = 0

    @property
    def is_used_up(self) -> bool:
        return self.acted == self.rule.match.times

    def stands(self, now: float) -> bool:
        match = self.rule.match
        return (match.from_at is None or match.from_at <= now) and (match.until_at is None or now < match.until_at)

    def meets(self, occasion: Occasion) -> bool:
        """Whether the rule acts on this request, which is counted."""
        match = self.rule.match
        if not self.stands(occasion.now) or not occasion.is_for(match):
            return False
        self.seen += 1
        if self.seen % match.every or (match.probability < 1 and self.dice.random() >= match.probability):
            return False
        self.acted += 1
        return True


class Faults:
    """The faults of one world, in the order in which they were added."""

    def __init__(self, *, max_rules: int = MAX_RULES) -> None:
        self._max_rules = max_rules
        self._all: dict[str, Standing] = {}
        self._at: dict[Place, list[Standing]] = {}
        self.added = 0
        """How many rules were ever added: numbers them, from 1."""

    def add(self, rule: FaultRule) -> FaultRule:
        """The rule with its id. ValueError: the id is taken, the rule can't act anywhere, or there are too many."""
        if rule.id in self._all:
            raise ValueError(f"there is a fault {rule.id} already")
        if not rule.places:
            raise ValueError("the fault's act is never performed where its match looks")
        self._make_room()
        self.added += 1
        named = rule if rule.id else FaultRule(id=self._free_id(), match=rule.match, act=rule.act)
        standing = self._all[named.id] = Standing(named, number=self.added)
        for place in named.places:
            self._at.setdefault(place, []).append(standing)
        return named

    def force(
        self,
        act: FaultAct | Act,
        *,
        device_token: str | None = None,
        provider: Provider | None = None,
        times: int | None = None,
    ) -> FaultRule:
        """Add the commonest kind of rule."""
        return self.add(FaultRule(act=act, match=Match(device_token=device_token, provider=provider, times=times)))

    def remove(self, rule_id: str) -> bool:
        """False: there is none."""
        standing = self._all.pop(rule_id, None)
        if standing is not None:
            self._rest(standing)
        return standing is not None

    def clear(self) -> None:
        self._all.clear()
        self._at.clear()

    def get(self, rule_id: str) -> FaultRule | None:
        standing = self._all.get(rule_id)
        return None if standing is None else standing.rule

    def counts(self, rule_id: str) -> FaultCounts:
        """KeyError: there is no such rule."""
        standing = self._all[rule_id]
        return FaultCounts(seen=standing.seen, acted=standing.acted, is_used_up=standing.is_used_up)

    def __iter__(self) -> Iterator[FaultRule]:
        return iter([standing.rule for standing in self._all.values()])

    def __len__(self) -> int:
        return len(self._all)

    def newest(self, place: Place, *, now: float) -> int:
        """The number of the newest rule that stands there; 0: none."""
        return max((standing.number for standing in self._at.get(place, ()) if standing.stands(now)), default=0)

    def __contains__(self, place: Place) -> bool:
        """Whether anything may act there: asked before each request, since mostly nothing may."""
        return place in self._at

    def take(self, place: Literal["apns", "fcm", "oauth"], occasion: Occasion) -> Act | None:
        """What is to be done with the request, None: the ordinary. Uses up one of the rule's `times`."""
        standing = self._first(place, occasion)
        if standing is None:
            return None
        act = standing.rule.act
        # Such rules have places of their own.
        assert not isinstance(act, StreamLimit | SmallWindow | RequestError | RequestDelay | RequestCut)
        return performed(act, now=occasion.now, dice=standing.dice)

    def take_connection(self, occasion: Occasion) -> list[StreamLimit | SmallWindow]:
        """What the connection of this request to APNs must be like; all rules that match count."""
        acts = [s.rule.act for s in tuple(self._at.get("connection", ())) if self._meets(s, occasion)]
        return [act for act in acts if isinstance(act, StreamLimit | SmallWindow)]

    def take_request(self, occasion: Occasion) -> RequestAct | None:
        """See `take_request_fault`."""
        standing = self._first("expo", occasion)
        act = standing and standing.rule.act
        return act if isinstance(act, RequestError | RequestDelay | RequestCut) else None

    def _first(self, place: Place, occasion: Occasion) -> Standing | None:
        return next((s for s in self._at.get(place, ()) if self._meets(s, occasion)), None)

    def _meets(self, standing: Standing, occasion: Occasion) -> bool:
        meets = standing.meets(occasion)
        if standing.is_used_up:
            self._rest(standing)
        return meets

    def _rest(self, standing: Standing) -> None:
        """It acts no more, but its counts stay."""
        for place in standing.rule.places:
            rules = [other for other in self._at.get(place, ()) if other is not standing]
            if rules:
                self._at[place] = rules
            else:
                self._at.pop(place, None)

    def _make_room(self) -> None:
        if len(self._all) < self._max_rules:
            return
        oldest = next((rule_id for rule_id, standing in self._all.items() if standing.is_used_up), None)
        if oldest is None:
            raise ValueError(f"there are {self._max_rules} faults already, and none is used up")
        del self._all[oldest]

    def _free_id(self) -> str:
        number = self.added
        while f"fault-{number}" in self._all:
            number += 1
        return f"fault-{number}"


def take_request_fault(
    faults: Faults, push_tokens: Collection[str], project: str | None, *, now: float
) -> RequestAct | None:
    """What a door is to do with a request to these push tokens, None: the ordinary. Uses up one of the rule's `times`.

    A rule with a push token is for requests that have it among others; `project` is the full name, if it is known.
    """
    if "expo" not in faults:
        return None
    return faults.take_request(Occasion(now=now, push_tokens=push_tokens, project=project))
