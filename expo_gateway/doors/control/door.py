"""The control API as ASGI: which operation is asked for, and its answer or error. One door serves every world."""

import asyncio
import logging
from typing import Final

from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from expo_gateway.doors.bodies import Bodies, ClientGone
from expo_gateway.doors.control.answers import CODES, ControlRefused, Reply, respond
from expo_gateway.doors.control.guard import Guard
from expo_gateway.doors.control.operation import PREFIX, Asked, Operation, Tables
from expo_gateway.doors.http import REFUSED_WITH
from expo_gateway.errors import RequestRefused, StoreUnavailable
from expo_gateway.runs import Runs
from expo_gateway.world import World

log = logging.getLogger(__name__)

# Our choice: a world with all the deliveries that a run remembers, exported; everything but an import is far smaller.
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_STATE_BYTES: Final = 128 * 1024 * 1024


class ControlDoor:
    """`stopping`: set when a stop has begun; whoever waits is sent away then."""

    def __init__(
        self, *, guard: Guard, bodies: Bodies, state_bodies: Bodies, stopping: asyncio.Event, runs_of: Runs | None
    ) -> None:
        """`bodies` and `state_bodies` bound what is read: see MAX_BODY_BYTES. `runs_of`: None where there are none."""
        self._guard = guard
        self._bodies = bodies
        self._state_bodies = state_bodies
        self._stopping = stopping
        self._runs = runs_of
        self._tables: Tables | None = None

    async def serve(self, world: World, scope: Scope, receive: Receive, send: Send) -> None:
        """`scope`: its path is that within the world, and begins with PREFIX."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # before it is accepted: 403
            return
        closes = False
        headers: tuple[tuple[bytes, bytes], ...] = ()
        try:
            reply = await self._reply(world, scope, receive)
            status, value = reply.status, reply.value
        except ClientGone:
            return
        except ControlRefused as refused:
            status, value, headers = refused.status, refused.value, tuple(refused.headers)
            closes = status == 413 and scope["http_version"][0] == "1"
        except RequestRefused as refused:
            status = refused.status if refused.status in CODES else 400
            value = _error(status, refused.message)
            closes = status in (408, 413, 503) and scope["http_version"][0] == "1"
        except StoreUnavailable as error:
            status, value = 503, _error(503, str(error))
        except Exception:
            log.exception("%s %s failed", scope["method"], PREFIX)
            status, value = 500, _error(500, "an unknown error occurred; the log has it")
        if status >= 400:
            scope[REFUSED_WITH] = CODES[status]
        await respond(send, status, value, headers=headers, closes=closes)

    async def _reply(self, world: World, scope: Scope, receive: Receive) -> Reply:
        self._guard.check(scope["headers"])
        operation, parameters = self._find(world, scope)
        body = b""
        if operation.reads_body:
            bodies = self._state_bodies if operation.is_large else self._bodies
            body = await bodies.read(receive)
            _check_type(scope, body)
        asked = Asked(
            world=world, parameters=parameters, query=scope["query_string"], body=body, base_url=_base_url(scope)
        )
        if not operation.waits:
            return await operation.answer(asked)
        return await self._while_wanted(operation, asked, receive)

    def _find(self, world: World, scope: Scope) -> tuple[Operation, dict[str, str]]:
        if self._tables is None:
            # What answers is loaded by the first who asks: it would be a tenth of every start.
            from expo_gateway.doors.control.table import tables_of

            self._tables = tables_of(self._runs)
        table = self._tables.of_default if world.name is None else self._tables.of_runs
        allowed: dict[str, None] = {}
        path = ""
        for route, operation in table:
            matched, found = route.matches(scope)
            # As OpenAPI has it, the first path that matches is meant: `/deliveries/wait` is nobody's id.
            if matched is Match.NONE or (path and operation.path != path):
                continue
            path = operation.path
            if matched is Match.FULL:
                scope["route"] = route  # as Starlette does
                return operation, found["path_params"]
            allowed[operation.method] = None
        if not allowed:
            raise ControlRefused(404, "there is nothing here; GET /_gateway/v1/openapi.json tells what there is")
        methods = ", ".join(allowed)
        raise ControlRefused(405, f"wanted {methods}, got {scope['method']}", headers=[(b"allow", methods.encode())])

    async def _while_wanted(self, operation: Operation, asked: Asked, receive: Receive) -> Reply:
        """The answer, unless the client leaves first or the server stops."""
        answer = asyncio.ensure_future(operation.answer(asked))
        gone, stop = asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((answer, gone, stop), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if gone.done():
                raise ClientGone
            raise ControlRefused(503, "the gateway is stopping")
        finally:
            for task in (answer, gone, stop):
                task.cancel()
            await asyncio.wait((answer, gone, stop))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _check_type(scope: Scope, body: bytes) -> None:
    """A form of another site can't send JSON under its own name."""
    if not body:
        return
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise ControlRefused(415, "the body's content-type must be application/json")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise ControlRefused(415, "the body must not be compressed")


def _base_url(scope: Scope) -> str:
    """Where the client reaches us, without a slash at the end."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return f"{scope['scheme']}://{host}"


def _error(status: int, message: str) -> dict[str, object]:
    return {"error": {"code": CODES[status], "message": message}}
