"""Whether the peer is still there: when a connection was heard last, and what a PING says. No IO, no clock.

A peer that vanished without a word (a firewall that forgot the connection, a machine that lost power) can't be told
from a silent one, but for an HTTP/2 PING (RFC 9113, section 6.7). It is sent only after a long silence.
"""

from dataclasses import dataclass

from expo_gateway.providers.apns_limits import ApnsLimits


@dataclass(slots=True, kw_only=True)
class Liveness:
    """All instants are those of the caller's clock."""

    limits: ApnsLimits
    heard_at: float
    pinged_at: float | None = None
    """None: no PING waits for its answer."""

    @property
    def is_asked(self) -> bool:
        """Until the answer nobody knows whether the connection is good."""
        return self.pinged_at is not None

    def is_doubtful(self, *, now: float) -> bool:
        """Silent for so long that it must answer a PING before it is trusted with a push."""
        return now - self.heard_at > self.limits.probe_after_s

    def is_idle(self, *, now: float) -> bool:
        """Silent for so long that it is checked without need."""
        return now >= self.heard_at + self.limits.keepalive_s

    def is_dead(self, *, now: float) -> bool:
        return self.pinged_at is not None and now >= self.pinged_at + self.limits.ping_timeout_s

    @property
    def due_at(self) -> float:
        """When to look again."""
        if self.pinged_at is not None:
            return self.pinged_at + self.limits.ping_timeout_s
        return self.heard_at + self.limits.keepalive_s
