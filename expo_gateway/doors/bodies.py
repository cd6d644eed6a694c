"""Reading request bodies: each under a cap and a deadline, all together under a bound."""

import asyncio
from typing import Final

from starlette.types import Receive

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.body import MAX_BODY_BYTES, too_large

# Our choice: so much of a body that is too large is read and thrown away, so that the client gets to read the answer.
MAX_DRAIN_BYTES: Final = 8 * MAX_BODY_BYTES
# Our choice: room for some hundred full batches, compressed or not, that arrive at once.
MAX_ALL_BYTES: Final = 64 * 1024 * 1024


class ClientGone(Exception):
    """The client left before its request was complete; nobody waits for an answer."""


class Bodies:
    """All bodies that are under way. One for a server."""

    def __init__(
        self, *, timeout_s: float, max_all_bytes: int = MAX_ALL_BYTES, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._timeout_s = timeout_s
        self._max_all_bytes = max_all_bytes
        self._max_body_bytes = max_body_bytes
        self._held_bytes = 0

    async def read(self, receive: Receive) -> bytes:
        """The whole body as it arrived.

        Raises RequestRefused when it is too large, too slow or one too many; ClientGone when nobody waits any more.
        """
        body = _Arriving(max_bytes=self._max_body_bytes)
        try:
            async with asyncio.timeout(self._timeout_s):
                while await body.take(receive):
                    self._hold(body)
        except TimeoutError:
            got = f"(received {body.size_bytes} bytes)"
            text = f"The request body was not complete after {self._timeout_s:g} seconds {got}."
            raise RequestRefused("REQUEST_TIMEOUT", text, status=408, is_transient=True) from None
        finally:
            self._held_bytes -= body.held_bytes
        if body.size_bytes > self._max_body_bytes:
            raise too_large(str(body.size_bytes), limit_bytes=self._max_body_bytes)
        return body.joined()

    def _hold(self, body: "_Arriving") -> None:
        grown_bytes = body.kept_bytes - body.held_bytes
        if self._held_bytes + grown_bytes > self._max_all_bytes:
            text = "Too many large requests arrive at the moment. Nothing of this request was accepted; try again."
            raise RequestRefused("SERVICE_UNAVAILABLE", text, status=503, is_transient=True)
        self._held_bytes += grown_bytes
        body.held_bytes = body.kept_bytes


class _Arriving:
    """One body, as far as it has come."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._chunks: list[bytes] = []
        self.size_bytes = 0
        self.kept_bytes = 0
        self.held_bytes = 0
        """What the bound of all bodies counts of it."""

    async def take(self, receive: Receive) -> bool:
        """Take the next piece. Whether there is more to come that is worth reading."""
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = event.get("body", b"")
        self.size_bytes += len(chunk)
        if self.size_bytes <= self._max_bytes:
            self._chunks.append(chunk)
            self.kept_bytes += len(chunk)
        return bool(event.get("more_body", False)) and self.size_bytes <= max(MAX_DRAIN_BYTES, self._max_bytes)

    def joined(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
