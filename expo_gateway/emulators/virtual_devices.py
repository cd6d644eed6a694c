"""The phones of the emulated world: which device tokens exist, of which app and environment, and which are gone."""

from msgspec import Struct


class VirtualDevice(Struct):
    app_id: str
    """Bundle id or package name."""
    sandbox: bool = False
    """APNs only: a development build."""
    unregistered_at: float | None = None
    """Unix seconds since when the provider calls the token dead; None while it is alive."""


# Our choice: some 20 MB. The oldest go; a push to one of them enrols it again.
MAX_DEVICES = 100_000


class VirtualDevices:
    """The devices of one emulator, by device token.

    A well-formed token that nobody enrolled is enrolled by the first push to it, with that push's topic and
    environment, so that any client's test tokens work. `known_only` refuses them instead, as the real provider does.
    """

    def __init__(self, *, known_only: bool = False, max_devices: int = MAX_DEVICES) -> None:
        self.known_only = known_only
        self._max_devices = max_devices
        self._devices: dict[str, VirtualDevice] = {}

    def enrol(self, device_token: str, *, app_id: str, sandbox: bool = False) -> VirtualDevice:
        """Add the device, or bring it back to life. Idempotent."""
        device = self._devices[device_token] = VirtualDevice(app_id, sandbox)
        if len(self._devices) > self._max_devices:
            del self._devices[next(iter(self._devices))]
        return device

    def get(self, device_token: str) -> VirtualDevice | None:
        return self._devices.get(device_token)

    def meet(self, device_token: str, *, app_id: str, sandbox: bool = False) -> VirtualDevice | None:
        """The device that a push is addressed to; enrols it when that is allowed, else None."""
        device = self._devices.get(device_token)
        if device is None and not self.known_only:
            device = self.enrol(device_token, app_id=app_id, sandbox=sandbox)
        return device

    def unregister(self, device_token: str, *, at: float) -> None:
        """The app was removed from the phone."""
        self._devices[device_token].unregistered_at = at

    def clear(self) -> None:
        self._devices.clear()

    def __len__(self) -> int:
        return len(self._devices)
