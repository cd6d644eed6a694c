"""Home Assistant's relay, local push and services, made by whoever needs them first: a request to one of their paths,
or a delivery to a local device. A start pays nothing for them. What they are made of: `home_assistant_front.py`.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp

from expo_gateway.admission.desk import Admission
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.doors.late import LateDoor
from expo_gateway.gateway import Gateway, TokenPolicy
from expo_gateway.home_assistant_needs import Needs, Stores
from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.receipt import expo_error
from expo_gateway.providers.base import Outcome, Rejected
from expo_gateway.settings import Settings

if TYPE_CHECKING:
    from expo_gateway.home_assistant.parts import HomeAssistant


WEBSOCKET_PATH: Final = "/api/websocket"


class LateHomeAssistant:
    """Implements Provider[LocalRequest]: deliveries may be waiting since before a restart."""

    emulated = False

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        *,
        clock: Callable[[], float],
        stopping: asyncio.Event,
        port: int | None,
        can_listen: bool,
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._stopping = stopping
        self._port = port
        self._can_listen = can_listen
        self._needs: Needs | None = None
        self._parts: HomeAssistant | None = None

    @property
    def is_made(self) -> bool:
        """Whether anybody has needed it."""
        return self._parts is not None

    def made(self) -> "HomeAssistant | None":
        """For whoever looks on. None: it is turned off."""
        return self.parts() if self._settings.home_assistant.enabled else None

    def parts(self) -> "HomeAssistant":
        if self._parts is None:
            from expo_gateway.home_assistant_front import make_home_assistant

            self._parts = make_home_assistant(self._given())
        return self._parts

    async def channels(self) -> Mapping[str, int]:
        """Registrations by the status of their channel; none as long as nobody has needed them. StoreUnavailable."""
        return {} if self._parts is None else await self._parts.registrations.statuses()

    def messages(self) -> int:
        """Sent to the channels that are open, since each was opened."""
        channels = None if self._parts is None else self._parts.channels
        return 0 if channels is None else channels.all_messages

    async def send(self, request: LocalRequest) -> Outcome:
        if not self._settings.home_assistant.enabled:
            receipt = expo_error("Local push is turned off: home_assistant.enabled is false.")
            return Rejected(reason="Disabled", status=0, receipt=receipt)
        return await self.parts().provider.send(request)

    async def close(self) -> None:
        """It has nothing open: connections are their clients'."""

    def use(self, *, gateway: Gateway, policy: TokenPolicy, admission: Admission, dispatcher: Dispatcher) -> None:
        """Before the first delivery."""
        self._needs = Needs(
            settings=self._settings,
            stores=self._stores,
            gateway=gateway,
            policy=policy,
            admission=admission,
            waits_for_phone=dispatcher.waits_for_phone,
            clock=self._clock,
            stopping=self._stopping,
            port=self._port,
            can_listen=self._can_listen,
        )

    def door(self, otherwise: ASGIApp) -> ASGIApp:
        """Its paths; of others `otherwise` knows."""
        if not self._settings.home_assistant.enabled:
            return otherwise

        async def open_door() -> ASGIApp:
            from expo_gateway.home_assistant_front import home_assistant_door

            return home_assistant_door(self.parts(), self._given(), otherwise=otherwise)

        under = {"/api", f"{self._settings.home_assistant.prefix}/api"}
        return LateDoor(open_door, under=tuple(under), otherwise=otherwise)

    def websockets(self, door: ASGIApp) -> Mapping[str, ASGIApp]:
        """By path."""
        return {WEBSOCKET_PATH: door} if self._settings.home_assistant.enabled else {}

    def _given(self) -> Needs:
        if self._needs is None:
            raise RuntimeError("Home Assistant's parts were asked for before they were given what they need")
        return self._needs
