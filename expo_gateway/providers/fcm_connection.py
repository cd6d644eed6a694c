"""One connection to FCM: a request goes out, its answer comes in, then the next. HTTP/1.1 without pipelining.

What the bytes say is fcm_http's; when a connection is opened and which one is taken is fcm_pool's.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from expo_gateway.providers.fcm_http import AnswerReader, HttpAnswer, NotHttp, is_taken


class NoAnswer(Exception):
    """The request was written and no answer came. Says why."""


class FcmConnection(asyncio.Protocol):
    """`on_lost` hears when it is gone, and `gone` is set. The transport's owner is whoever made the connection."""

    def __init__(self, *, on_lost: "Callable[[FcmConnection], None]") -> None:
        self.gone = asyncio.Event()
        self.idle_since = 0.0
        """In the loop's time; the pool's."""
        self._on_lost = on_lost
        self._is_open = False
        self._reader: AnswerReader | None = None
        """Set while an answer is due, and so is what follows."""
        self._answer: asyncio.Future[HttpAnswer]
        self._deadline: asyncio.TimerHandle
        self._silence_s = 0.0
        self._ends_at = 0.0
        self._transport: asyncio.Transport

    @property
    def is_free(self) -> bool:
        """It can carry a request."""
        return self._is_open and self._reader is None

    async def ask(self, request: bytes, *, silence_s: float, timeout_s: float) -> HttpAnswer:
        """Only when it is free, and by one at a time. NoAnswer also after `silence_s` without a byte, and when all of
        the answer takes longer than `timeout_s`."""
        loop = asyncio.get_running_loop()
        self._reader, self._answer = AnswerReader(), loop.create_future()
        self._silence_s, self._ends_at = silence_s, loop.time() + timeout_s
        # Cheaper than asyncio.timeout, and nobody is cancelled.
        self._deadline = loop.call_later(min(silence_s, timeout_s), self.close, "no answer in time")
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._deadline.cancel()
            if not self.is_free:
                self.abort()

    def close(self, why: str) -> None:
        """Say goodbye; an answer that is due won't come. A 2xx stands though its body is not complete: sending again
        would deliver the push twice."""
        if self._reader is None:
            self._is_open = False
            self._transport.close()
            return
        known = self._reader.end()
        self._settle(known if known is not None and is_taken(known.status) else NoAnswer(why))
        self.abort()

    def abort(self) -> None:
        self._is_open = False
        self._transport.abort()

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: uvloop's transport over TLS has no base class.
        self._transport, self._is_open = cast(asyncio.Transport, transport), True

    def data_received(self, data: bytes) -> None:
        if self._reader is None:  # nobody asked
            self.abort()
            return
        try:
            answer = self._reader.feed(data)
        except NotHttp as error:
            self._settle(NoAnswer(f"the answer is not HTTP/1.1: {error}"))
            self.abort()
            return
        if answer is None:
            self._wait_on()
        else:
            self._is_open = self._is_open and answer.keeps_alive
            self._settle(answer)

    def _wait_on(self) -> None:
        """Something came: the silence begins anew."""
        loop = asyncio.get_running_loop()
        self._deadline.cancel()
        ends_at = min(loop.time() + self._silence_s, self._ends_at)
        self._deadline = loop.call_at(ends_at, self.close, "no whole answer in time")

    def eof_received(self) -> None:
        self._over(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._over(exc)
        self.gone.set()
        self._on_lost(self)

    def _over(self, error: Exception | None) -> None:
        """No more will come from the other side."""
        self._is_open = False
        if self._reader is not None:
            known = self._reader.end()
            self._settle(known or NoAnswer(f"the connection ended without an answer ({error or 'closed'})"))

    def _settle(self, found: HttpAnswer | NoAnswer) -> None:
        self._reader = None
        if self._answer.done():  # whoever waited was cancelled
            return
        if isinstance(found, NoAnswer):
            self._answer.set_exception(found)
        else:
            self._answer.set_result(found)
