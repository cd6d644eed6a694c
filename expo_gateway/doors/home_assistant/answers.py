"""What Home Assistant's own endpoints have in common: a bearer token, a JSON body, and answers in aiohttp's words.

Apps and Apprise go by the status; people read the texts.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import orjson
from starlette.types import Receive, Scope, Send

from expo_gateway.doors.bodies import Bodies, ClientGone
from expo_gateway.doors.home_assistant.auth import Tokens, user_of
from expo_gateway.errors import RequestRefused, StoreUnavailable

log = logging.getLogger(__name__)

JSON: Final = b"application/json"
TEXT: Final = b"text/plain; charset=utf-8"
# Our choice: what is registered, and what is sent, is far smaller.
MAX_BODY_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    method: str
    parameters: Mapping[str, str] = field(repr=False)
    """Of the path, decoded."""
    body: bytes = field(repr=False)
    user_id: str
    """Whose token came with it; "" where none is asked for."""

    def json(self) -> object:
        """Raises ValueError."""
        value: object = orjson.loads(self.body)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int = 200
    body: bytes = b""
    content_type: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


Answer = Callable[[Asked], Awaitable[Reply]]
"""Raises RequestRefused or StoreUnavailable."""


def json_reply(value: object, status: int = 200) -> Reply:
    return Reply(status=status, body=orjson.dumps(value))


def message_reply(status: int, message: str) -> Reply:
    return json_reply({"message": message}, status)


def text_reply(status: int, *headers: tuple[bytes, bytes]) -> Reply:
    """`400: Bad Request`, as aiohttp writes it."""
    text = f"{status}: {HTTPStatus(status).phrase}"
    return Reply(status=status, body=text.encode(), content_type=TEXT, headers=headers)


class Endpoint:
    """One path as an ASGI app."""

    def __init__(
        self, answer: Answer, *, bodies: Bodies, tokens: Tokens | None = None, methods: Sequence[str] = ("POST",)
    ) -> None:
        """`tokens`: whose the bearer token may be; None where none is asked for."""
        self._answer = answer
        self._bodies = bodies
        self._tokens = tokens
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        closes = False
        try:
            reply = await self._reply(scope, receive)
        except ClientGone:
            return
        except RequestRefused as refused:
            reply = message_reply(refused.status, refused.message)
            closes = refused.status in (408, 413, 503)
        except StoreUnavailable:
            # The store has said in the log what to do.
            reply = message_reply(503, "The gateway can't store or read anything at the moment. Try again.")
        except Exception:
            log.exception("%s failed", scope["route"].path)
            reply = message_reply(500, "An unknown error occurred; the log has it.")
        await respond(send, reply, closes=closes and scope["http_version"][0] == "1")

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        if scope["method"] not in self._methods:
            return text_reply(405, (b"allow", ", ".join(self._methods).encode()))
        user_id: str | None = ""
        if self._tokens is not None:
            user_id = await user_of(scope, self._tokens)
        if user_id is None:
            return text_reply(401, (b"www-authenticate", b"Bearer"))
        body = await self._bodies.read(receive) if scope["method"] != "GET" else b""
        return await self._answer(
            Asked(method=scope["method"], parameters=scope.get("path_params", {}), body=body, user_id=user_id)
        )


async def respond(send: Send, reply: Reply, *, closes: bool = False) -> None:
    """`closes`: the rest of the request is unread."""
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    if reply.body:
        headers.insert(0, (b"content-type", reply.content_type))
    if closes:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
