"""A client of Expo's push API, as Expo asks clients to be: gzip, six requests at a time, back-off.

https://docs.expo.dev/push-notifications/sending-notifications/. A request whose answer got lost is sent again, so its
messages may be delivered twice; the API has no key that would tell the repeat from the first.
"""

import asyncio
import gzip
import os
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import orjson

from expo_gateway import __version__
from expo_gateway.commands.api_answers import Data, Failure, Refused, read_answer, try_again_in_s
from expo_gateway.commands.connecting import Connecting
from expo_gateway.commands.scheme import wrong_scheme

# Expo's guidance for its service; expo-server-sdk-node has the same.
MAX_IN_FLIGHT = 6
# As expo-server-sdk-node compresses.
GZIP_ABOVE_BYTES = 1024
CONNECT_S = 10.0
ANSWER_S = 60.0
# Our choice: 1,000 receipts with long messages are 1 MB; what answers with more is not Expo's API.
MAX_ANSWER_BYTES = 16 * 1024 * 1024

SEND = "/--/api/v2/push/send"
GET_RECEIPTS = "/--/api/v2/push/getReceipts"


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveUp:
    """No answer, however often it was asked."""

    why: str
    lost: bool
    """Some try may have been accepted."""


class ApiClient:
    """Asks until there is an answer. `stopping` ends all waiting between tries."""

    def __init__(self, session: aiohttp.ClientSession, *, url: str, stopping: asyncio.Event) -> None:
        self._session = session
        self._url = url
        self._stopping = stopping
        self._reached = False
        self._answered = False
        """As Expo's API does, once at least."""
        self.asked_again = 0
        """Requests that were sent again although they may have been accepted."""

    async def send(self, messages: Sequence[bytes]) -> Data | Refused | GaveUp:
        """The tickets of messages in JSON, one recipient each."""
        answer = await self._ask(SEND, b"[" + b",".join(messages) + b"]")
        if isinstance(answer, Data) and not _are_tickets(answer.value, len(messages)):
            return GaveUp(
                why=f"{self._url} did not answer with one ticket for each message; is --url right?", lost=True
            )
        return answer

    async def receipts(self, ids: Sequence[str]) -> Data | Refused | GaveUp:
        """The receipts that are there, by ticket id."""
        answer = await self._ask(GET_RECEIPTS, orjson.dumps({"ids": ids}))
        if isinstance(answer, Data) and not isinstance(answer.value, dict):
            return GaveUp(why=f"{self._url} did not answer with receipts; is --url right?", lost=False)
        return answer

    async def _ask(self, path: str, body: bytes) -> Data | Refused | GaveUp:
        headers = {"content-type": "application/json"}
        if len(body) > GZIP_ABOVE_BYTES:
            body, headers["content-encoding"] = gzip.compress(body, 1, mtime=0), "gzip"
        tries, lost = 0, False
        while True:
            answer = await self._try(path, body, headers)
            if not isinstance(answer, Failure):
                self._answered = True
                return answer
            tries += 1
            lost = lost or answer.lost
            pause_s = try_again_in_s(answer, tries=tries, reached=self._reached, dice=random.random())
            if pause_s is None or await self._stopped_within(pause_s):
                return GaveUp(why=f"{self._url}: {answer.why}", lost=lost)
            self.asked_again += answer.lost

    async def _try(self, path: str, body: bytes, headers: Mapping[str, str]) -> Data | Refused | Failure:
        try:
            async with self._session.post(
                f"{self._url}{path}", data=body, headers=headers, allow_redirects=False
            ) as response:
                self._reached = True
                text = await response.content.read(MAX_ANSWER_BYTES)
                while not response.content.at_eof() and len(text) < MAX_ANSWER_BYTES:
                    text += await response.content.read(MAX_ANSWER_BYTES - len(text))
                retry_after = response.headers.get("retry-after")
                answer = read_answer(response.status, text, retry_after=retry_after, now=time.time())
                return await self._checked(answer) if isinstance(answer, Failure) and answer.final else answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return await self._checked(_failure(error, reached=self._reached), error)

    async def _checked(self, failure: Failure, error: Exception | None = None) -> Failure:
        """The same, or a better one when it is the scheme that is wrong."""
        why = "" if self._answered else await wrong_scheme(self._url, error)
        return Failure(why=why, final=True) if why else failure

    async def _stopped_within(self, pause_s: float) -> bool:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            pass
        return self._stopping.is_set()


@asynccontextmanager
async def open_client(connecting: Connecting, *, stopping: asyncio.Event) -> AsyncIterator[ApiClient]:
    """SettingsError: the file with the certificates of --ca can't be read."""
    headers = {"accept": "application/json", "user-agent": f"expo-gateway/{__version__}"}
    if connecting.token:
        headers["authorization"] = f"Bearer {connecting.token}"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_IN_FLIGHT, ssl=connecting.tls() or True),
        timeout=aiohttp.ClientTimeout(total=ANSWER_S, connect=CONNECT_S),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield ApiClient(session, url=connecting.url, stopping=stopping)


def _failure(error: Exception, *, reached: bool) -> Failure:
    """What a connection's error means; whether the request may have arrived."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = (
            "its certificate is not trusted; name its authority with --ca FILE (`expo-gateway serve` says where it is)"
        )
        return Failure(why=why, final=True)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return Failure(why=f"TLS fails ({error.os_error})", final=not reached)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Failure(why=_no_connection(error), final=not reached)
    if isinstance(error, TimeoutError):
        return Failure(why=f"no answer within {ANSWER_S:g} seconds", lost=True)
    hint = "" if reached else "; is --url right?"
    return Failure(
        why=f"the connection broke before the answer came ({error or type(error).__name__}){hint}", lost=True
    )


def _no_connection(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number) if number and number > 0 else f"{error}" or "not in time"
    return (
        f"no connection ({reason}); is the gateway running? Start it with `expo-gateway serve`, or name it with --url"
    )


def _are_tickets(value: object, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(isinstance(one, dict) for one in value)
