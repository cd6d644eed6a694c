"""One connection to APNs: aioapns' protocol, with everything replaced that loses, repeats or forgets pushes.

HTTP/2 itself is in `ApnsHttp2`; here are the pushes, the timers and the transport. Nothing raises out of here: a push
ends as the `Reply` in its future.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from aioapns.connection import APNsTLSClientProtocol
from h2.errors import ErrorCodes

from expo_gateway.protocol.push_token import redacted
from expo_gateway.providers.apns_events import Answered, Broken, Failed, Ponged, SettingsChanged, Stream, WentAway
from expo_gateway.providers.apns_headers import HeaderBlocks
from expo_gateway.providers.apns_http2 import ApnsHttp2
from expo_gateway.providers.apns_limits import ApnsLimits
from expo_gateway.providers.apns_liveness import Liveness
from expo_gateway.providers.apns_push import InFlight, Push
from expo_gateway.providers.apns_reasons import ENDS_CONNECTION, Bounced, Reply, go_away_reason, unsent
from expo_gateway.providers.apns_token import ProviderToken

log = logging.getLogger(__name__)

_PING = b"expo-gw?"


class ApnsConnection(APNsTLSClientProtocol):
    """`on_change` is told when there may be room, or when there will be none any more; `on_lost` when it is over.

    The stream limit is 1 until APNs has found a provider token valid, then that of its SETTINGS or ours.
    """

    conn: ApnsHttp2  # type: ignore[assignment]

    def __init__(
        self,
        *,
        authority: str,
        token: ProviderToken,
        limits: ApnsLimits,
        loop: asyncio.AbstractEventLoop,
        on_change: Callable[["ApnsConnection"], None],
        on_lost: Callable[["ApnsConnection"], None],
    ) -> None:
        # aioapns wants one topic for a connection; each of our requests brings its own.
        super().__init__("", loop, None, token)
        self.conn = ApnsHttp2()
        self.closed = asyncio.Event()
        self.cause = ""
        """Why it ended, or is about to."""
        self.has_answered = False
        """It has carried at least one push to its answer."""
        self.is_leaving = False
        """It takes no more pushes and closes when those in flight are answered."""
        self._blocks = HeaderBlocks(authority=authority)
        self._token = token
        self._limits = limits
        self._on_change = on_change
        self._on_lost = on_lost
        self._in_flight: dict[int, InFlight] = {}
        self._is_trusted = False
        self._max_in_flight = 1
        self._written_below = 1
        """Requests with a lower stream id were handed to the transport."""
        self._liveness = Liveness(limits=limits, heard_at=loop.time())
        self._flushing: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._takers: dict[type, Callable[[Any], None]] = {
            Answered: self._take_answer,
            Broken: self._take_broken,
            SettingsChanged: self._take_settings,
            WentAway: self._take_go_away,
            Ponged: self._take_pong,
            Failed: self._take_failure,
        }

    # -- what the pool asks and tells

    @property
    def is_coming(self) -> bool:
        """It will have more room soon: its first answer, or that to a PING, is due."""
        return not self.is_leaving and (not self._is_trusted or self._liveness.is_asked)

    @property
    def is_doubtful(self) -> bool:
        """Nothing was heard for so long that the way may be gone: `probe` before use."""
        return self._liveness.is_doubtful(now=self.loop.time())

    def has_room(self, body_bytes: int) -> bool:
        return (
            not self.is_leaving
            and not self._liveness.is_asked
            and len(self._in_flight) < self._max_in_flight
            and body_bytes <= self.conn.window_bytes
            and body_bytes <= self.conn.stream_window_bytes
        )

    def start(self, push: Push) -> None:
        """Send the push. There must be room for it."""
        request = push.request
        try:
            push.authorization = self._token.get_header()
            block = self._blocks.block(request, authorization=push.authorization)
            stream = self.conn.post(block, request.payload)
        except Exception as error:
            # A mistake of ours. Its text may hold the device token.
            push.settle(unsent(f"not sendable: {type(error).__name__}"))
            return
        self._in_flight[stream.stream_id] = InFlight(push=push, stream=stream, sent_at=self.loop.time())
        self.flush()
        if len(self._in_flight) == 1:
            # Else the alarm is set for a push before this one.
            self._set_alarm()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("push %s to %s is stream %d", request.apns_id, redacted(request.device_token), stream.stream_id)
        if self.conn.streams_used >= self._limits.max_requests:
            self.retire(f"carried {self._limits.max_requests} pushes")

    def probe(self) -> None:
        """Ask for a sign of life; without one the connection is cut."""
        if not self.is_leaving and not self._liveness.is_asked:
            self._liveness.pinged_at = self.loop.time()
            self.conn.ping(_PING)
            self.flush()
            self._set_alarm()

    def retire(self, cause: str) -> None:
        """Take no more pushes; close when those in flight have their answers."""
        self.cause = self.cause or cause
        self.is_leaving = True
        self._close_if_idle()

    def close(self) -> None:
        """Say goodbye and end. What is in flight is uncertain."""
        self._end("closed by us")

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self._liveness.heard_at = self.loop.time()
        self.conn.greet()
        self._write()
        self._set_alarm()

    def data_received(self, data: bytes) -> None:
        self._liveness.heard_at = self.loop.time()
        for event in self.conn.receive(data):
            self._takers[type(event)](event)
        self.flush()
        self._on_change(self)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._flushing, self._alarm):
            if timer is not None:
                timer.cancel()
        self.is_leaving = True
        self.cause = self.cause or f"connection lost: {exc or 'closed by APNs'}"
        self._give_up(self.cause)
        self.closed.set()
        self._on_lost(self)

    # -- what HTTP/2 tells

    def _take_answer(self, event: Answered) -> None:
        in_flight = self._in_flight.get(event.stream.stream_id)
        if in_flight is None:
            return
        answer = in_flight.answer()
        self.has_answered = True
        # Only 403 is about the provider token; any other answer comes after it was found valid, and more streams are
        # allowed then: Apple, "Establishing a token-based connection to APNs".
        if not self._is_trusted and answer.status != 403:
            self._is_trusted = True
            self._limit_streams()
        if answer.reason in ENDS_CONNECTION:
            self.retire(f"APNs answered {answer.reason}")
        self._finish(event.stream, answer)

    def _take_broken(self, event: Broken) -> None:
        in_flight = self._in_flight.get(event.stream.stream_id)
        if in_flight is None:
            return
        if not event.by_peer:
            self._finish(event.stream, in_flight.lost("APNs' answer was malformed"))
        elif event.code == ErrorCodes.REFUSED_STREAM:
            self._finish(event.stream, Bounced(why="APNs refused the stream"))
        else:
            self._finish(event.stream, in_flight.lost(f"APNs reset the stream, error {_name(event.code)}"))

    def _take_settings(self, event: SettingsChanged) -> None:
        self._limit_streams()

    def _limit_streams(self) -> None:
        ours = self._limits.max_streams if self._is_trusted else 1
        self._max_in_flight = min(ours, self.conn.max_streams)

    def _take_go_away(self, event: WentAway) -> None:
        """Streams after the last one that APNs looks at were not processed; the others get their answers yet."""
        self.cause = f"APNs went away: {go_away_reason(event.reason)}, error {_name(event.code)}"
        self.is_leaving = True
        log.info("%s", self.cause)
        for stream_id, in_flight in tuple(self._in_flight.items()):
            if stream_id > event.last_stream_id:
                self._finish(in_flight.stream, Bounced(why=self.cause))
        self._close_if_idle()

    def _take_pong(self, event: Ponged) -> None:
        self._liveness.pinged_at = None
        self._set_alarm()

    def _take_failure(self, event: Failed) -> None:
        self._end(f"protocol error: {event.error}", code=event.error.code)

    # -- ends

    def _finish(self, stream: Stream, reply: Reply) -> None:
        self._in_flight.pop(stream.stream_id).push.settle(reply)
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self.is_leaving and not self._in_flight:
            self._end(self.cause)

    def _end(self, cause: str, *, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Close; nothing more is awaited from APNs."""
        self.cause = self.cause or cause
        self.is_leaving = True
        self._give_up(cause)
        if self.transport is not None and not self.transport.is_closing():
            # What was not written stays so: its pushes are called unsent.
            self.conn.say_goodbye(code)
            self._write()
            self.transport.close()
        self._on_change(self)

    def _give_up(self, why: str) -> None:
        """Settle what is in flight: what is not written yet is unsent, the rest uncertain."""
        in_flight, self._in_flight = self._in_flight, {}
        for stream_id, waiting in in_flight.items():
            waiting.push.settle(waiting.lost(why) if stream_id < self._written_below else unsent(why))

    # -- time

    def _set_alarm(self) -> None:
        """One timer for everything. It may ring too early, never too late: so it is rarely set anew."""
        due_at = self._liveness.due_at
        for oldest in self._in_flight.values():
            # The first is the oldest, and all wait equally long.
            due_at = min(due_at, oldest.sent_at + self._limits.request_timeout_s)
            break
        if self._alarm is not None:
            if self._alarm.when() <= due_at:
                return
            self._alarm.cancel()
        self._alarm = self.loop.call_at(due_at, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        now = self.loop.time()
        if self._liveness.is_dead(now=now):
            self.cause = f"no answer to a PING for {self._limits.ping_timeout_s:g} s"
            self.is_leaving = True
            self.abort()
            return
        if self._expire(now=now) or self._liveness.is_idle(now=now):
            self.probe()
        self._set_alarm()
        self._on_change(self)

    def _expire(self, *, now: float) -> bool:
        """End the requests whose time is over. Whether nothing at all was heard since one of them was sent."""
        is_silent = False
        for stream_id, in_flight in tuple(self._in_flight.items()):
            if now < in_flight.sent_at + self._limits.request_timeout_s:
                break
            is_silent = is_silent or self._liveness.heard_at < in_flight.sent_at
            self.conn.reset(stream_id, ErrorCodes.CANCEL)
            self.flush()
            self._finish(in_flight.stream, in_flight.lost(f"no answer for {self._limits.request_timeout_s:g} s"))
        return is_silent

    # -- writing

    def flush(self) -> None:
        """One write for all that this turn of the loop brings about."""
        if self._flushing is None:
            self._flushing = self.loop.call_soon(self._write)

    def _write(self) -> None:
        self._flushing = None
        data = self.conn.data_to_send()
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)
            self._written_below = self.conn.next_stream_id

    def refresh_inactivity_timer(self) -> None:
        """aioapns would close after 10 seconds; Apple wants connections kept for hours."""


def _name(code: int) -> str:
    """Of an HTTP/2 error, which may be none that anybody knows."""
    return ErrorCodes(code).name if code in set(ErrorCodes) else str(code)
