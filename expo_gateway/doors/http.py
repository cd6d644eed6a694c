"""What every door needs of HTTP: bodies under a cap and a deadline, Expo's errors, answers as exp.host writes them."""

import logging
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from hashlib import sha1
from typing import Final, Protocol
from urllib.parse import quote

import orjson
from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.doors.bodies import Bodies, ClientGone
from expo_gateway.errors import BearerRefused, RequestRefused, StoreUnavailable
from expo_gateway.protocol.body import is_compressed
from expo_gateway.protocol.push_token import redacted
from expo_gateway.request_faults import RequestError

log = logging.getLogger(__name__)

Answer = Callable[[bytes], Awaitable[bytes]]
"""Body as it arrived -> JSON of the answer. Raises RequestRefused or StoreUnavailable."""

Headers = Sequence[tuple[bytes, bytes]]


class BearerAnswer(Protocol):
    """The same, of an answer that depends on the access token."""

    def __call__(self, body: bytes, /, *, bearer: str | None) -> Awaitable[bytes]: ...


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
_JSON_BEGINS: Final = (b"[", b"{")

# After these answers the rest of the request may still be under way.
_UNREAD = (408, 413, 503)

# The id of a webhook is all that it takes to use it, so it is hidden wherever a mistyped path has it.
_WEBHOOK = re.compile("(?<=/webhook/)[^/]+|[0-9a-f]{64}", re.IGNORECASE)
_PUSH_TOKEN = re.compile(r"Expo(nent)?PushToken\[[^\]]*\]?")
MAX_SHOWN_CHARS = 200

_ORIGIN = re.compile("^https?://[^/]*", re.IGNORECASE)
_SLASHES = re.compile("/{2,}")


REFUSED_WITH = "expo_gateway.refused_with"
"""Key of the scope: the code of the error that the request was answered with."""


CUT = "expo_gateway.cut"
"""Key of the scope: ends the connection at once. Only where the server can."""

# Recorded: what exp.host calls the errors of these statuses, and what it says. 429: documented.
_FORCED = {
    400: ("VALIDATION_ERROR", "The request was refused."),
    401: ("UNAUTHORIZED", "The request was refused."),
    403: ("UNAUTHORIZED", "The request was refused."),
    404: ("NOT_FOUND", "Not found."),
    429: ("TOO_MANY_REQUESTS", "Exceeded 600 notifications per second, please try again."),
    500: ("INTERNAL_SERVER_ERROR", "An unknown error occurred."),
    503: ("SERVICE_UNAVAILABLE", "The service is unavailable. Please try again."),
}


class ForcedText(Exception):
    """A fault: the request is refused in plain text, as load balancers do it."""

    def __init__(self, status: int, text: str, *, retry_after_s: int | None) -> None:
        super().__init__(f"a fault answers {status}")
        self.status = status
        self.text = text
        self.headers = [] if retry_after_s is None else [(b"retry-after", b"%d" % retry_after_s)]


class ConnectionCut(Exception):
    """A fault: the connection ends without an answer."""


def forced_refusal(fault: RequestError) -> RequestRefused | ForcedText:
    if fault.text is not None:
        return ForcedText(fault.status, fault.text, retry_after_s=fault.retry_after_s)
    usual = _FORCED[500] if fault.status >= 500 else _FORCED[400]
    code, message = _FORCED.get(fault.status, usual)
    return RequestRefused(
        fault.code or code,
        message if fault.message is None else fault.message,
        status=fault.status,
        is_transient=fault.status == 429 or fault.status >= 500,
        retry_after_s=fault.retry_after_s,
    )


class JsonEndpoint:
    """A POST endpoint of Expo's API as an ASGI callable: body in, JSON out, errors in Expo's shape."""

    def __init__(self, answer: Answer, *, request_id: Callable[[], str], bodies: Bodies) -> None:
        self._answer = answer
        self._request_id = request_id
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extra: Headers = []
        try:
            if scope["method"] != "POST":
                raise not_found()
            body = await self._bodies.read(receive)
            refuse_encoding(scope, body)
            status, answer = 200, await self._answered(body, scope)
        except ClientGone:
            return
        except ConnectionCut:
            cut(scope)
            return
        except ForcedText as forced:
            await respond_text(send, forced.status, forced.text, extra=forced.headers)
            return
        except RequestRefused as refused:
            scope[REFUSED_WITH] = refused.code
            status, answer = refused.status, errors_json(refused, request_id=self._request_id())
            extra = refusal_headers(refused)
        except StoreUnavailable:
            # The store has said in the log what to do.
            scope[REFUSED_WITH] = "SERVICE_UNAVAILABLE"
            status, answer = 503, errors_json(_unavailable(), request_id=self._request_id())
        except Exception:
            log.exception("%s failed", scope["path"])
            scope[REFUSED_WITH] = "INTERNAL_SERVER_ERROR"
            status, answer = 500, INTERNAL_ERROR_JSON
        # HTTP/2 has no such header: a stream ends by itself.
        closes = status in _UNREAD and scope["http_version"][0] == "1"
        await respond(send, status, answer, closes=closes, extra=extra)

    async def _answered(self, body: bytes, scope: Scope) -> bytes:
        return await self._answer(body)


