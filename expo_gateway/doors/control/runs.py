"""Runs: worlds beside the default one. Asked of the default world only."""

import os
from functools import partial
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from expo_gateway.doors.control.answers import ControlRefused, Reply, conflict, deleted, invalid, no_such
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.doors.control.state import import_state
from expo_gateway.errors import StoreUnavailable, TooManyRuns
from expo_gateway.runs import RUN_NAME, Run, Runs

NAME_BYTES: Final = 8


class _New(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str | UnsetType = UNSET
    seed: dict[str, Any] | UnsetType = UNSET
    """What `POST state` takes; the run begins with it, and again after each reset."""


def operations(runs: Runs) -> list[Operation]:
    async def list_runs(asked: Asked) -> Reply:
        asked.no_query()
        return Reply(value={"runs": [_view(run, asked) for run in runs.list()], "max_runs": runs.max_runs})

    async def make_run(asked: Asked) -> Reply:
        form = asked.body_as(_New)
        name = os.urandom(NAME_BYTES).hex() if form.name is UNSET else _checked(form.name)
        is_new = runs.get(name) is None
        if form.seed is not UNSET and not is_new:
            raise conflict("the run is there already; a seed is for a new one, and POST state for this one", "seed")
        try:
            run = runs.get_or_make(name)
        except TooManyRuns as error:
            raise ControlRefused(503, str(error)) from None
        if form.seed is not UNSET:
            await _seed(run, form.seed)
        return Reply(value=_view(run, asked), status=201 if is_new else 200)

    async def get_run(asked: Asked) -> Reply:
        asked.no_query()
        return Reply(value=_view(_run(asked), asked))

    async def delete_run(asked: Asked) -> Reply:
        asked.no_query()
        if not await runs.remove(_run(asked).name):
            raise no_such("run")
        return deleted(1)

    async def delete_runs(asked: Asked) -> Reply:
        asked.no_query()
        return deleted(await runs.remove_all())

    async def _seed(run: Run, seed: dict[str, Any]) -> None:
        try:
            with runs.using(run) as world:
                await import_state(seed, world)
        except (ControlRefused, StoreUnavailable):
            await runs.remove(run.name)
            raise
        run.world.limits.start_here()
        run.world.begin = partial(import_state, seed, run.world)

    def _run(asked: Asked) -> Run:
        run = runs.get(asked.parameters["name"])
        if run is None:
            raise no_such("run")
        return run

    return [
        Operation(method="GET", path="/runs", answer=list_runs),
        Operation(method="POST", path="/runs", answer=make_run),
        Operation(method="DELETE", path="/runs", answer=delete_runs),
        Operation(method="GET", path="/runs/{name}", answer=get_run),
        Operation(method="DELETE", path="/runs/{name}", answer=delete_run),
    ]


def _checked(name: str) -> str:
    if RUN_NAME.fullmatch(name) is None:
        raise invalid("name wants 1 to 64 of A-Z a-z 0-9 . _ -", "name")
    return name


def _view(run: Run, asked: Asked) -> dict[str, object]:
    return {
        "name": run.name,
        "base_url": f"{asked.base_url}/r/{run.name}",
        "made_at": run.made_at,
        "used_at": run.used_at,
        "deliveries": len(run.world.journal),
    }
