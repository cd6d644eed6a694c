"""What is noted of every request: its id, its place in the metrics and, when asked for, its line in the access log."""

import logging
import uuid
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expo_gateway.doors.http import REFUSED_WITH, shown_path
from expo_gateway.log_context import bind, bound
from expo_gateway.metrics import OTHER, RequestCounts

access_log = logging.getLogger("expo_gateway.access")

# nginx's: the client left before it was answered.
CLIENT_GONE = 499


class RequestId:
    """A UUID that is made when somebody wants to see it: most requests are answered, and nobody asks."""

    __slots__ = ("_text",)

    def __init__(self) -> None:
        self._text = ""

    def __str__(self) -> str:
        if not self._text:
            self._text = str(uuid.uuid4())
        return self._text


def request_id() -> str:
    """Of the request that this task serves: the same in the answer's `requestId` and in every log line."""
    return bound().get("request_id") or str(uuid.uuid4())


class Observed:
    """An ASGI app around the one that has the routes. `clock` counts seconds and need not know the date."""

    def __init__(self, app: ASGIApp, *, counts: RequestCounts, clock: Callable[[], float]) -> None:
        self._app = app
        self._counts = counts
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        bind(request_id=RequestId())
        began_at = self._clock()
        status, size_bytes = CLIENT_GONE, 0

        async def noted(message: Message) -> None:
            nonlocal status, size_bytes
            kind = message["type"]
            if kind == "http.response.start":
                status = message["status"]
            elif kind == "http.response.body":
                size_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            # Who serves us logs it and answers 500, unless the answer had begun.
            status = 500 if status == CLIENT_GONE else status
            raise
        finally:
            self._note(scope, status=status, size_bytes=size_bytes, took_s=self._clock() - began_at)

    def _note(self, scope: Scope, *, status: int, size_bytes: int, took_s: float) -> None:
        code = scope.get(REFUSED_WITH)
        self._counts.add(_route(scope), status=status, code=code, took_s=took_s)
        if access_log.isEnabledFor(logging.INFO):
            # Without the query: it may hold tokens.
            fields = {
                "method": scope["method"],
                "path": shown_path(scope["path"]),
                "status": status,
                "ms": round(took_s * 1000, 2),
                "bytes": size_bytes,
                **({"code": code} if code is not None else {}),
            }
            access_log.info("request", extra=fields)


def _route(scope: Scope) -> str:
    """The path as it is declared, not as it was asked for: there are few of them."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else OTHER
