"""A push on its way through a pool, and the stream that carries it."""

import asyncio
from dataclasses import dataclass

from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.providers.apns_events import Stream
from expo_gateway.providers.apns_reasons import ApnsAnswer, Reply, read_answer, uncertain


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


@dataclass(slots=True, kw_only=True, eq=False)
class InFlight:
    """A push that waits for its answer."""

    push: Push
    stream: Stream
    sent_at: float

    def answer(self) -> ApnsAnswer:
        stream = self.stream
        return read_answer(status=stream.status, body=stream.body, unique_id=stream.unique_id)

    def lost(self, why: str) -> Reply:
        """No more of the answer will come. An acceptance is one by its status alone."""
        return self.answer() if self.stream.status == b"200" else uncertain(why)
