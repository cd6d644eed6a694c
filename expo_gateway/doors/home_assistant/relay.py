"""The push relay of Home Assistant, by the paths of the official one. Mountable under a prefix.

Source: https://developers.home-assistant.io/docs/api/native-app-integration/notifications and facts of the official
relay, observed 2026-11. Home Assistant takes any answer for a failed push that is not of the type application/json, and
stumbles over one that is not an object: so each is one, whatever happens.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Literal, Protocol

import orjson
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from expo_gateway.doors.bodies import Bodies, ClientGone
from expo_gateway.doors.http import REFUSED_WITH, bearer_of
from expo_gateway.errors import RequestRefused

log = logging.getLogger(__name__)


class Answer(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> Mapping[str, object]: ...


class Relay(Protocol):
    """What lies behind. It answers everything; nothing is raised."""

    @property
    def exact(self) -> bool: ...

    async def push_body(
        self, endpoint: Literal["legacy", "android"], body: bytes, *, bearer: str | None = None
    ) -> Answer: ...

    async def check_body(self, body: bytes) -> Answer: ...

    def refusal(self, error: RequestRefused) -> Answer: ...


def routes(relay: Relay, *, bodies: Bodies, prefix: str = "") -> list[BaseRoute]:
    """`prefix`: "" or a path without a slash at its end."""

    async def push(endpoint: Literal["legacy", "android"], body: bytes, bearer: str | None) -> Answer:
        return await relay.push_body(endpoint, body, bearer=bearer)

    async def check(body: bytes, bearer: str | None) -> Answer:
        return await relay.check_body(body)

    def endpoint(answer: Callable[[bytes, str | None], Awaitable[Answer]]) -> RelayEndpoint:
        return RelayEndpoint(answer, relay=relay, bodies=bodies)

    return [
        Route(f"{prefix}/api/sendPushNotification", endpoint(partial(push, "legacy"))),
        Route(f"{prefix}/api/sendPush/android/v1", endpoint(partial(push, "android"))),
        Route(f"{prefix}/api/checkRateLimits", endpoint(check)),
    ]


class RelayEndpoint:
    """A POST endpoint as an ASGI callable: body in, a JSON object out."""

    def __init__(
        self, answer: Callable[[bytes, str | None], Awaitable[Answer]], *, relay: Relay, bodies: Bodies
    ) -> None:
        self._answer = answer
        self._relay = relay
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = False
        try:
            self._refuse_request(scope)
            body = await self._bodies.read(receive)
            is_read = True
            answer = await self._answer(body, bearer_of(scope))
            status, text = answer.status, orjson.dumps(answer.body)
        except ClientGone:
            return
        except RequestRefused as refused:
            answer = self._relay.refusal(refused)
            status, text = answer.status, orjson.dumps(answer.body)
        except Exception:
            log.exception("%s failed", scope["path"])
            status, text = 500, _FAILED
        if status >= 400:
            scope[REFUSED_WITH] = f"RELAY_{status}"
        await _respond(send, status, text, closes=not is_read and scope["http_version"][0] == "1")

    def _refuse_request(self, scope: Scope) -> None:
        """RequestRefused: not a POST. Exact: not of the one type that the official relay reads."""
        if scope["method"] != "POST":
            status, wanted = (404 if self._relay.exact else 405), "POST"
            raise RequestRefused("NOT_FOUND", f"Got {scope['method']} {scope['path']}; wanted {wanted}.", status=status)
        if not self._relay.exact:
            return
        given = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
        if given != b"application/json":
            raise RequestRefused("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type", status=415)


_FAILED = orjson.dumps(
    {
        "errorType": "InternalError",
        "message": "The relay failed; its log says why. The notification may not have been accepted.",
    }
)


async def _respond(send: Send, status: int, text: bytes, *, closes: bool) -> None:
    """`closes`: the rest of the request may still be under way. HTTP/2 has no such header: a stream ends by itself."""
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    if status == 405:
        headers.append((b"allow", b"POST"))
    if closes:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
