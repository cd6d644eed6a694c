"""One connection to APNs: aioapns' protocol, with everything replaced that loses, repeats or forgets pushes.

Standard: RFC 9113 (https://www.rfc-editor.org/rfc/rfc9113). Nothing raises out of here: a push ends as the `Reply`
in its future.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import h2.events
from aioapns.connection import APNsTLSClientProtocol
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from expo_gateway.protocol.push_token import redacted
from expo_gateway.providers.apns_h2 import ApnsH2
from expo_gateway.providers.apns_headers import header_block
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

    conn: ApnsH2

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
        self.conn = ApnsH2()
        self.closed = asyncio.Event()
        self.cause = ""
        """Why it ended, or is about to."""
        self.has_answered = False
        """It has carried at least one push to its answer."""
        self.is_leaving = False
        """It takes no more pushes and closes when those in flight are answered."""
        self._authority = authority
        self._token = token
        self._limits = limits
        self._on_change = on_change
        self._on_lost = on_lost
        self._in_flight: dict[int, InFlight] = {}
        self._is_trusted = False
        self._max_in_flight = 1
        self._stream_window_bytes = self.conn.remote_settings.initial_window_size
        self._written_below = 1
        """Requests with a lower stream id were handed to the transport."""
        self._liveness = Liveness(limits=limits, heard_at=loop.time())
        self._flushing: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._takers: dict[type[h2.events.Event], Callable[..., None]] = {
            h2.events.ResponseReceived: self._take_headers,
            h2.events.DataReceived: self._take_data,
            h2.events.StreamEnded: self._take_end,
            h2.events.StreamReset: self._take_reset,
            h2.events.RemoteSettingsChanged: self._take_settings,
            h2.events.ConnectionTerminated: self._take_go_away,
            h2.events.PingAckReceived: self._take_pong,
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
            and body_bytes <= self.conn.outbound_flow_control_window
            and body_bytes <= self._stream_window_bytes
        )

    def start(self, push: Push) -> None:
        """Send the push. There must be room for it."""
        request = push.request
        try:
            push.authorization = self._token.get_header()
            block = header_block(request, authority=self._authority, authorization=push.authorization)
        except Exception as error:
            # A mistake of ours. Its text may hold the device token.
            push.settle(unsent(f"not sendable: {type(error).__name__}"))
            return
        try:
            stream_id = self.conn.post(block, request.payload)
        except Exception as error:
            # We miscounted; what h2 has taken in by now must not go out.
            push.settle(unsent(f"not sendable: {type(error).__name__}"))
            self._end(f"out of step: {type(error).__name__}")
            return
        self._in_flight[stream_id] = InFlight(push=push, sent_at=self.loop.time())
        self.flush()
        self._set_alarm()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("push %s to %s is stream %d", request.apns_id, redacted(request.device_token), stream_id)
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
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._liveness.heard_at = self.loop.time()
        self.conn.greet()
        self._write()
        self._set_alarm()

    def data_received(self, data: bytes) -> None:
        self._liveness.heard_at = self.loop.time()
        try:
            events = self.conn.receive_data(data)
        except Exception as error:
            # h2's errors and those of the packages below it: all mean that the two ends are out of step for good.
            self._end(f"protocol error: {error!r}")
            return
        for event in events:
            take = self._takers.get(type(event))
            if take is not None:
                take(event)
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

    # -- events of h2

    def _take_headers(self, event: h2.events.ResponseReceived) -> None:
        stream = self._in_flight.get(event.stream_id)
        if stream is not None:
            stream.read_headers(event.headers)

    def _take_data(self, event: h2.events.DataReceived) -> None:
        # Also what nobody waits for, or it would eat the window of the connection.
        self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream = self._in_flight.get(event.stream_id)
        if stream is not None:
            stream.read_body(event.data)

    def _take_end(self, event: h2.events.StreamEnded) -> None:
        stream = self._in_flight.get(event.stream_id)
        if stream is None:
            return
        answer = stream.answer()
        self.has_answered = True
        # Only 403 is about the provider token; any other answer comes after it was found valid, and more streams are
        # allowed then: Apple, "Establishing a token-based connection to APNs".
        if not self._is_trusted and answer.status != 403:
            self._is_trusted = True
            self._limit_streams()
        if answer.reason in ENDS_CONNECTION:
            self.retire(f"APNs answered {answer.reason}")
        self._finish(event.stream_id, answer)

    def _take_reset(self, event: h2.events.StreamReset) -> None:
        stream = self._in_flight.get(event.stream_id)
        if stream is None:
            return
        if event.error_code == ErrorCodes.REFUSED_STREAM:
            self._finish(event.stream_id, Bounced(why="APNs refused the stream"))
        else:
            self._finish(event.stream_id, stream.lost(f"APNs reset the stream, error {_name(event.error_code)}"))

    def _take_settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        if SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
            self._stream_window_bytes = self.conn.remote_settings.initial_window_size
        self._limit_streams()

    def _limit_streams(self) -> None:
        ours = self._limits.max_streams if self._is_trusted else 1
        self._max_in_flight = min(ours, self.conn.remote_settings.max_concurrent_streams)

    def _take_go_away(self, event: h2.events.ConnectionTerminated) -> None:
        """Streams after the last one that APNs looks at were not processed; the others get their answers yet."""
        self.cause = f"APNs went away: {go_away_reason(event.additional_data)}, error {_name(event.error_code)}"
        self.is_leaving = True
        log.info("%s", self.cause)
        last_stream_id = event.last_stream_id or 0
        for stream_id in [stream_id for stream_id in self._in_flight if stream_id > last_stream_id]:
            self._finish(stream_id, Bounced(why=self.cause))
        self._close_if_idle()

    def _take_pong(self, event: h2.events.PingAckReceived) -> None:
        self._liveness.pinged_at = None
        self._set_alarm()

    # -- ends

    def _finish(self, stream_id: int, reply: Reply) -> None:
        stream = self._in_flight.pop(stream_id)
        self.conn.forget(stream_id)
        stream.push.settle(reply)
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self.is_leaving and not self._in_flight:
            self._end(self.cause)

    def _end(self, cause: str) -> None:
        """Close; nothing more is awaited from APNs."""
        self.cause = self.cause or cause
        self.is_leaving = True
        self._give_up(cause)
        if self.transport is not None and not self.transport.is_closing():
            # What was not written stays so: its pushes are called unsent.
            self.conn.clear_outbound_data_buffer()
            with suppress(ProtocolError):
                self.conn.close_connection()
            self._write()
            self.transport.close()
        self._on_change(self)

    def _give_up(self, why: str) -> None:
        """Settle what is in flight: what is not written yet is unsent, the rest uncertain."""
        in_flight, self._in_flight = self._in_flight, {}
        for stream_id, stream in in_flight.items():
            stream.push.settle(stream.lost(why) if stream_id < self._written_below else unsent(why))

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
        for stream_id, stream in tuple(self._in_flight.items()):
            if now < stream.sent_at + self._limits.request_timeout_s:
                break
            is_silent = is_silent or self._liveness.heard_at < stream.sent_at
            self.conn.reset_stream(stream_id, ErrorCodes.CANCEL)
            self.flush()
            self._finish(stream_id, stream.lost(f"no answer for {self._limits.request_timeout_s:g} s"))
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


def _name(error_code: ErrorCodes | int | None) -> str:
    return error_code.name if isinstance(error_code, ErrorCodes) else str(error_code)
