"""The parts of a run: its devices, its clock, its faults."""

from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any

from expo_gateway.testing.control import Control, ControlRefused, path_of
from expo_gateway.testing.filters import Instant, unix_seconds
from expo_gateway.testing.records import ClockFace, Device, read

# What of `fail` says which requests are meant; the rest says what happens to them.
MATCH = frozenset(
    {
        *("push_token", "device_token", "project", "platform", "provider"),
        *("every", "probability", "seed", "times", "from_at", "until_at", "for_s"),
    }
)


class Devices:
    """The virtual phones of a run."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def make(self, platform: str | None = None, **device: Any) -> Device:
        """What is left out is made up. Beside the platform: push_token, project, device_token, app_id, sandbox;
        `unregistered_at`, since when the app is gone from the phone; `gone_at`, since when the gateway knows it."""
        given = {**device, **({} if platform is None else {"platform": platform})}
        return read(Device, self._control.post("/devices", given))

    def list(self, *, platform: str | None = None, project: str | None = None) -> list[Device]:
        """Those that a first push brought about are among them."""
        asked = {"platform": platform, "project": project}
        query = [(name, value) for name, value in asked.items() if value is not None]
        return [read(Device, told) for told in self._control.pages("/devices", query, of="devices")]

    def get(self, push_token: str) -> Device:
        return read(Device, self._control.get(path_of("devices", push_token)))

    def unregister(self, push_token: str) -> Device:
        """Somebody removes the app: the receipt of the next push is DeviceNotRegistered, later tickets say so."""
        return read(Device, self._control.post(path_of("devices", push_token, "unregister")))

    def delete(self, push_token: str) -> None:
        self._control.delete(path_of("devices", push_token))


class Clock:
    """The time of a run: retries, receipts, expiry and rate limits go by it."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def read(self) -> ClockFace:
        return read(ClockFace, self._control.get("/clock"))

    def now(self) -> float:
        """Unix seconds."""
        return self.read().now_at

    def freeze(self, at: Instant | None = None) -> ClockFace:
        return self._post("freeze", {} if at is None else {"at": unix_seconds(at)})

    def advance(self, seconds: float | timedelta) -> ClockFace:
        """What comes due on the way comes due at once."""
        forward_s = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        return self._post("advance", {"seconds": forward_s})

    def set(self, at: Instant) -> ClockFace:
        return self._post("set", {"at": unix_seconds(at)})

    def resume(self) -> ClockFace:
        return self._post("resume", {})

    def _post(self, what: str, body: Mapping[str, object]) -> ClockFace:
        return read(ClockFace, self._control.post(f"/clock/{what}", body))


class Fault:
    """A fault that was added. As a context manager it ends with the block; else with the run."""

    def __init__(self, fault_id: str, *, control: Control) -> None:
        self.id = fault_id
        self._control = control

    def __repr__(self) -> str:
        return f"<Fault {self.id}>"

    def __enter__(self) -> "Fault":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def acted(self) -> int:
        """How many requests met it so far."""
        return int(self._control.get(path_of("faults", self.id))["acted"])

    def remove(self) -> None:
        """Nothing happens to one that is gone."""
        try:
            self._control.delete(path_of("faults", self.id))
        except ControlRefused as refused:
            if refused.status != 404:
                raise


def new_fault(act: str, parts: Mapping[str, object]) -> dict[str, object]:
    """The JSON of a fault: what says which requests, and what says what happens, each in its place."""
    return {
        "match": {name: value for name, value in parts.items() if name in MATCH},
        "act": {"type": act, **{name: value for name, value in parts.items() if name not in MATCH}},
    }
