"""What every log line of a task carries: the request, batch or delivery that it is about.

A task has its own context and passes a copy to the tasks that it starts, so nothing is ever unbound. It is the one
piece of module state: log lines are written where nobody could pass it in. structlog has the same
(https://www.structlog.org/en/stable/contextvars.html), but takes a tenth of a second to import.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

_NOTHING: Mapping[str, object] = MappingProxyType({})
_bound: ContextVar[Mapping[str, object]] = ContextVar("expo_gateway_log_context", default=_NOTHING)


def bind(**fields: object) -> None:
    """Add to what the log lines of this task, and of tasks that it starts from now on, carry. Never a whole token.

    A field is what `str` makes of it when a line is written: what costs something to make may be made as late as that.
    """
    _bound.set({**_bound.get(), **fields})


def bound() -> Mapping[str, str]:
    return {name: str(value) for name, value in _bound.get().items()}
