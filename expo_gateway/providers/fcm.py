"""FCM over HTTP v1: one project, one session of kept connections.

API: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send, one push per request. What an answer
means is decided in fcm_answers; when to try again is the dispatcher's business, but for one new access token.
"""

import asyncio
import logging
import ssl
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import aiohttp

from expo_gateway.protocol.fcm import MAX_PAYLOAD_BYTES, FcmRequest, payload_size_bytes
from expo_gateway.protocol.push_token import redacted
from expo_gateway.protocol.receipt import expo_error, too_big
from expo_gateway.providers.base import Accepted, Outcome, Rejected, Uncertain, Unsent
from expo_gateway.providers.fcm_answers import (
    FcmAnswer,
    credentials_refused,
    outcome_of,
    read_answer,
    uncertain,
    unsent,
)
from expo_gateway.providers.fcm_credentials import AccessToken, AccessTokens, read_service_account
from expo_gateway.providers.fcm_message import FcmMessages
from expo_gateway.providers.fcm_oauth import AccessRefused, NoAccess, fetch_access

ENDPOINT = "https://fcm.googleapis.com"
# Our choice: at FCM's usual 50–150 ms, 64 connections send some 500–1,000 pushes a second.
MAX_CONNECTIONS = 64
# https://firebase.google.com/docs/cloud-messaging/scale-fcm#timeouts: at least ten seconds.
REQUEST_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
# Our choice: FCM's answers have a few hundred bytes, its longest errors some 2 KB.
MAX_ANSWER_BYTES = 65_536
# Our choice: for connections to say goodbye.
CLOSE_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Progress:
    """How far one request got. From `written` on, FCM may have it."""

    written: bool = False


