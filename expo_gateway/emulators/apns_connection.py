"""One connection to the emulated APNs: HTTP/2 frames in, decisions asked for, answers and faults out.

Standard: RFC 9113. Nothing here knows Apple's rules; nothing else here touches a transport.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import cast

import h2.events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from expo_gateway.emulators.apns_answers import ApnsReason, Reply, error_json
from expo_gateway.emulators.apns_certificates import TrustedCertificate
from expo_gateway.emulators.apns_decisions import ApnsDecisions, ApnsWorlds
from expo_gateway.emulators.apns_http2 import MAX_STREAMS, ServerConnection, goaway_bytes
from expo_gateway.emulators.apns_provider_tokens import ConnectionTokens
from expo_gateway.emulators.apns_rules import ApnsRequest
from expo_gateway.emulators.cutting import cut
from expo_gateway.emulators.faults import (
    Act,
    Answer,
    ConnectionAct,
    Disconnect,
    GoAway,
    Hang,
    Outage,
    Reset,
    Slow,
    SmallWindow,
    StreamLimit,
)

# Our choice: sixteen of the largest payloads. What is longer is answered with the part that was read, and drained.
MAX_BODY_BYTES = 65_536
# Our choice: a client speaks as soon as TLS stands.
PREFACE_S = 10.0
# Our choice: Apple tells clients to ping "after an hour of inactivity", so it must bear more than that.
IDLE_S = 2 * 3600.0
# Our choice: after a GOAWAY the client's last frames are read, since closing over unread bytes resets the connection
# and may take our last answers with it.
LINGER_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRules:
    max_streams: int = MAX_STREAMS
    strict_streams: bool = False
    """One stream until a request with a valid provider token was answered."""
    strict_token_updates: bool = False
    real_window: bool = False
    """The connection's receive window stays at 65,535 bytes, refilled at half, as Apple's."""
    preface_s: float = PREFACE_S
    idle_s: float = IDLE_S


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and its answer."""

    stream_id: int
    headers: list[tuple[bytes, bytes]]
    decisions: ApnsDecisions
    """Those of the world that it belongs to, once it is complete."""
    body: bytearray = field(default_factory=bytearray)
    request: ApnsRequest | None = None
    """None until it is complete."""
    late_answer: asyncio.TimerHandle | None = None
    is_hung: bool = False
    unsent: deque[bytes] = field(default_factory=deque)
    """Chunks of the body that the client's flow control holds back."""


