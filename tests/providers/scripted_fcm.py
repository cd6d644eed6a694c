"""A server in the place of FCM and of its token endpoint that does what a test tells it to, also what neither may do.

And what the FCM provider's tests share: a service account, a request, a clock, a provider at that server.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.providers.fcm import FcmProvider

DEVICE_TOKEN = "dGVzdA_xQ:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"
PROJECT = "demo-project"
NAME = f"projects/{PROJECT}/messages/0:1500415314455276%31bd1c9631bd1c96"
REQUEST = FcmRequest(
    device_token=DEVICE_TOKEN,
    notification={"title": "Hi", "body": "there"},
    data={"title": "Hi", "message": "there", "body": "{}"},
    android={"priority": "HIGH", "ttl": "3600s"},
)
# Long enough for a machine under load; a test that waits so long has failed.
PATIENCE_S = 5.0

Act = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: float = 1_760_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def reply(status: int, body: object = b"", headers: Mapping[str, str] | None = None) -> Act:
    """Answer with bytes as they are, or with anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def act(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=content, headers=headers)

    return act


def error_json(status: int, message: str, *, code: str = "", info: str = "") -> dict[str, object]:
    details = []
    if code:
        details.append({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
    if info:
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": info})
    return {"error": {"code": status, "message": message, "status": "STATUS", "details": details}}


async def cut(request: web.Request) -> web.StreamResponse:
    """No answer: the connection is aborted after the request was read."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def cut_answer(status: int, headers: Mapping[str, str] | None = None) -> Act:
    """The answer breaks off in its body."""

    async def act(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Length": "100", **(headers or {})})
        await response.prepare(request)
        await response.write(b'{"error":')
        assert request.transport is not None
        request.transport.close()
        return response

    return act


class ScriptedFcm:
    """`script` and `token_script` hold the acts for the next requests; when they are empty all goes well."""

    def __init__(self) -> None:
        self.script: deque[Act] = deque()
        self.token_script: deque[Act] = deque()
        self.paths: list[str] = []
        self.bodies: list[Any] = []
        self.bearers: list[str] = []
        self.token_forms: list[dict[str, list[str]]] = []
        self.connections: set[asyncio.BaseTransport | None] = set()
        self.held = 0
        """Requests that `hold` has not let go."""
        self.let_go = asyncio.Event()
        self.url = ""
        self._changed = asyncio.Condition()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that a request or the end of one brings about."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(condition)

    async def hold(self, request: web.Request) -> web.StreamResponse:
        """Answer well, once `let_go` is set."""
        self.held += 1
        try:
            await self._announce()
            await self.let_go.wait()
        finally:
            self.held -= 1
            await self._announce()
        return web.json_response(self._granted() if request.path == "/token" else {"name": NAME})

    async def send(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.transport)
        self.paths.append(request.path)
        self.bodies.append(await request.json())
        self.bearers.append(request.headers["Authorization"].removeprefix("Bearer "))
        await self._announce()
        act = self.script.popleft() if self.script else reply(200, {"name": NAME})
        return await act(request)

    async def token(self, request: web.Request) -> web.StreamResponse:
        self.token_forms.append(parse_qs((await request.read()).decode()))
        await self._announce()
        act = self.token_script.popleft() if self.token_script else reply(200, self._granted())
        return await act(request)

    def _granted(self) -> dict[str, object]:
        return {"access_token": f"ya29.{len(self.token_forms)}", "expires_in": 3599, "token_type": "Bearer"}

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def scripted_fcm() -> AsyncIterator[ScriptedFcm]:
    fcm = ScriptedFcm()
    app = web.Application()
    app.router.add_post(f"/v1/projects/{PROJECT}/messages:send", fcm.send)
    app.router.add_post("/token", fcm.token)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fcm.url = f"http://{host}:{port}"
    try:
        yield fcm
    finally:
        fcm.let_go.set()
        await runner.cleanup()


@cache
def private_key_pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def service_account(token_uri: str) -> dict[str, object]:
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
        "private_key": private_key_pem(),
        "client_email": f"firebase-adminsdk@{PROJECT}.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }


@asynccontextmanager
async def provider_at(url: str, *, clock: Callable[[], float], **settings: Any) -> AsyncIterator[FcmProvider]:
    """A provider whose FCM and token endpoint are at `url`."""
    account = settings.pop("service_account", service_account(f"{url}/token"))
    provider = FcmProvider(service_account=account, endpoint=url, clock=clock, emulated=True, **settings)
    try:
        yield provider
    finally:
        await provider.close()
