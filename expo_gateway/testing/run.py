"""A run, as a test sees it: where to send, what was sent, what to wait for, what to break."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar, Unpack
from urllib.parse import urlsplit

from expo_gateway.testing.control import Control, ControlRefused, Json, path_of
from expo_gateway.testing.filters import Filter, Instant, query_of, unix_seconds
from expo_gateway.testing.records import Capture, Delivery, DeliveryLife, Receipt, read, ticket_id
from expo_gateway.testing.run_parts import Clock, Devices, Fault, new_fault
from expo_gateway.testing.unmet import not_idle, not_sent, not_settled, sent_after_all

# As the document has it.
WAIT_S = 5.0
REQUEST_TIMEOUT = 408

Own = TypeVar("Own", bound="Run")


class Run:
    """A world of its own: nothing that is done here is seen in another run.

    Whatever asks raises ControlRefused when the gateway says no and GatewayGone when nobody answers; what waits or
    asserts raises an AssertionError that shows the nearest misses.
    """

    def __init__(self, url: str, *, control: Control) -> None:
        self.url = url
        """The base URL for the code under test, as EXPO_BASE_URL wants it."""
        parts = urlsplit(url)
        self.host = f"{parts.scheme}://{parts.netloc}"
        """For an SDK that drops the path of its host, as the Python one does: it takes `api_url` apart."""
        self.api_url = f"{parts.path}/--/api/v2"
        self.devices = Devices(control)
        self.clock = Clock(control)
        self._control = control

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete the run with all that is in it. Nothing happens to one that was never used."""
        base_url, _, name = self.url.rpartition("/r/")
        try:
            self._control.at(base_url).delete(path_of("runs", name))
        except ControlRefused as refused:
            if refused.status != 404:
                raise

    def reset(self) -> None:
        """Begin again: no deliveries and captures; clock, limits, faults and virtual devices as at the start."""
        self._control.post("/reset")

    # -- what was sent ----------------------------------------------------------------------------------------------

    def sent(self, **wanted: Unpack[Filter]) -> list[Delivery]:
        """Those that are there now, the oldest first; without arguments all."""
        return [read(Delivery, told) for told in self._control.pages("/deliveries", query_of(wanted), of="deliveries")]

    def delivery(self, ticket: object) -> DeliveryLife:
        """One delivery with every attempt and event. `ticket`: its id, or a ticket as JSON or an SDK has it."""
        return read(DeliveryLife, self._control.get(path_of("deliveries", ticket_id(ticket))))

    def captures(
        self,
        *,
        provider: str | None = None,
        to: str | None = None,
        device_token: str | None = None,
        since: Instant | None = None,
    ) -> list[Capture]:
        """What the emulators of APNs and FCM received, the oldest first."""
        asked = {"provider": provider, "to": to, "device_token": device_token}
        query = [(name, value) for name, value in asked.items() if value is not None]
        query += [] if since is None else [("since", str(unix_seconds(since)))]
        return [read(Capture, told) for told in self._control.pages("/captures", query, of="captures")]

    # -- waiting and asserting --------------------------------------------------------------------------------------

    def wait_for(self, count: int = 1, *, timeout_s: float = WAIT_S, **wanted: Unpack[Filter]) -> list[Delivery]:
        """At least so many deliveries, as soon as they are there. That one reached its phone is `state="delivered"`;
        without a state it is enough that it was sent. NotSent: there were too few in time."""
        __tracebackhide__ = True  # of pytest: the failure is the caller's
        query = [("count", str(count)), ("timeout_s", str(timeout_s)), *query_of(wanted)]
        try:
            answer = self._control.get("/deliveries/wait", query, patience_s=timeout_s)
        except ControlRefused as refused:
            if refused.status != REQUEST_TIMEOUT:
                raise
            raise not_sent(wanted, count=count, timeout_s=timeout_s, url=self.url, answer=refused.answer) from None
        return [read(Delivery, told) for told in answer["deliveries"]]

    def assert_sent(self, *, timeout_s: float = WAIT_S, **wanted: Unpack[Filter]) -> Delivery:
        """The first such delivery. NotSent: there was none in time."""
        __tracebackhide__ = True
        return self.wait_for(1, timeout_s=timeout_s, **wanted)[0]

    def assert_not_sent(self, **wanted: Unpack[Filter]) -> None:
        """None of those that were sent until now; without arguments nothing at all was."""
        __tracebackhide__ = True
        if found := self.sent(**wanted):
            raise sent_after_all(wanted, [repr(delivery) for delivery in found])

    def receipt(self, ticket: object, *, timeout_s: float = WAIT_S) -> Receipt:
        """As soon as getReceipts has it. `ticket`: its id, or a ticket as JSON or as an SDK has it.

        NotSettled: it did not come in time.
        """
        __tracebackhide__ = True
        [receipt] = self.receipts([ticket], timeout_s=timeout_s).values()
        return receipt

    def receipts(self, tickets: Iterable[object], *, timeout_s: float = WAIT_S) -> dict[str, Receipt]:
        """Of up to 300 tickets, by ticket id. NotSettled: they did not all come in time."""
        __tracebackhide__ = True
        query = [("ids", ",".join(ticket_id(ticket) for ticket in tickets)), ("timeout_s", str(timeout_s))]
        try:
            answer = self._control.get("/receipts/wait", query, patience_s=timeout_s)
        except ControlRefused as refused:
            if refused.status != REQUEST_TIMEOUT:
                raise
            raise not_settled(refused.answer, timeout_s=timeout_s) from None
        return {of: read(Receipt, told) for of, told in answer["receipts"].items()}

    def wait_until_idle(self, *, timeout_s: float = WAIT_S) -> Json:
        """Until everything that was sent is settled; returns the counts of the run.

        With a frozen clock what waits for a retry stays unsettled. NotSettled: it was not so in time.
        """
        __tracebackhide__ = True
        try:
            return self._control.get("/idle/wait", [("timeout_s", str(timeout_s))], patience_s=timeout_s)
        except ControlRefused as refused:
            if refused.status != REQUEST_TIMEOUT:
                raise
            raise not_idle(refused.answer, timeout_s=timeout_s) from None

    # -- breaking and arranging -------------------------------------------------------------------------------------

    def fail(self, act: str, **parts: Any) -> Fault:
        """Add a fault: `fail("apns_reason", reason="Unregistered", push_token=…, times=1)`.

        The acts and their arguments, and what says which requests are meant, are the two tables of docs/testing.md.
        """
        told = self._control.post("/faults", new_fault(act, parts))
        return Fault(told["id"], control=self._control)

    def set_limits(self, *, notifications_per_second: int | None = None, receipt_delay_s: float | None = None) -> None:
        """What is left out is as at the start again."""
        wanted = {"notifications_per_second": notifications_per_second, "receipt_delay_s": receipt_delay_s}
        self._control.put("/limits", {name: value for name, value in wanted.items() if value is not None})

    def counts(self) -> Json:
        return self._control.get("/counts")

    def state(self) -> Json:
        """The whole run, for `load` or for a seed file."""
        return self._control.get("/state")

    def load(self, state: Mapping[str, object]) -> None:
        """What was exported, or a seed: each part that is given takes the place of what there is."""
        self._control.post("/state", state)
