"""Which deliveries are meant: the parameters of every operation that looks for some."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from expo_gateway.doors.control.answers import Reply
from expo_gateway.doors.control.forms import instant
from expo_gateway.journal.entry import State
from expo_gateway.journal.query import Condition
from expo_gateway.protocol.device import Platform

# Our choice: 300 ticket ids make a query of some 11 kB; servers take 16 and more.
MAX_IDS: Final = 300
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
DEFAULT_TIMEOUT_S: Final = 5.0
# Our choice: below the patience of proxies and test runners.
MAX_TIMEOUT_S: Final = 120.0

Id = Annotated[str, Meta(min_length=1)]
Ids = Annotated[list[Id], Meta(min_length=1, max_length=MAX_IDS)]
Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]
TimeoutS = Annotated[float, Meta(ge=0, le=MAX_TIMEOUT_S)]
"""Seconds of real time."""


class Sought(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beside these there is `data.<path>`."""

    to: str | None = None
    title: str | None = None
    subtitle: str | None = None
    body: str | None = None
    text: str | None = None
    state: Annotated[list[State], Meta(min_length=1)] | None = None
    platform: Platform | None = None
    project: str | None = None
    batch: str | None = None
    ticket: Ids | None = None
    since: str | None = None


def condition(sought: Sought, data: dict[str, object]) -> Condition:
    """Raises ControlRefused (400)."""
    return Condition(
        ticket_ids=None if sought.ticket is None else frozenset(ticket.lower() for ticket in sought.ticket),
        batch_id=sought.batch,
        push_token=sought.to,
        title=sought.title,
        subtitle=sought.subtitle,
        body=sought.body,
        text=sought.text,
        data=data,
        states=None if sought.state is None else frozenset(sought.state),
        platform=sought.platform,
        project=sought.project,
        since=None if sought.since is None else instant(sought.since, "since", is_query=True),
    )


def page(name: str, values: list[object], after: list[str], *, limit: int) -> Reply:
    """The first `limit` values; `after[i]` is the cursor behind `values[i]`."""
    following = after[limit - 1] if len(values) > limit else None
    return Reply(value={name: values[:limit], "next": following})