class ApnsConnection(asyncio.Protocol):
    """`closed` is set once the transport is gone. The transport's owner is whoever made the connection."""

    def __init__(self, *, worlds: ApnsWorlds, rules: ConnectionRules, loop: asyncio.AbstractEventLoop) -> None:
        self.closed = asyncio.Event()
        self.is_made = False
        self._worlds = worlds
        self._decisions = worlds.default
        self._rules = rules
        self._loop = loop
        self._tokens = ConnectionTokens(limit_updates=rules.strict_token_updates)
        self._certificate: TrustedCertificate | ApnsReason | None = None
        self._stream_limit = 1 if rules.strict_streams else rules.max_streams
        self._told_limit = self._stream_limit
        self._forced_limit: int | None = None
        self._is_wide = False
        """Not before the first request, which shows whose connection it is."""
        self._h2 = ServerConnection(max_streams=self._stream_limit)
        self._exchanges: dict[int, Exchange] = {}
        self._answered: list[int] = []
        self._is_proven = False
        self._last_stream_id: int | None = None
        """Set by GOAWAY: requests after this one are ignored."""
        self._linger_s = LINGER_S
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._parting: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: uvloop's transport over TLS has no base class.
        self._transport = cast(asyncio.Transport, transport)
        self.is_made = True
        tls = transport.get_extra_info("ssl_object")
        self._certificate = self._worlds.certificate(tls.getpeercert(binary_form=True)) if tls is not None else None
        self._watch = self._loop.call_later(self._rules.preface_s, self._end_if_silent)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            events = self._h2.receive(data)
        except ProtocolError:
            self._flush()  # h2 has written GOAWAY
            self._transport.close()
            return
        for event in events:
            if self._transport.is_closing():
                return
            self._take(event)
        self._flush()

    def pause_writing(self) -> None:
        """A client that doesn't read its answers isn't read either: memory stays bounded."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._watch, self._parting):
            if timer is not None:
                timer.cancel()
        for exchange in self._exchanges.values():
            self._abandon(exchange)
        self._exchanges.clear()
        self.closed.set()

    # -- what the listener calls

    def belongs_to(self, decisions: ApnsDecisions) -> bool:
        """Whether its latest request is of that world."""
        return self._decisions is decisions

    def end(self) -> None:
        """GOAWAY; then closes at once."""
        self._go_away(last_stream_id=self._h2.highest_inbound_stream_id, reason="Shutdown")
        self._transport.close()

    def shut_down(self) -> None:
        """GOAWAY; then closes as soon as nothing that was received still waits for an answer."""
        self._linger_s = 0.0
        self._go_away(last_stream_id=self._h2.highest_inbound_stream_id, reason="Shutdown")
        self._flush()

    async def cut(self) -> None:
        """Ends the connection, if it isn't over, and waits until its transport is gone."""
        if self.is_made:
            self._transport.abort()
            await self.closed.wait()

    # -- requests

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._open(event.stream_id, event.headers)
            case h2.events.DataReceived():
                self._read(event.stream_id, event.data, event.flow_controlled_length)
            case h2.events.StreamEnded():
                self._complete(event.stream_id)
            case h2.events.StreamReset():
                exchange = self._exchanges.pop(event.stream_id, None)
                if exchange is not None:
                    self._abandon(exchange)
            case h2.events.SettingsAcknowledged():
                self._stream_limit = self._told_limit
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for exchange in self._exchanges.values():
                    if exchange.unsent:
                        self._send_body(exchange)
            case _:
                pass

    def _open(self, stream_id: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self._last_stream_id is not None and stream_id > self._last_stream_id:
            return
        if len(self._exchanges) >= self._stream_limit:
            self._reset(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        self._exchanges[stream_id] = Exchange(stream_id=stream_id, headers=headers, decisions=self._decisions)

    def _read(self, stream_id: int, data: bytes, flow_controlled_bytes: int) -> None:
        # Also what nobody waits for is acknowledged, or it would eat the window of the connection.
        self._h2.acknowledge_received_data(flow_controlled_bytes, stream_id)
        exchange = self._exchanges.get(stream_id)
        if exchange is None or exchange.request is not None:
            return
        exchange.body += data
        if len(exchange.body) > MAX_BODY_BYTES:
            self._complete(stream_id)

    def _complete(self, stream_id: int) -> None:
        exchange = self._exchanges.get(stream_id)
        if exchange is None or exchange.request is not None:
            return
        headers = tuple((str(name, "latin-1"), str(value, "latin-1")) for name, value in exchange.headers)
        fields = dict(headers)
        decisions = self._worlds.default if self._certificate else self._worlds.of(fields.get("authorization", ""))
        self._decisions = exchange.decisions = decisions
        request = exchange.request = decisions.request(headers, fields, bytes(exchange.body))
        self._shape(decisions.connection_acts(request), exchange)
        self._perform(decisions.act(request), exchange, request)

    def _shape(self, acts: list[ConnectionAct], exchange: Exchange) -> None:
        """The connection as faults want it from now on."""
        self._forced_limit = min((act.max_streams for act in acts if isinstance(act, StreamLimit)), default=None)
        is_small = self._rules.real_window or any(isinstance(act, SmallWindow) for act in acts)
        if self._is_wide and is_small:
            self._go_away(last_stream_id=exchange.stream_id, reason="Shutdown")
        elif not self._is_wide and not is_small:
            self._is_wide = True
            self._h2.widen()

    def _perform(self, act: Act | None, exchange: Exchange, request: ApnsRequest) -> None:
        match act:
            case None:
                self._answer(exchange, request)
            case Answer():
                self._send(exchange, exchange.decisions.scripted(request, act))
            case Slow():
                exchange.late_answer = self._loop.call_later(act.delay_s, self._answer_late, exchange, request)
            case Hang():
                exchange.is_hung = True
                exchange.decisions.dropped(request)
            case Disconnect():
                exchange.decisions.dropped(request)
                self._flush()
                cut(self._transport, reset=act.reset)
            case Outage():
                self._transport.abort()
            case Reset():
                exchange.decisions.dropped(request)
                self._answered.append(exchange.stream_id)
                self._reset(exchange.stream_id, act.error_code)
            case GoAway(graceful=True):
                self._go_away(last_stream_id=exchange.stream_id, reason=act.reason)
                self._answer(exchange, request)
            case GoAway():
                exchange.decisions.dropped(request)
                self._go_away(last_stream_id=max(exchange.stream_id - 2, 0), reason=act.reason)
                self._transport.close()

    # -- answers

    def _answer(self, exchange: Exchange, request: ApnsRequest) -> None:
        self._send(exchange, exchange.decisions.answer(request, self._tokens, self._certificate))

    def _answer_late(self, exchange: Exchange, request: ApnsRequest) -> None:
        exchange.late_answer = None
        self._answer(exchange, request)
        self._flush()

    def _send(self, exchange: Exchange, reply: Reply) -> None:
        self._is_proven = self._is_proven or reply.proves_token
        exchange.unsent.extend(reply.chunks)
        try:
            self._h2.send_headers(exchange.stream_id, reply.headers, end_stream=not reply.chunks)
        except ProtocolError:  # the client reset the stream in the same read
            exchange.unsent.clear()
        self._send_body(exchange)

    def _send_body(self, exchange: Exchange) -> None:
        """As much as the client's windows let through; its WINDOW_UPDATE brings us back here."""
        try:
            while exchange.unsent and self._has_sent_chunk(exchange.stream_id, exchange.unsent):
                pass
        except ProtocolError:  # as above
            exchange.unsent.clear()
        if not exchange.unsent:
            self._answered.append(exchange.stream_id)

    def _has_sent_chunk(self, stream_id: int, unsent: deque[bytes]) -> bool:
        room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
        if room <= 0:
            return False
        chunk = unsent.popleft()
        if len(chunk) > room:
            unsent.appendleft(chunk[room:])
        self._h2.send_data(stream_id, chunk[:room], end_stream=not unsent)
        return True

    def _reset(self, stream_id: int, error_code: int) -> None:
        try:
            self._h2.reset_stream(stream_id, error_code)
        except ProtocolError:  # the client was faster, in the same read
            return

    def _abandon(self, exchange: Exchange) -> None:
        """The client won't get this answer any more."""
        if exchange.late_answer is not None and exchange.request is not None:
            exchange.late_answer.cancel()
            exchange.decisions.dropped(exchange.request)

    # -- the connection

    def _flush(self) -> None:
        """One write for all that this turn of the loop brought about.

        Only now streams are over and the limit changes: the client can't have known before.
        """
        for stream_id in self._answered:
            self._exchanges.pop(stream_id, None)
        self._answered.clear()
        self._limit_streams()
        self._write(self._h2.data_to_send())
        self._h2.drop_closed_streams()
        if self._last_stream_id is not None and all(exchange.is_hung for exchange in self._exchanges.values()):
            self._close_soon()

    def _limit_streams(self) -> None:
        """A higher limit holds at once, a lower one when the client has acknowledged it (RFC 9113 §6.5.3)."""
        is_first = self._rules.strict_streams and not self._is_proven
        limit = 1 if is_first else min(self._rules.max_streams, self._forced_limit or self._rules.max_streams)
        if limit != self._told_limit:
            self._told_limit = limit
            self._stream_limit = max(self._stream_limit, limit)
            self._h2.limit_streams(limit)

    def _write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _go_away(self, *, last_stream_id: int, reason: str) -> None:
        if self._last_stream_id is not None:  # RFC 9113 §6.8: the value must not grow
            last_stream_id = min(last_stream_id, self._last_stream_id)
        self._last_stream_id = last_stream_id
        self._write(
            self._h2.data_to_send() + goaway_bytes(last_stream_id=last_stream_id, additional_data=error_json(reason))
        )

    def _close_soon(self) -> None:
        if not self._linger_s:
            self._transport.close()
        elif self._parting is None:
            self._parting = self._loop.call_later(self._linger_s, self._transport.close)

    def _end_if_silent(self) -> None:
        silent_s = self._loop.time() - self._heard_at
        if not self._heard_at:
            self._transport.abort()
        elif silent_s < self._rules.idle_s:
            self._watch = self._loop.call_later(self._rules.idle_s - silent_s, self._end_if_silent)
        else:
            self._go_away(last_stream_id=self._h2.highest_inbound_stream_id, reason="IdleTimeout")
            self._transport.close()
