"""Capture and forward: who a device's messages are sent through while only named push tokens may leave the machine.

A message that may not leave goes the whole way to the emulators, as one of an emulated project does. One that is named
but looks made up is refused with a receipt: captured in silence it would pass for delivered.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from expo_gateway.dispatcher.sender import ProjectProviders
from expo_gateway.protocol.device import Device, Project, ProjectKind
from expo_gateway.protocol.outwards import why_kept_in
from expo_gateway.protocol.receipt import expo_error
from expo_gateway.providers.base import Outcome, Provider, Rejected

log = logging.getLogger(__name__)

Request = TypeVar("Request", contravariant=True)


class Forwarding:
    """`allow`: the push tokens that may leave; None: whatever belongs to a real project."""

    def __init__(
        self,
        *,
        emulated: ProjectProviders,
        real: Callable[[Project], ProjectProviders],
        allow: frozenset[str] | None,
    ) -> None:
        self._emulated = emulated
        self._real = real
        self._allow = allow
        self._captured = ProjectProviders(apns=emulated.apns, fcm=emulated.fcm, captures=True)

    def of(self, device: Device) -> ProjectProviders:
        """What the device is reached through."""
        is_real = device.project.kind is ProjectKind.REAL
        if self._allow is None:
            return self._real(device.project) if is_real else self._emulated
        if device.push_token not in self._allow:
            return self._captured if is_real else self._emulated
        why = why_kept_in(device)
        return self._real(device.project) if not why else _refusing(why)


def warn_of_captures(allow: frozenset[str] | None) -> None:
    """A log line for whoever wonders why no phone rings."""
    if allow is not None:
        log.warning("what real projects send is captured, but for %d push tokens in forward.allow", len(allow))


class Refusing(Provider[Request]):
    """Sends nothing to anybody, and says why."""

    emulated = True

    def __init__(self, why: str) -> None:
        self._why = why

    async def send(self, request: Request) -> Outcome:
        message = f"The push token is named in forward.allow, but {self._why}: nothing was sent."
        return Rejected(reason="NotForwarded", status=0, receipt=expo_error(message))

    async def close(self) -> None:
        """It has nothing."""


def _refusing(why: str) -> ProjectProviders:
    return ProjectProviders(apns=Refusing(why), fcm=Refusing(why), captures=True)
