"""The emulated world, opened beside the first requests: nobody needs it before the first delivery.

Its libraries, certificates and TLS are a third of a start. Only its ports are taken at once: so its addresses are
known, and a port that another program has is said before anybody is served.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from expo_gateway.emulated_ports import EmulatorSockets
from expo_gateway.emulated_providers import EmulatedProviders, SigningKey, new_apns_key, new_fcm_key
from expo_gateway.emulators.tls import EmulatorTls

if TYPE_CHECKING:
    from expo_gateway.emulated import Emulated
    from expo_gateway.emulators.world import EmulatedWorld


class LateEmulated:
    """The emulators, opened by whoever first wants them `up`. Whoever makes it closes it."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], float],
        sockets: EmulatorSockets,
        extra_names: Callable[[], Sequence[str]],
        magic_devices: bool = True,
        world: "EmulatedWorld | None" = None,
    ) -> None:
        """As `open_emulated` has it; `extra_names` is asked when they are opened."""
        self.tls = EmulatorTls.of(directory)
        """Its files are there once the emulators are up."""
        self.addresses = sockets.addresses
        self._directory = directory
        self._clock = clock
        self._sockets = sockets
        self._extra_names = extra_names
        self._magic_devices = magic_devices
        self._world = world
        self._opened = AsyncExitStack()
        self._opening: asyncio.Task[Emulated] | None = None

    async def up(self) -> "Emulated":
        """Open them, unless somebody has, and wait until they are. OSError: the certificates can't be kept."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="emulators")
        return await asyncio.shield(self._opening)

    @property
    def is_up(self) -> bool:
        opening = self._opening
        return opening is not None and opening.done() and not opening.cancelled() and opening.exception() is None

    @property
    def opened(self) -> "Emulated":
        """RuntimeError unless they are up."""
        if self._opening is None or not self.is_up:
            raise RuntimeError("the emulators are not up")
        return self._opening.result()

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        await self._opened.aclose()
        self._sockets.close()

    async def _open(self) -> "Emulated":
        await asyncio.to_thread(import_module, "expo_gateway.emulated")
        from expo_gateway.emulated import open_emulated

        opening = open_emulated(
            self._directory,
            clock=self._clock,
            sockets=self._sockets,
            extra_names=self._extra_names(),
            magic_devices=self._magic_devices,
            world=self._world,
        )
        return await self._opened.enter_async_context(opening)


def providers_of(
    emulators: LateEmulated, *, clock: Callable[[], float], magic_devices: bool = True
) -> EmulatedProviders:
    """Providers beside the emulators, with keys of their own. They wait until the emulators are up."""

    def apns_key() -> SigningKey:
        key = new_apns_key()
        emulators.opened.trust_apns(key)
        return key

    def fcm_key() -> SigningKey:
        key = new_fcm_key()
        emulators.opened.trust_fcm(key)
        return key

    return EmulatedProviders(
        emulators.addresses,
        tls_context=emulators.tls.client_context,
        apns_key=apns_key,
        fcm_key=fcm_key,
        clock=clock,
        magic_devices=magic_devices,
        after=emulators.up,
    )
