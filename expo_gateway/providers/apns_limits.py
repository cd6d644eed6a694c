"""What an APNs provider allows itself: how many connections and streams, and how long it waits for what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsLimits:
    """Our choices where no source is named. Each pool (production, sandbox) has its own."""

    max_connections: int = 4
    max_streams: int = 200
    """Requests in flight on one connection. APNs allows 500 to 1,000; what more would bring, connections bring too."""
    max_requests: int = 10_000_000
    """A connection that has carried so many is replaced, long before its stream ids run out (2^30)."""
    request_timeout_s: float = 30.0
    """From the write to the answer; then the push is uncertain."""
    queue_timeout_s: float = 30.0
    """How long a push waits for room on a connection; then it is unsent."""
    patience_s: float = 1.0
    """When the first in the queue has waited so long, another connection is opened instead of waiting on."""
    connect_timeout_s: float = 10.0
    """TCP and TLS together, each time for all addresses of the name."""
    first_pause_s: float = 0.25
    """After a failed connect; doubles up to `max_pause_s`, half of it at random."""
    max_pause_s: float = 60.0
    keepalive_s: float = 3600.0
    """Apple: check an idle connection "after an hour of inactivity", and keep it."""
    probe_after_s: float = 300.0
    """A connection on which nothing came in for so long answers a PING before it gets a push: a firewall or NAT may
    have forgotten it, and what is written into it would be uncertain."""
    ping_timeout_s: float = 5.0
    close_timeout_s: float = 2.0
    """For TLS to say goodbye; then the connection is cut."""
