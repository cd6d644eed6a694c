"""Answers of the control API: JSON values, and errors as `{"error": {"code", "message", "field"?}}`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from msgspec import Struct
from starlette.types import Send

CODES: Final = {
    400: "INVALID_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "TIMEOUT",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
# What devices received is nobody else's business, and never the same twice.
_HEADERS: Final = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Reply(Struct, frozen=True, kw_only=True):
    value: object
    """A JSON value."""
    status: int = 200


class ControlRefused(Exception):
    """The request is answered with an error, and nothing was changed. Messages name no whole token."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        wrong: str | None = None,
        beside: Mapping[str, object] | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """`wrong`: the parameter or key. `beside`: what the answer has next to `error`."""
        super().__init__(message)
        self.status = status
        self.headers = headers
        error: dict[str, object] = {"code": CODES[status], "message": message}
        if wrong is not None:
            error["field"] = wrong
        self.value: dict[str, object] = {"error": error, **(beside or {})}

    @property
    def code(self) -> str:
        return CODES[self.status]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """JSON that is written already."""

    body: bytes = field(repr=False)


def invalid(message: str, wrong: str | None = None) -> ControlRefused:
    return ControlRefused(400, message, wrong=wrong)


def no_such(thing: str) -> ControlRefused:
    return ControlRefused(404, f"there is no such {thing}")


def conflict(message: str, wrong: str | None = None) -> ControlRefused:
    return ControlRefused(409, message, wrong=wrong)


def deleted(count: int) -> Reply:
    return Reply(value={"deleted": count})


async def respond(
    send: Send, status: int, value: object, *, headers: Sequence[tuple[bytes, bytes]] = (), closes: bool = False
) -> None:
    """`closes`: the rest of the request is unread."""
    body = value.body if isinstance(value, Written) else orjson.dumps(value)
    all_headers = [*_HEADERS, *headers, (b"content-length", b"%d" % len(body))]
    if closes:
        all_headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})