class BearerEndpoint(JsonEndpoint):
    """The same for an answer that also wants the access token that came with the request."""

    def __init__(self, answer: BearerAnswer, *, request_id: Callable[[], str], bodies: Bodies) -> None:
        super().__init__(partial(answer, bearer=None), request_id=request_id, bodies=bodies)
        self._answer_to_bearer = answer

    async def _answered(self, body: bytes, scope: Scope) -> bytes:
        return await self._answer_to_bearer(body, bearer=bearer_of(scope))


def bearer_of(scope: Scope) -> str | None:
    """The token of `Authorization: Bearer …`; None without one, or with credentials of another kind.

    https://www.rfc-editor.org/rfc/rfc6750#section-2.1
    """
    for name, value in scope["headers"]:
        if name.lower() == b"authorization":
            scheme, _, token = value.decode("latin-1").strip().partition(" ")
            return token.strip() or None if scheme.lower() == "bearer" else None
    return None


def refuse_encoding(scope: Scope, body: bytes) -> None:
    """Raise RequestRefused for a body that we can't read, rather than call it broken JSON."""
    if body[:1] in _JSON_BEGINS or is_compressed(body):
        return
    named = dict(scope["headers"]).get(b"content-encoding", b"").strip().lower()
    if named in _UNREADABLE:
        text = f"The content encoding {named.decode()} is not supported; send gzip, or no compression."
        raise RequestRefused("UNSUPPORTED_CONTENT_ENCODING", text, status=415)


async def respond(send: Send, status: int, body: bytes, *, closes: bool = False, extra: Headers = ()) -> None:
    """Answer with JSON, under the headers that exp.host's answers carry. Never compressed."""
    headers = [*_RECORDED_HEADERS, *extra, (b"content-length", b"%d" % len(body))]
    if status == 200:
        headers.append((b"etag", etag(body)))
    if closes:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_text(send: Send, status: int, text: str, *, extra: Headers = ()) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *extra, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def shown_path(path: str) -> str:
    """Fit for a log and a terminal, and without what is secret, or was put there by mistake: a push token, a novel."""
    plain = _WEBHOOK.sub("...", _PUSH_TOKEN.sub(lambda found: redacted(found[0]), path))
    return quote(plain[:MAX_SHOWN_CHARS], safe="/-_.~:[]…")


def cut(scope: Scope) -> None:
    """End the connection of a request. Where the server can't, it answers 500 for an app that says nothing."""
    end = scope.get(CUT)
    if end is not None:
        end()


def etag(body: bytes) -> bytes:
    """As recorded: hex length, and 27 characters of base64 of SHA-1. It tells answers apart and secures nothing."""
    digest = b64encode(sha1(body, usedforsecurity=False).digest())[:27]
    return b'"%x-%s"' % (len(body), digest)


def errors_json(refused: RequestRefused, *, request_id: str) -> bytes:
    """The body of a refused request, keys in the recorded order."""
    if isinstance(refused, BearerRefused):
        return orjson.dumps({"error": refused.code, "error_description": refused.message})
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


def refusal_headers(refused: RequestRefused) -> list[tuple[bytes, bytes]]:
    """When to come back; and with 401 what RFC 9110, section 15.5.2, wants, or Java's own client throws."""
    headers = []
    if refused.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % refused.retry_after_s))
    if isinstance(refused, BearerRefused):
        headers.append((b"www-authenticate", b'Bearer error="invalid_token"'))
    return headers


def not_found() -> RequestRefused:
    return RequestRefused("NOT_FOUND", "Not found.", status=404)


def _unavailable() -> RequestRefused:
    text = "The push service can't store anything at the moment. Nothing of this request was accepted; try again."
    return RequestRefused("SERVICE_UNAVAILABLE", text, status=503, is_transient=True)


class DirectRoute(Struct, frozen=True):
    """A path without parameters, and what answers there; it sees to methods and errors itself."""

    path: str
    endpoint: JsonEndpoint


class Direct:
    """Endpoints by their paths, ahead of Starlette, which takes twice the time of a small request and a tenth of a
    start."""

    def __init__(self, routes: Sequence[DirectRoute], *, otherwise: ASGIApp) -> None:
        self._routes = {route.path: route for route in routes}
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            await self._otherwise(scope, receive, send)
        else:
            scope["route"] = route  # as Starlette does
            await route.endpoint(scope, receive, send)


def is_under(prefix: str, path: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/")


def with_plain_paths(app: ASGIApp, *, websockets: Mapping[str, ASGIApp] | None = None) -> ASGIApp:
    """Some SDKs join base URL and path with two slashes, or end in one; proxies send the whole URL as the path.

    Source of the latter: RFC 9112, section 3.2.2. `websockets`: by path; of HTTP/1.1 only.
    """
    doors = websockets or {}

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if "//" in path or path[-1:] == "/":
            scope = {**scope, "path": _SLASHES.sub("/", _ORIGIN.sub("", path)).rstrip("/") or "/"}
        if scope["type"] != "websocket":
            await app(scope, receive, send)
        elif scope["path"] in doors and scope["http_version"] == "1.1":
            await doors[scope["path"]](scope, receive, send)
        else:
            await send({"type": "websocket.close"})  # before it is accepted: 403

    return plain
