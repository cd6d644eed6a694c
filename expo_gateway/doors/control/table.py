"""All operations of the control API, in the order in which their paths are tried."""

from typing import Final

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from expo_gateway.doors.control import (
    batches,
    captures,
    clock,
    counts,
    deliveries,
    devices,
    document,
    faults,
    home_assistant,
    runs,
    state,
    waits,
)
from expo_gateway.doors.control.operation import PREFIX, Operation, Tables
from expo_gateway.runs import Runs

_OF_EVERY_WORLD: Final = (
    *document.OPERATIONS,
    *waits.OPERATIONS,
    *deliveries.OPERATIONS,
    *batches.OPERATIONS,
    *captures.OPERATIONS,
    *faults.OPERATIONS,
    *clock.OPERATIONS,
    *devices.OPERATIONS,
    *counts.OPERATIONS,
    *state.OPERATIONS,
)


def tables_of(runs_of: Runs | None) -> Tables:
    """`runs_of` None: there are no runs."""
    everywhere = [_routed(operation) for operation in _OF_EVERY_WORLD]
    only_of_default = (*home_assistant.OPERATIONS, *(runs.operations(runs_of) if runs_of is not None else ()))
    return Tables(of_default=[*everywhere, *map(_routed, only_of_default)], of_runs=everywhere)


def _routed(operation: Operation) -> tuple[Route, Operation]:
    return Route(PREFIX + operation.path, _never, methods=[operation.method]), operation


async def _never(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("routes are for matching only")
