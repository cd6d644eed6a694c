"""An access token for a service account: one blocking exchange, by google-auth.

Protocol: https://developers.google.com/identity/protocols/oauth2/service-account#httprest. google-auth signs the
assertion and reads the answer. The HTTP under it is ours, because its own tries three times with sleeps in between, and
knows no deadline but one per read.
"""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import urllib3
from google.auth import transport
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.oauth2 import service_account

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
# Our choice: Google's answer has about 1,200 bytes.
MAX_ANSWER_BYTES = 65_536
# For an endpoint that does not say: Google's tokens live for an hour.
DEFAULT_LIFETIME_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    value: str = field(repr=False)
    lifetime_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRefused:
    """The token endpoint says no to the service account: trying again won't help."""

    status: int
    error: str
    """OAuth's code, for example invalid_grant."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAccess:
    """The token endpoint could not be asked, or its answer could not be read."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """An HTTP answer in the form that google-auth reads."""

    status: int
    headers: Mapping[str, str]
    data: bytes


def fetch_access(
    credentials: service_account.Credentials, *, ssl_context: ssl.SSLContext | None, timeout_s: float
) -> Granted | AccessRefused | NoAccess:
    """Ask the account's `token_uri` for an access token. Blocks for at most `timeout_s` and the name look-up."""
    exchange = TokenExchange(ssl_context=ssl_context, timeout_s=timeout_s)
    try:
        credentials.refresh(exchange)  # type: ignore[no-untyped-call]
        return _granted(credentials)
    except RefreshError as error:
        return _refused(error, status=exchange.status)
    except GoogleAuthError as error:
        return NoAccess(why=str(error))
    except Exception as error:
        # google-auth does not expect a page or a JSON list in place of its answer: TypeError, AttributeError, KeyError.
        return NoAccess(why=f"the token endpoint's answer could not be read ({type(error).__name__})")


class TokenExchange(transport.Request):
    """google-auth's HTTP for one exchange: one request, one deadline, a bounded answer."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None, timeout_s: float) -> None:
        self._ssl_context = ssl_context
        self._timeout_s = timeout_s
        self.status = 0
        """Of the last answer; 0 before it."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> TokenAnswer:
        """TransportError when there is no answer, and for the answers that google-auth would sleep and try again on."""
        try:
            answer = self._exchange(url, method, body, headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransportError(f"the token endpoint can't be reached: {error}") from error  # type: ignore[no-untyped-call]
        self.status = answer.status
        if answer.status >= 500 or answer.status in (408, 429):
            raise TransportError(f"the token endpoint answered HTTP {answer.status}")  # type: ignore[no-untyped-call]
        return answer

    def _exchange(self, url: str, method: str, body: bytes | None, headers: Mapping[str, str] | None) -> TokenAnswer:
        ends_at = time.monotonic() + self._timeout_s
        timeout = urllib3.Timeout(total=self._timeout_s)
        context = self._ssl_context
        # An emulator needs none, and to load the authorities takes 30 ms.
        if context is None and url.startswith("https:"):
            context = ssl.create_default_context()
        with urllib3.PoolManager(ssl_context=context, retries=False, timeout=timeout) as pool:
            response = pool.request(
                method, url, body=body, headers=dict(headers or {}), redirect=False, preload_content=False
            )
            try:
                data = _read(response, ends_at=ends_at)
            finally:
                response.close()
        return TokenAnswer(status=response.status, headers=dict(response.headers), data=data)


def _read(response: urllib3.BaseHTTPResponse, *, ends_at: float) -> bytes:
    """The body. TransportError when it is too long, or takes too long though every read is in time."""
    data = bytearray()
    while chunk := response.read1(MAX_ANSWER_BYTES):
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise TransportError(f"the token endpoint's answer is over {MAX_ANSWER_BYTES} bytes")  # type: ignore[no-untyped-call]
        if time.monotonic() > ends_at:
            raise TransportError("the token endpoint's answer took too long")  # type: ignore[no-untyped-call]
    return bytes(data)


def _granted(credentials: service_account.Credentials) -> Granted | NoAccess:
    value = credentials.token
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value.strip():
        return NoAccess(why="the token endpoint's answer holds no usable access token")
    return Granted(value=value, lifetime_s=_lifetime_s(credentials.expiry))


def _lifetime_s(expires: datetime | None) -> float:
    """google-auth has added the lifetime to the machine's own time, in UTC without a zone: taken off again here."""
    if expires is None:
        return DEFAULT_LIFETIME_S
    return (expires.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def _refused(error: RefreshError, *, status: int) -> AccessRefused | NoAccess:
    """Only OAuth's own JSON is a refusal; a page in its place is some proxy's, and may be gone in a minute."""
    said = error.args[1] if len(error.args) > 1 else None
    if status == 200 or error.retryable or not isinstance(said, dict) or "error" not in said:
        return NoAccess(why=f"the token endpoint answered HTTP {status} without an access token or an OAuth error")
    code = said["error"]
    if isinstance(code, dict):
        # The envelope of Google's other APIs.
        return AccessRefused(status=status, error=str(code.get("status", "")), text=str(code.get("message", "")))
    return AccessRefused(status=status, error=str(code), text=str(said.get("error_description") or ""))
