"""What every door needs of HTTP: bodies under a cap and a deadline, Expo's errors, answers as exp.host writes them."""

import asyncio
import logging
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha1
from typing import Final

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.errors import RequestRefused, StoreUnavailable
from expo_gateway.protocol.body import MAX_BODY_BYTES, too_large

log = logging.getLogger(__name__)

Answer = Callable[[bytes], Awaitable[bytes]]
"""Body as it arrived -> JSON of the answer. Raises RequestRefused or StoreUnavailable."""

# Our choice: so much of a body that is too large is read and thrown away, so that the client gets to read the answer.
MAX_DRAIN_BYTES = 8 * MAX_BODY_BYTES
BODY_TIMEOUT_S = 30.0

# Recorded on every answer of exp.host's own servers; what its load balancer adds is left out.
_RECORDED_HEADERS: Final = [
    (b"vary", b"Accept-Encoding, Origin"),
    (
        b"content-security-policy",
        b"default-src 'none';base-uri 'self';font-src 'self' https: data:;form-action 'self';frame-ancestors 'self';"
        b"img-src 'self' data:;object-src 'none';script-src 'self';script-src-attr 'none';"
        b"style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests",
    ),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-type", b"application/json; charset=utf-8"),
]

# Documented; the keys that today's server may add are not known.
INTERNAL_ERROR_JSON = b'{"errors":[{"code":"INTERNAL_SERVER_ERROR","message":"An unknown error occurred."}]}'

# Known encodings that nobody who speaks to Expo sends. gzip and deflate are told by the body itself.
_UNREADABLE = frozenset({b"br", b"zstd", b"compress"})

# After these answers the rest of the request may still be under way.
_UNREAD = (408, 413, 415)

_ORIGIN = re.compile("^https?://[^/]*", re.IGNORECASE)
_SLASHES = re.compile("/{2,}")


class ClientGone(Exception):
    """The client left before its request was complete; nobody waits for an answer."""


class JsonEndpoint:
    """A POST endpoint of Expo's API as an ASGI callable: body in, JSON out, errors in Expo's shape."""

    def __init__(
        self, answer: Answer, *, request_id: Callable[[], str], body_timeout_s: float = BODY_TIMEOUT_S
    ) -> None:
        self._answer = answer
        self._request_id = request_id
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] != "POST":
                raise not_found()
            refuse_encoding(scope)
            body = await read_body(receive, timeout_s=self._body_timeout_s)
            status, answer = 200, await self._answer(body)
        except ClientGone:
            return
        except RequestRefused as refused:
            status, answer = refused.status, errors_json(refused, request_id=self._request_id())
        except StoreUnavailable:
            # The store has said in the log what to do.
            status, answer = 503, errors_json(_unavailable(), request_id=self._request_id())
        except Exception:
            log.exception("%s failed", scope["path"])
            status, answer = 500, INTERNAL_ERROR_JSON
        # HTTP/2 has no such header: a stream ends by itself.
        await respond(send, status, answer, closes=status in _UNREAD and scope["http_version"][0] == "1")


def refuse_encoding(scope: Scope) -> None:
    """Raise RequestRefused for a body that we could not read, rather than call it broken JSON."""
    named = dict(scope["headers"]).get(b"content-encoding", b"").strip().lower()
    if named in _UNREADABLE:
        text = f"The content encoding {named.decode()} is not supported; send gzip, or no compression."
        raise RequestRefused("UNSUPPORTED_CONTENT_ENCODING", text, status=415)


async def read_body(receive: Receive, *, timeout_s: float) -> bytes:
    """The whole body as it arrived. Raises RequestRefused when it is too large or too slow, ClientGone."""
    chunks: list[bytes] = []
    size_bytes = 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise ClientGone
                chunk = event.get("body", b"")
                size_bytes += len(chunk)
                if size_bytes <= MAX_BODY_BYTES:
                    chunks.append(chunk)
                if not event.get("more_body", False) or size_bytes > MAX_DRAIN_BYTES:
                    break
    except TimeoutError:
        text = f"The request body was not complete after {timeout_s:g} seconds (received {size_bytes} bytes)."
        raise RequestRefused("REQUEST_TIMEOUT", text, status=408, is_transient=True) from None
    if size_bytes > MAX_BODY_BYTES:
        raise too_large(str(size_bytes))
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def respond(send: Send, status: int, body: bytes, *, closes: bool = False) -> None:
    """Answer with JSON, under the headers that exp.host's answers carry. Never compressed."""
    headers = [*_RECORDED_HEADERS, (b"content-length", b"%d" % len(body))]
    if status == 200:
        headers.append((b"etag", etag(body)))
    if closes:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def etag(body: bytes) -> bytes:
    """As recorded: hex length, and 27 characters of base64 of SHA-1. It tells answers apart and secures nothing."""
    digest = b64encode(sha1(body, usedforsecurity=False).digest())[:27]
    return b'"%x-%s"' % (len(body), digest)


def errors_json(refused: RequestRefused, *, request_id: str) -> bytes:
    """The body of a refused request, keys in the recorded order."""
    error: dict[str, object] = {
        "code": refused.code,
        "type": "USER" if refused.status < 500 else "SERVER",
        "message": refused.message,
    }
    if refused.details is not None:
        error["details"] = refused.details
    error["isTransient"] = refused.is_transient
    error["requestId"] = request_id
    return orjson.dumps({"errors": [error]})


def not_found() -> RequestRefused:
    return RequestRefused("NOT_FOUND", "Not found.", status=404)


def _unavailable() -> RequestRefused:
    text = "The push service can't store anything at the moment. Nothing of this request was accepted; try again."
    return RequestRefused("SERVICE_UNAVAILABLE", text, status=503, is_transient=True)


def with_plain_paths(app: ASGIApp) -> ASGIApp:
    """Some SDKs join base URL and path with two slashes, or end in one; proxies send the whole URL as the path.

    Source of the latter: RFC 9112, section 3.2.2.
    """

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it is accepted: 403
            return
        path = scope.get("path", "")
        if "//" in path or path[-1:] == "/":
            scope = {**scope, "path": _SLASHES.sub("/", _ORIGIN.sub("", path)).rstrip("/") or "/"}
        await app(scope, receive, send)

    return plain
