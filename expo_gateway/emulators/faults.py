"""Answers forced on an emulator, so that a client can be tested against failures that the real provider rarely gives.

A `Fault` says for which requests and how often; its `act` says what happens instead of the ordinary judgement.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer. APNs: `reason` (and `timestamp_ms` for 410). FCM: `body` is the whole error JSON."""

    status: int
    reason: str = ""
    timestamp_ms: int | None = None
    body: bytes | None = None
    """Sent instead of the JSON made of `reason`; b"" sends headers only, with END_STREAM."""
    headers: tuple[tuple[str, str], ...] = ()
    split_at: int | None = None
    """APNs: the body goes out in two DATA frames, cut here."""


@dataclass(frozen=True, slots=True)
class Hang:
    """The request is read and never answered."""


@dataclass(frozen=True, slots=True)
class Slow:
    """The ordinary answer, but `delay_s` later."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The connection is cut without a word, after the request was read."""


@dataclass(frozen=True, slots=True)
class Reset:
    """APNs: RST_STREAM with this HTTP/2 error code (7 = REFUSED_STREAM)."""

    error_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway:
    """APNs: GOAWAY with the JSON reason.

    Graceful: this request and those before it are answered, later ones are not, then the connection closes.
    Abrupt: the connection closes at once and last_stream_id leaves this request out.
    """

    reason: str = "Shutdown"
    graceful: bool = True


Act = Answer | Hang | Slow | Disconnect | Reset | GoAway


@dataclass(slots=True, kw_only=True)
class Fault:
    """`act` for the next `times` requests (None: for all) to `device_token` (None: to any)."""

    act: Act
    device_token: str | None = None
    times: int | None = None


@dataclass(slots=True)
class Faults:
    """The faults of one emulator, in the order in which they were added; the first that matches acts."""

    _faults: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def take(self, device_token: str) -> Act | None:
        """The act for this request, if any; uses up one of its `times`."""
        for fault in self._faults:
            if fault.device_token not in (None, device_token):
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
            return fault.act
        return None
