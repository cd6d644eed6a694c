"""The service account that pushes are sent with, and its access token: cached, refreshed once for all who wait.

The exchange itself (fcm_oauth) blocks and runs in a thread of its own, so the loop never waits for Google.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from google.oauth2 import service_account

from expo_gateway.errors import SettingsError
from expo_gateway.providers.fcm_oauth import SCOPE, AccessRefused, Granted, NoAccess

# As Google's own libraries do, roughly: time for several tries while the old token still works.
REFRESH_BEFORE_S = 300.0
# Our choice: after a refresh that failed, or that brought a token which FCM refuses too, nobody asks for this long.
FAILED_FOR_S = 10.0
# Our choice: beyond the exchange's own deadline, which does not cover name look-ups.
THREAD_GRACE_S = 5.0

_PROJECT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccessToken:
    value: str = field(repr=False)
    refresh_at: float
    expires_at: float


Access = AccessToken | AccessRefused | NoAccess


def read_service_account(info: Mapping[str, object]) -> service_account.Credentials:
    """Google's JSON for a service account. SettingsError when it is incomplete or its key can't be read; blocks for
    some milliseconds, because the key is checked."""
    for name in ("project_id", "client_email", "private_key", "token_uri"):
        if not isinstance(info.get(name), str) or not info[name]:
            raise SettingsError(f"service account: want {name!r} as text, as in the JSON that Google gives")
    if not _PROJECT_ID.fullmatch(str(info["project_id"])):
        raise SettingsError(f"service account: {info['project_id']!r} is not a project id")
    if not str(info["token_uri"]).startswith(("https://", "http://")):
        raise SettingsError(f"service account: want a URL as token_uri, got {info['token_uri']!r}")
    try:
        return service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])  # type: ignore[no-untyped-call, no-any-return]
    except (ValueError, TypeError) as error:
        # The cause says what is wrong with the key's form and never shows the key.
        raise SettingsError("service account: 'private_key' is not an RSA key in PEM form") from error


def signed_alike(
    credentials: service_account.Credentials, *, project_id: str, client_email: str, token_uri: str
) -> service_account.Credentials:
    """Those of another account with the same key, which is not checked again."""
    return service_account.Credentials(  # type: ignore[no-untyped-call]
        credentials.signer,
        service_account_email=client_email,
        token_uri=token_uri,
        project_id=project_id,
        scopes=[SCOPE],
    )


class AccessTokens:
    """The access token of one service account.

    From five minutes before its end a new one is fetched, while the old one goes on being used. One refresh at a time,
    whoever waits; one that failed is not repeated for `failed_for_s`. `fetch` blocks and never raises. `account` is
    what logs call it.
    """

    def __init__(
        self,
        *,
        account: str,
        fetch: Callable[[], Granted | AccessRefused | NoAccess],
        clock: Callable[[], float],
        timeout_s: float,
        failed_for_s: float = FAILED_FOR_S,
    ) -> None:
        self._account = account
        self._fetch = fetch
        self._clock = clock
        self._timeout_s = timeout_s
        self._failed_for_s = failed_for_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fcm-oauth")
        self._token: AccessToken | None = None
        self._renewed: AccessToken | None = None
        """The last token that FCM's refusal of another made us fetch, until a push goes through with it."""
        self._failure: AccessRefused | NoAccess | None = None
        self._quiet_until = 0.0
        self._refreshing: asyncio.Task[Access] | None = None

    async def current(self) -> Access:
        """The token to send with. Waits only when there is none that still works."""
        token, now = self._token, self._clock()
        if token is not None and now < token.refresh_at:
            return token
        living = token if token is not None and now < token.expires_at else None
        if self._failure is not None and self._is_quiet(now):
            return living or self._failure
        refreshing = self._refresh()
        return living or await _result(refreshing)

    async def renewed(self, refused: AccessToken) -> Access | None:
        """Another token than the one that FCM refused; None when that one was fetched for the same reason just now."""
        if self._token is not None and self._token is not refused:
            return self._token
        if refused is self._renewed and self._is_quiet(self._clock()):
            return None
        self._token = None
        access = await self.current()
        if isinstance(access, AccessToken):
            self._renewed = access
            self._quiet_until = self._clock() + self._failed_for_s
        return access

    def proved(self, token: AccessToken) -> None:
        """A push went through with it."""
        if token is self._renewed:
            self._renewed = None

    async def close(self) -> None:
        """Whoever waits gets NoAccess. The thread, if it is inside an exchange, ends at that one's deadline."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})

    def _is_quiet(self, now: float) -> bool:
        """Not for longer than it should be when the clock was set back."""
        return 0 < self._quiet_until - now <= self._failed_for_s

    def _refresh(self) -> asyncio.Task[Access]:
        """The refresh that is under way, or a new one."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._exchange(), name="fcm access token")
        return self._refreshing

    async def _exchange(self) -> Access:
        fetched = await self._in_thread()
        now = self._clock()
        if isinstance(fetched, Granted):
            self._token, self._failure = _dated(fetched, now=now), None
            return self._token
        logger.warning("no FCM access token for %s: %s", self._account, fetched)
        self._failure, self._quiet_until = fetched, now + self._failed_for_s
        return fetched

    async def _in_thread(self) -> Granted | AccessRefused | NoAccess:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s + THREAD_GRACE_S):
                return await loop.run_in_executor(self._thread, self._fetch)
        except TimeoutError:
            return NoAccess(why="the token endpoint did not answer in time")
        except RuntimeError:
            return NoAccess(why="the provider is closed")


def _dated(granted: Granted, *, now: float) -> AccessToken:
    """A token that lives for less than ten minutes is used for half of its life before the next is fetched."""
    early_s = min(REFRESH_BEFORE_S, granted.lifetime_s / 2)
    expires_at = now + granted.lifetime_s
    return AccessToken(value=granted.value, refresh_at=expires_at - early_s, expires_at=expires_at)


async def _result(refreshing: asyncio.Task[Access]) -> Access:
    """Neither is the refresh cancelled with one who waits for it, nor they with it."""
    await asyncio.wait({refreshing})
    return NoAccess(why="the provider is closed") if refreshing.cancelled() else refreshing.result()
