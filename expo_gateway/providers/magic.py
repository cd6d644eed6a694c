"""What stands before the providers of emulated projects, so that the devices of magic push tokens have fixed outcomes.

The pipeline stays real: a push goes to the emulator, which refuses it (`emulators/magic_devices.py`). What it says is
then final, and about this delivery only: retried, it would never end, and a breaker or a pause would hit others.
"""

from typing import Protocol, TypeVar

from msgspec.structs import replace

from expo_gateway.protocol.magic import REFUSED_BY_PROVIDER, Magic, MagicKind, magic_of_device
from expo_gateway.protocol.receipt import expo_error
from expo_gateway.providers.base import Accepted, Outcome, Provider, Rejected, Scope


class ToDevice(Protocol):
    """What a request must tell."""

    @property
    def device_token(self) -> str: ...


Request = TypeVar("Request", bound=ToDevice, contravariant=True)


class MagicProvider(Provider[Request]):
    """Closes the provider that it stands before."""

    def __init__(self, provider: Provider[Request]) -> None:
        self._provider = provider

    @property
    def emulated(self) -> bool:
        return self._provider.emulated

    async def send(self, request: Request) -> Outcome:
        magic = magic_of_device(request.device_token)
        if magic is None:
            return await self._provider.send(request)
        if magic.kind is MagicKind.EXPO:
            return Rejected(reason="ExpoError", status=0, receipt=expo_error("The device's push token is magic-expo."))
        return fixed(await self._provider.send(request), magic)

    async def close(self) -> None:
        await self._provider.close()


def fixed(outcome: Outcome, magic: Magic) -> Outcome:
    """The outcome as the kind wants it. What the emulator did not answer is tried again, as ever."""
    if isinstance(outcome, Rejected) and magic.kind in REFUSED_BY_PROVIDER:
        return replace(outcome, backoff=None, scope=Scope.DELIVERY, device_gone=False)
    if isinstance(outcome, Accepted):
        return replace(outcome, receipt_after_s=magic.receipt_after_s)
    return outcome
