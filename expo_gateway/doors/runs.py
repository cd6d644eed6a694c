"""Where runs are told apart: `/r/<name>` before any path leads to a world of its own, and `/_gateway` to its control.

All that is behind Expo's own paths, which are looked up first, and so costs them nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.doors.http import REFUSED_WITH, errors_json, is_under, not_found, respond
from expo_gateway.errors import RequestRefused, TooManyRuns
from expo_gateway.log_context import bind
from expo_gateway.runs import RUN_NAME, Run, Runs
from expo_gateway.world import World

RUN_PREFIX: Final = "/r"
CONTROL_PREFIX: Final = "/_gateway"
# What the routes of Expo's API leave in the scope for who counts requests.
_LEFT_BEHIND: Final = ("route", REFUSED_WITH)

Serve = Callable[[World, Scope, Receive, Send], Awaitable[None]]


class RunsDoor:
    """Everything that is not one of Expo's paths. `expo_of` makes the doors of a world; `control` is every world's."""

    def __init__(
        self,
        runs: Runs,
        *,
        expo_of: Callable[[World], ASGIApp],
        control: Serve,
        otherwise: ASGIApp,
        request_id: Callable[[], str],
    ) -> None:
        self._runs = runs
        self._expo_of = expo_of
        self._control = control
        self._otherwise = otherwise
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if is_under(RUN_PREFIX, path):
            await self._serve_run(scope, receive, send)
        elif is_under(CONTROL_PREFIX, path):
            await self._control(self._runs.default, scope, receive, send)
        else:
            await self._otherwise(scope, receive, send)

    async def _serve_run(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = _within(scope)
        name = scope["path"][len(RUN_PREFIX) + 1 :].partition("/")[0]
        try:
            run = self._run(name, inner["path"])
        except RequestRefused as refused:
            await _refuse(inner, send, refused, request_id=self._request_id())
        else:
            bind(run=name)
            with self._runs.using(run) as world:
                await self._serve(world, inner, receive, send)
        scope.update((key, inner[key]) for key in _LEFT_BEHIND if key in inner)

    def _run(self, name: str, path: str) -> Run:
        """RequestRefused: there can be none, or none now."""
        if not RUN_NAME.fullmatch(name):
            raise _bad_name()
        if not _is_known(path):
            raise not_found()
        try:
            return self._runs.get_or_make(name)
        except TooManyRuns as error:
            raise RequestRefused("TOO_MANY_RUNS", f"{error}.", status=503, is_transient=True) from error

    async def _serve(self, world: World, scope: Scope, receive: Receive, send: Send) -> None:
        if is_under(CONTROL_PREFIX, scope["path"]):
            await self._control(world, scope, receive, send)
        else:
            await self._app_of(world)(scope, receive, send)

    def _app_of(self, world: World) -> ASGIApp:
        if world.doors is None:
            world.doors = self._expo_of(world)
        return world.doors


class NoRuns:
    """In place of that where there are no runs and no control API: says why."""

    def __init__(self, why: str, *, status: int, otherwise: ASGIApp, request_id: Callable[[], str]) -> None:
        self._refused = RequestRefused("NO_RUNS", why, status=status)
        self._otherwise = otherwise
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if not is_under(RUN_PREFIX, path) and not is_under(CONTROL_PREFIX, path):
            await self._otherwise(scope, receive, send)
        else:
            await _refuse(_within(scope), send, self._refused, request_id=self._request_id())


async def _refuse(scope: Scope, send: Send, refused: RequestRefused, *, request_id: str) -> None:
    """In the words of the API that was asked for. What the body of the request holds is left unread."""
    body = errors_json(refused, request_id=request_id)
    if is_under(CONTROL_PREFIX, scope["path"]):
        body = orjson.dumps({"error": {"code": refused.code, "message": refused.message}})
    scope[REFUSED_WITH] = refused.code
    await respond(send, refused.status, body, closes=scope["http_version"][0] == "1")


def _within(scope: Scope) -> Scope:
    """The scope without the prefix of a run, if it has one."""
    path = scope["path"]
    if not is_under(RUN_PREFIX, path):
        return scope
    return {**scope, "path": "/" + path[len(RUN_PREFIX) + 1 :].partition("/")[2]}


def _is_known(path: str) -> bool:
    """Whether a run may be made for it; else a browser that asks for an icon would make one."""
    return path == "/" or path.startswith("/--/") or is_under(CONTROL_PREFIX, path)


def _bad_name() -> RequestRefused:
    text = "A run's name, after /r/, is of 1 to 64 letters, digits, dots, hyphens and underscores."
    return RequestRefused("INVALID_RUN_NAME", text)