class FcmProvider:
    """Sends FcmRequests for one service account.

    `endpoint` and the account's `token_uri` may point to an emulator; `emulated` says that they do. `ssl_context` is
    for both, and must offer HTTP/1.1 if it offers anything by ALPN. Raises SettingsError for an unusable service
    account.

    Deadlines: `request_timeout_s` for a free connection, again for an access token where one is needed, and again for
    the answer; `connect_timeout_s` for name look-up, TCP and TLS.
    """

    def __init__(
        self,
        *,
        service_account: Mapping[str, object],
        endpoint: str = ENDPOINT,
        clock: Callable[[], float],
        emulated: bool,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int = MAX_CONNECTIONS,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        credentials = read_service_account(service_account)
        self._messages = FcmMessages(credentials=credentials, endpoint=endpoint)
        self._url = self._messages.url
        self._clock = clock
        self._emulated = emulated
        self._ssl_context = ssl_context
        self._max_connections = max_connections
        self._request_timeout_s = request_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._slots = asyncio.Semaphore(max_connections)
        self._deadlines: set[asyncio.Timeout] = set()
        """Of the requests in flight."""
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._tokens = AccessTokens(
            account=str(service_account["client_email"]),
            fetch=partial(fetch_access, credentials, ssl_context=ssl_context, timeout_s=request_timeout_s),
            clock=clock,
            timeout_s=request_timeout_s,
        )

    def __repr__(self) -> str:
        return f"<FcmProvider {self._url}>"

    @property
    def emulated(self) -> bool:
        return self._emulated

    async def open(self) -> None:
        """Make the session; the first `send` does it otherwise. No connection is opened yet."""
        self._opened()

    async def close(self) -> None:
        """Let go of connections and token. What is in flight ends as Uncertain, what waits as Unsent. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._tokens.close()
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._ended()
        except TimeoutError:
            logger.warning("pushes to FCM were still under way after %s s", CLOSE_TIMEOUT_S)
        finally:
            await self._disconnect()

    async def _ended(self) -> None:
        """Nothing is in flight any more. Only then the session is closed: that would cancel who is inside it."""
        for _ in range(self._max_connections):
            await self._slots.acquire()

    async def _disconnect(self) -> None:
        if self._session is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._session.close()
        except TimeoutError:
            logger.warning("connections to FCM did not close in %s s", CLOSE_TIMEOUT_S)

    async def send(self, request: FcmRequest) -> Outcome:
        try:
            outcome = await self._send(request)
        except Exception as error:
            # Without the exception's text: it may quote what was sent.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("a push to FCM failed with %s, a bug:\n%s", type(error).__qualname__, where)
            receipt = expo_error("The notification could not be sent because of an internal error.")
            return Rejected(reason=type(error).__qualname__, status=0, receipt=receipt)
        _log(outcome, request)
        return outcome

    async def _send(self, request: FcmRequest) -> Outcome:
        size_bytes = payload_size_bytes(request)
        if size_bytes > MAX_PAYLOAD_BYTES:
            return Rejected(status=400, reason="MessageTooBig", receipt=too_big(size_bytes, MAX_PAYLOAD_BYTES))
        body = self._messages.body(request)
        token = await self._tokens.current()
        if not isinstance(token, AccessToken):
            return _without_token(token)
        answer = await self._post(body, token)
        if isinstance(answer, FcmAnswer) and answer.wants_new_token:
            renewed = await self._tokens.renewed(token)
            if isinstance(renewed, AccessRefused | NoAccess):
                return _without_token(renewed)
            if renewed is not None:
                token, answer = renewed, await self._post(body, renewed)
        if not isinstance(answer, FcmAnswer):
            return answer
        if answer.status == 200:
            self._tokens.proved(token)
        return outcome_of(answer, now=self._clock())

    async def _post(self, body: bytes, token: AccessToken) -> FcmAnswer | Unsent | Uncertain:
        """One request on a connection of its own. A free one is waited for here: aiohttp's waiting can't be told from
        its connecting."""
        if self._closed:
            return unsent("the provider is closed")
        try:
            async with asyncio.timeout(self._request_timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            return unsent("no connection was free in time")
        try:
            return await self._exchange(body, token)
        finally:
            self._slots.release()

    async def _exchange(self, body: bytes, token: AccessToken) -> FcmAnswer | Unsent | Uncertain:
        if self._closed:
            return unsent("the provider is closed")
        progress = _Progress()
        try:
            # An answer that trickles ends here: every byte of it starts aiohttp's `sock_read` anew.
            async with asyncio.timeout(self._connect_timeout_s + self._request_timeout_s) as deadline:
                self._deadlines.add(deadline)
                try:
                    return await self._answer(body, token, progress)
                finally:
                    self._deadlines.discard(deadline)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _without_answer(_described(error), written=progress.written)

    async def _answer(self, body: bytes, token: AccessToken, progress: _Progress) -> FcmAnswer:
        headers = {"Authorization": f"Bearer {token.value}"}
        async with self._opened().post(
            self._url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=progress
        ) as response:
            return read_answer(status=response.status, headers=response.headers, body=await _read(response))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, ssl=self._ssl_context or True),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self._connect_timeout_s, sock_read=self._request_timeout_s
                ),
                # Unpacked answers could be of any size.
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[_written_trace()],
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The first MAX_ANSWER_BYTES of the body; None when it broke off. What is left unread closes the connection."""
    body = bytearray()
    try:
        while chunk := await response.content.read(MAX_ANSWER_BYTES - len(body)):
            body += chunk
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
    return bytes(body)


def _written_trace() -> aiohttp.TraceConfig:
    """Sets `written` of the request's _Progress just before its first byte goes out."""

    async def headers_sent(
        _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        context.trace_request_ctx.written = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(headers_sent)
    return trace


def _without_token(missing: AccessRefused | NoAccess) -> Rejected | Unsent:
    if isinstance(missing, AccessRefused):
        return credentials_refused(status=missing.status, error=missing.error, text=missing.text)
    return unsent(missing.why)


def _without_answer(why: str, *, written: bool) -> Unsent | Uncertain:
    return uncertain(why) if written else unsent(why)


def _described(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _log(outcome: Outcome, request: FcmRequest) -> None:
    if isinstance(outcome, Accepted):
        return
    why = outcome.reason if isinstance(outcome, Rejected) else outcome.why
    logger.info(
        "FCM push to device token %s: %s, %s", redacted(request.device_token), type(outcome).__name__.lower(), why
    )
