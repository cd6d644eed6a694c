"""What a test hears when something did not come: AssertionErrors whose texts say what was nearest. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from expo_gateway.testing.filters import Filter, described
from expo_gateway.testing.records import shown

# Our choice: an assertion's message stays one screen.
MAX_SHOWN = 5


class NotSent(AssertionError):
    """Too few deliveries were as wanted. `nearest` are the others, as the control API tells them: the nearest first."""

    def __init__(self, text: str, *, nearest: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(text)
        self.nearest = nearest


class NotSettled(AssertionError):
    """A receipt did not come, or something is still on its way."""


def not_sent(wanted: Filter, *, count: int, timeout_s: float, url: str, answer: Mapping[str, Any]) -> NotSent:
    nearest = answer.get("nearest", ())
    found = answer.get("deliveries", ())
    amount = "no delivery" if count == 1 else f"{len(found)} of {count} deliveries"
    said = f"{amount} with {described(wanted)}" if wanted else amount
    lines = [f"{said} within {timeout_s:g} s", *_matched(found), *_nearest(nearest)]
    if not nearest and not found:
        lines.append(f"  nothing at all was sent to {url}: does the code under test send there?")
    return NotSent("\n".join(lines), nearest=nearest)


def not_settled(tickets: Mapping[str, Any], *, timeout_s: float) -> NotSettled:
    missing = tickets.get("missing", ())
    lines = [f"{len(missing)} receipts did not come within {timeout_s:g} s"]
    lines += [f"  {one['id']}: {one['state'] or 'no delivery has this id'}{_due(one)}" for one in missing[:MAX_SHOWN]]
    return NotSettled("\n".join(lines))


def not_idle(answer: Mapping[str, Any], *, timeout_s: float) -> NotSettled:
    lines = [f"{answer.get('unsettled', 'some')} deliveries have no receipt after {timeout_s:g} s"]
    lines += [f"  {shown(delivery)}{_due(delivery)}" for delivery in answer.get("nearest", ())[:MAX_SHOWN]]
    return NotSettled("\n".join(lines))


def sent_after_all(wanted: Filter, deliveries: Sequence[str]) -> AssertionError:
    """`deliveries`: as they are shown."""
    what = f"{len(deliveries)} deliveries with {described(wanted)}" if wanted else f"{len(deliveries)} deliveries"
    more = len(deliveries) - MAX_SHOWN
    lines = [f"{what}, wanted none", *(f"  {one}" for one in deliveries[:MAX_SHOWN])]
    return AssertionError("\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])]))


def _matched(deliveries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from (f"  found: {shown(delivery)}" for delivery in deliveries[:MAX_SHOWN])


def _nearest(nearest: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for near in nearest[:MAX_SHOWN]:
        yield f"  nearest: {shown(near['delivery'])}"
        yield from (f"    {miss['why']}" for miss in near["misses"])


def _due(told: Mapping[str, Any]) -> str:
    return "" if told.get("due_at") is None else f", due at {told['due_at']:.3f} by the clock of the run"
