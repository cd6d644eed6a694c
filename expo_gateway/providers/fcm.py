"""FCM over HTTP v1: one project, one pool of kept connections.

API: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send, one push per request. What an answer
means is decided in fcm_answers; when to try again is the dispatcher's business, but for one new access token.
"""

import logging
import ssl
import traceback
from collections.abc import Callable, Mapping
from functools import partial

from google.oauth2.service_account import Credentials

from expo_gateway.protocol.fcm import MAX_PAYLOAD_BYTES, FcmRequest, payload_size_bytes
from expo_gateway.protocol.push_token import redacted
from expo_gateway.protocol.receipt import expo_error, too_big
from expo_gateway.providers.base import Accepted, Outcome, Rejected, Uncertain, Unsent
from expo_gateway.providers.fcm_answers import (
    FcmAnswer,
    credentials_refused,
    outcome_of,
    read_answer,
    unsent,
)
from expo_gateway.providers.fcm_credentials import FAILED_FOR_S, AccessToken, AccessTokens, read_service_account
from expo_gateway.providers.fcm_http import is_taken, post_target
from expo_gateway.providers.fcm_message import FcmMessages
from expo_gateway.providers.fcm_oauth import AccessRefused, NoAccess, fetch_access
from expo_gateway.providers.fcm_pool import FcmPool

ENDPOINT = "https://fcm.googleapis.com"
# Our choice: at FCM's usual 50–150 ms, 64 connections send some 500–1,000 pushes a second.
MAX_CONNECTIONS = 64
# https://firebase.google.com/docs/cloud-messaging/scale-fcm#timeouts: at least ten seconds.
REQUEST_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


class FcmProvider:
    """Sends FcmRequests for one service account.

    `endpoint` and the account's `token_uri` may point to an emulator; `emulated` says that they do. `ssl_context` is
    for both, and must offer HTTP/1.1 if it offers anything by ALPN. Raises SettingsError for an unusable service
    account or endpoint; blocks for some tens of milliseconds.

    Deadlines: `request_timeout_s` for a free connection, again for an access token where one is needed, and again for
    the answer; `connect_timeout_s` for name look-up, TCP and TLS. `failed_for_s`: see `AccessTokens`.
    """

    def __init__(
        self,
        *,
        service_account: Mapping[str, object] | Credentials,
        endpoint: str = ENDPOINT,
        clock: Callable[[], float],
        emulated: bool,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int = MAX_CONNECTIONS,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        failed_for_s: float = FAILED_FOR_S,
    ) -> None:
        credentials = (
            service_account if isinstance(service_account, Credentials) else read_service_account(service_account)
        )
        self._messages = FcmMessages(credentials=credentials, endpoint=endpoint)
        self._url = self._messages.url
        self._clock = clock
        self._emulated = emulated
        target = post_target(self._url)
        if ssl_context is None and target.is_tls:
            ssl_context = _default_context()
        self._pool = FcmPool(
            target=target,
            ssl_context=ssl_context if target.is_tls else None,
            max_connections=max_connections,
            request_timeout_s=request_timeout_s,
            connect_timeout_s=connect_timeout_s,
        )
        self._closed = False
        self._tokens = AccessTokens(
            account=str(credentials.service_account_email),
            fetch=partial(fetch_access, credentials, ssl_context=ssl_context, timeout_s=request_timeout_s),
            clock=clock,
            timeout_s=request_timeout_s,
            failed_for_s=failed_for_s,
        )

    def __repr__(self) -> str:
        return f"<FcmProvider {self._url}>"

    @property
    def emulated(self) -> bool:
        return self._emulated

    async def close(self) -> None:
        """Let go of connections and token. What is in flight ends as Uncertain, what waits as Unsent. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._pool.close()
        await self._tokens.close()

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
        body = self._messages.body(request)
        # What FCM counts is part of the body, so it is counted only for one that is longer.
        if len(body) > MAX_PAYLOAD_BYTES and (size_bytes := payload_size_bytes(request)) > MAX_PAYLOAD_BYTES:
            return Rejected(status=400, reason="MessageTooBig", receipt=too_big(size_bytes, MAX_PAYLOAD_BYTES))
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
        if is_taken(answer.status):
            self._tokens.proved(token)
        return outcome_of(answer, now=self._clock())

    async def _post(self, body: bytes, token: AccessToken) -> FcmAnswer | Unsent | Uncertain:
        answer = await self._pool.post(body, bearer=token.value)
        if isinstance(answer, Unsent | Uncertain):
            return answer
        return read_answer(status=answer.status, headers=answer.headers, body=answer.body)


def _default_context() -> ssl.SSLContext:
    """Takes tens of milliseconds, and some 0.8 MB."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _without_token(missing: AccessRefused | NoAccess) -> Rejected | Unsent:
    if isinstance(missing, AccessRefused):
        return credentials_refused(status=missing.status, error=missing.error, text=missing.text)
    return unsent(missing.why)


def _log(outcome: Outcome, request: FcmRequest) -> None:
    if isinstance(outcome, Accepted):
        return
    why = outcome.reason if isinstance(outcome, Rejected) else outcome.why
    logger.info(
        "FCM push to device token %s: %s, %s", redacted(request.device_token), type(outcome).__name__.lower(), why
    )
