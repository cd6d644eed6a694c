"""Bodies, answers and errors of every door."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.http import Direct, DirectRoute, JsonEndpoint, errors_json, etag, shown_path, with_plain_paths
from expo_gateway.errors import RequestRefused, StoreUnavailable
from expo_gateway.protocol.body import MAX_BODY_BYTES

REQUEST_ID = "9763c6fd-faba-4ee9-9de9-07f84840e362"


async def echo(body: bytes) -> bytes:
    return b'{"data":%d}' % len(body)


def endpoint(answer: Callable[[bytes], Awaitable[bytes]] = echo, *, body_timeout_s: float = 5) -> JsonEndpoint:
    return JsonEndpoint(answer, request_id=lambda: REQUEST_ID, bodies=Bodies(timeout_s=body_timeout_s))


async def post(app: ASGIApp, body: bytes = b"{}", *, method: str = "POST", path: str = "/") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        return await client.request(method, path, content=body)


async def sent_for(app: ASGIApp, events: list[Message], *, http_version: str = "1.1") -> list[Message]:
    """What the app sends when it receives these events and then nothing."""
    sent: list[Message] = []
    waiting = iter(events)

    async def receive() -> Message:
        try:
            return next(waiting)
        except StopIteration:
            await asyncio.Event().wait()
            raise

    async def send(message: Message) -> None:
        sent.append(message)

    await app(
        {"type": "http", "method": "POST", "path": "/", "headers": [], "http_version": http_version}, receive, send
    )
    return sent


def refuse(error: Exception) -> Callable[[bytes], Awaitable[bytes]]:
    async def answer(_: bytes) -> bytes:
        raise error

    return answer


def test_the_etag_is_made_as_the_recorded_one() -> None:
    body = (
        b'{"data":[{"status":"error","message":"\\"ExponentPushToken[xd]\\" is not a valid Expo push token",'
        b'"details":{"error":"DeviceNotRegistered","expoPushToken":"ExponentPushToken[xd]"}}]}'
    )

    assert etag(body).startswith(b'"%x-' % len(body))
    assert len(etag(body).split(b"-", 1)[1]) == 28


def test_errors_have_the_recorded_key_order() -> None:
    refused = RequestRefused("CODE", "text", details={"@a/b": ["x"]})

    assert errors_json(refused, request_id=REQUEST_ID) == (
        b'{"errors":[{"code":"CODE","type":"USER","message":"text","details":{"@a/b":["x"]},"isTransient":false,'
        b'"requestId":"9763c6fd-faba-4ee9-9de9-07f84840e362"}]}'
    )


async def test_an_answer_carries_the_recorded_headers() -> None:
    response = await post(endpoint())

    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["vary"] == "Accept-Encoding, Origin"
    assert response.headers["etag"] == etag(response.content).decode()


async def test_an_error_has_no_etag() -> None:
    response = await post(endpoint(refuse(RequestRefused("CODE", "text"))))

    assert response.status_code == 400
    assert "etag" not in response.headers


async def test_a_store_that_is_away_is_a_503_that_says_that_nothing_was_accepted() -> None:
    response = await post(endpoint(refuse(StoreUnavailable("disk full"))))

    (error,) = response.json()["errors"]
    assert response.status_code == 503
    assert error["isTransient"] is True
    assert "Nothing of this request was accepted" in error["message"]


async def test_a_mistake_of_ours_is_the_documented_500(caplog: pytest.LogCaptureFixture) -> None:
    response = await post(endpoint(refuse(ZeroDivisionError())))

    assert response.status_code == 500
    assert response.json() == {"errors": [{"code": "INTERNAL_SERVER_ERROR", "message": "An unknown error occurred."}]}
    assert "ZeroDivisionError" in caplog.text


async def test_other_methods_are_not_found() -> None:
    response = await post(endpoint(), method="GET")

    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "NOT_FOUND")


async def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not() -> None:
    assert (await post(endpoint(), b"x" * MAX_BODY_BYTES)).json() == {"data": MAX_BODY_BYTES}
    refused = await post(endpoint(), b"x" * (MAX_BODY_BYTES + 1))

    assert refused.status_code == 413
    assert f"(received {MAX_BODY_BYTES + 1})" in refused.json()["errors"][0]["message"]
    assert refused.headers["connection"] == "close"


async def test_chunks_are_put_together() -> None:
    events: list[Message] = [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"cd", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": False},
    ]

    sent = await sent_for(endpoint(), events)

    assert sent[1]["body"] == b'{"data":4}'


async def test_a_body_that_never_ends_is_answered_with_408() -> None:
    events: list[Message] = [{"type": "http.request", "body": b"ab", "more_body": True}]

    sent = await sent_for(endpoint(body_timeout_s=0.05), events)

    assert sent[0]["status"] == 408
    assert "received 2 bytes" in json.loads(sent[1]["body"])["errors"][0]["message"]


async def test_http_2_answers_carry_no_connection_header() -> None:
    events: list[Message] = [{"type": "http.request", "body": b"ab", "more_body": True}]

    sent = await sent_for(endpoint(body_timeout_s=0.05), events, http_version="2")

    assert b"connection" not in dict(sent[0]["headers"])


async def test_a_client_that_left_gets_no_answer() -> None:
    events: list[Message] = [{"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.disconnect"}]

    assert await sent_for(endpoint(), events) == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("//a//b", "/a/b"),
        ("/a/", "/a"),
        ("/", "/"),
        ("//", "/"),
        ("/a/b", "/a/b"),
        ("/--/api/v2//push", "/--/api/v2/push"),
    ],
)
async def test_paths_are_made_plain(asked: str, expected: str) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        pass

    await with_plain_paths(app)({"type": "http", "path": asked}, receive, send)

    assert seen == [expected]


async def test_an_encoding_that_nobody_can_read_here_is_named() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint()), base_url="http://gateway") as client:
        response = await client.post("/", content=b"\x0b\x02\x80{}\x03", headers={"content-encoding": "br"})

    assert response.status_code == 415
    assert "The content encoding br is not supported" in response.json()["errors"][0]["message"]


async def test_a_route_of_ours_is_found_ahead_of_others_and_keeps_its_name() -> None:
    route = DirectRoute("/ours", endpoint())
    elsewhere: list[str] = []

    async def otherwise(scope: Scope, receive: Receive, send: Send) -> None:
        elsewhere.append(scope["path"])
        await endpoint()(scope, receive, send)

    direct = Direct([route], otherwise=otherwise)
    seen: list[Scope] = []

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await direct(scope, receive, send)

    for path in ("/ours", "/health", "/nothing"):
        assert (await post(noted, path=path)).status_code == 200

    assert elsewhere == ["/health", "/nothing"]
    assert [scope.get("route") for scope in seen] == [route, None, None]


@pytest.mark.parametrize("prefix", ["", "/relay"])
def test_the_id_of_a_webhook_is_not_shown(prefix: str) -> None:
    assert shown_path(f"{prefix}/api/webhook/{'ab' * 32}") == f"{prefix}/api/webhook/..."


@pytest.mark.parametrize("path", ["/api/Webhook", "/api/webhooks", "/relay/webhook", ""])
def test_nor_is_it_in_a_path_that_is_none_of_ours(path: str) -> None:
    assert shown_path(f"{path}/{'ab' * 32}") == f"{path}/..."
