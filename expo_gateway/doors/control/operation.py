"""An operation of the control API: where it is asked for, and what answers it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from msgspec import Struct
from starlette.routing import Route

from expo_gateway.doors.control.answers import Reply
from expo_gateway.doors.control.forms import Nothing, convert, read_json, read_query
from expo_gateway.world import World

PREFIX: Final = "/_gateway/v1"

Form = TypeVar("Form", bound=Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, past the guard."""

    world: World
    parameters: Mapping[str, str]
    """Of the path, decoded."""
    query: bytes = field(repr=False)
    body: bytes = field(repr=False)
    base_url: str
    """Where the client reaches us, without a slash at the end."""

    def query_as(self, form: type[Form]) -> Form:
        return read_query(self.query, form)

    def body_as(self, form: type[Form]) -> Form:
        """The body; there must be no query."""
        return convert(self.json(), form)

    def json(self) -> object:
        """The same before it is looked at."""
        self.no_query()
        return read_json(self.body)

    def no_query(self) -> None:
        read_query(self.query, Nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    """After the prefix, as Starlette writes them."""
    answer: Callable[[Asked], Awaitable[Reply]]
    """Raises ControlRefused, RequestRefused or StoreUnavailable."""
    waits: bool = False
    """It may take long, and is given up when the client leaves."""
    is_large: bool = False
    """Its body may be as large as a whole world."""

    @property
    def reads_body(self) -> bool:
        return self.method in ("POST", "PUT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Operations with what their paths are matched by; of two that match, the first is meant."""

    of_default: Sequence[tuple[Route, Operation]]
    of_runs: Sequence[tuple[Route, Operation]]
