"""One POST of a notification to a registration's own `push_url`, as Home Assistant makes it.

The name is looked up once, every address is judged, and the connection goes to an address that was: a name that means
another one a moment later changes nothing. No redirects, no proxies, no connection is kept.
Source: homeassistant/components/mobile_app/notify.py.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from msgspec import Struct

from expo_gateway.protocol.push_url import Allowed, PushUrl, read_push_url, why_not_looked_up, why_refused
from expo_gateway.providers.fcm_connection import FcmConnection, NoAnswer
from expo_gateway.providers.fcm_http import HttpAnswer

# Home Assistant's own, for connect and answer together.
TIMEOUT_S: Final = 10.0
# Our choice. Threads of their own: a name server that hangs must not take those that Apple's and Google's names are
# looked up in.
MAX_LOOK_UPS: Final = 8

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port -> its addresses. OSError: it has none."""


class Posted(Struct, frozen=True, kw_only=True):
    """There was an answer."""

    status: int
    body: bytes
    """The first 64 KiB of it."""


class NotPosted(Struct, frozen=True, kw_only=True):
    """Nothing was sent."""

    why: str
    is_refused: bool = False
    """It may not be: another try is of no use."""


class NotAnswered(Struct, frozen=True, kw_only=True):
    """It was sent, and may have arrived."""

    why: str


class PushUrlClient:
    """Posts to wherever is allowed. How many at once is its caller's to bound.

    `stays_in`: whether nothing may leave the machine now.
    """

    def __init__(
        self,
        *,
        allowed: Allowed,
        stays_in: Callable[[], bool],
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        resolve: Resolve | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._allowed = allowed
        self._stays_in = stays_in
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        # Its threads end with the client.
        self._look_ups = ThreadPoolExecutor(MAX_LOOK_UPS, thread_name_prefix="push-url")
        self._resolve = resolve or self._addresses
        self._timeout_s = timeout_s

    async def post(self, url: str, body: bytes) -> Posted | NotPosted | NotAnswered:
        """Raises CancelledError only. Ends within the client's time."""
        try:
            target = read_push_url(url)
        except ValueError as error:
            return NotPosted(why=f"the push_url {error}", is_refused=True)
        ends_at = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(ends_at):
                connection = await self._connect(target)
        except TimeoutError:
            return NotPosted(why=f"no connection to {target.authority} in time")
        except (OSError, UnicodeError) as error:
            return NotPosted(why=f"no connection to {target.authority}: {_reason(error)}")
        if isinstance(connection, NotPosted):
            return connection
        return await self._ask(connection, target, body, ends_at=ends_at)

    async def _ask(
        self, connection: FcmConnection, target: PushUrl, body: bytes, *, ends_at: float
    ) -> Posted | NotAnswered:
        left_s = max(ends_at - asyncio.get_running_loop().time(), 0.1)
        try:
            answer: HttpAnswer = await connection.ask(_request(target, body), silence_s=left_s, timeout_s=left_s)
        except NoAnswer as error:
            return NotAnswered(why=f"{target.authority}: {error}")
        finally:
            connection.abort()
            await connection.gone.wait()
        return Posted(status=answer.status, body=answer.body or b"")

    async def _connect(self, target: PushUrl) -> FcmConnection | NotPosted:
        """To the first of the host's addresses that is allowed and answers."""
        stays_in = self._stays_in()
        why = why_not_looked_up(target, self._allowed, stays_in=stays_in)
        if why:
            return _refused(target, why)
        tls = await self._context() if target.is_tls else None
        found = await self._resolve(target.host, target.port)
        judged = {one: why_refused(target, one, self._allowed, stays_in=stays_in) for one in found}
        open_to = [one for one, why in judged.items() if not why]
        if judged and not open_to:
            return _refused(target, next(iter(judged.values())))
        failed: OSError = OSError("it has no address")
        for address in open_to:
            try:
                return await _open(address, target, tls)
            except OSError as error:
                failed = error
        raise failed

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._look_ups, look_up)
        return list(dict.fromkeys(str(sockaddr[0]) for _, _, _, _, sockaddr in found))

    async def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = await asyncio.to_thread(self._make_tls)
        return self._tls


async def _open(address: str, target: PushUrl, tls: ssl.SSLContext | None) -> FcmConnection:
    """TLS is checked against the name, not the address."""
    _, connection = await asyncio.get_running_loop().create_connection(
        partial(FcmConnection, on_lost=lambda _: None),
        address,
        target.port,
        ssl=tls,
        server_hostname=target.host if tls is not None else None,
    )
    return connection


def _request(target: PushUrl, body: bytes) -> bytes:
    head = (
        f"POST {target.target} HTTP/1.1\r\nHost: {target.authority}\r\nUser-Agent: expo-gateway\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _refused(target: PushUrl, why: str) -> NotPosted:
    hint = "home_assistant.push_url_allow can name it"
    return NotPosted(why=f"nothing is sent to {target.host}: {why}; {hint}", is_refused=True)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
