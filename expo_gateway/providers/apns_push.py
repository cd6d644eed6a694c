"""A push on its way through a pool, and the stream that carries it."""

import asyncio
from dataclasses import dataclass, field

from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.providers.apns_reasons import ApnsAnswer, Reply, read_answer, uncertain

# Our choice: APNs' errors are some 60 bytes long, and a proxy's page is not worth more.
MAX_BODY_BYTES = 4096


@dataclass(slots=True, kw_only=True, eq=False)
class Push:
    """One request on its way. Who awaits `reply` may be cancelled at any time; that harms nobody else."""

    request: ApnsRequest
    reply: asyncio.Future[Reply]
    queued_at: float
    """Of the loop's clock."""
    authorization: str = ""
    """The `authorization` that it was sent with."""

    def settle(self, reply: Reply) -> None:
        if not self.reply.done():
            self.reply.set_result(reply)


@dataclass(slots=True, kw_only=True)
class InFlight:
    """A stream that waits for its answer."""

    push: Push
    sent_at: float
    status: bytes = b""
    unique_id: bytes = b""
    body: bytearray = field(default_factory=bytearray)

    def read_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        for name, value in headers:
            if name == b":status":
                self.status = bytes(value)
            elif name == b"apns-unique-id":
                self.unique_id = bytes(value)

    def read_body(self, part: bytes) -> None:
        self.body += part[: MAX_BODY_BYTES - len(self.body)]

    def answer(self) -> ApnsAnswer:
        return read_answer(status=self.status, body=bytes(self.body), unique_id=self.unique_id)

    def lost(self, why: str) -> Reply:
        """No more of the answer will come. An acceptance is one by its status alone."""
        return self.answer() if self.status == b"200" else uncertain(why)
