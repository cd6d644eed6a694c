"""The registry of a run: in the memory of one event loop, and gone with it. No method ever waits.

It is bounded. A device or project too many is refused with StoreUnavailable, and nothing of that call is kept. Nobody
is forgotten to make room: that would take back what a test was told before.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from expo_gateway.protocol.device import Device, Platform, Project, Registration
from expo_gateway.protocol.project import AccessToken, ConfiguredProject
from expo_gateway.registry.memory_projects import Bound, MemoryProjects

# Our choice: more than a test needs. A device takes some 0.5 kB.
MAX_DEVICES: Final = 10_000
MAX_PROJECTS: Final = 1_000

_Phone = tuple[str, str, str]
"""(device_id, app_id, project_id) of a device that registered itself."""


class MemoryRegistry:
    """Implements Registry."""

    def __init__(
        self, *, projects: Iterable[Project] = (), max_devices: int = MAX_DEVICES, max_projects: int = MAX_PROJECTS
    ) -> None:
        """`projects` are there from the start."""
        self._projects = MemoryProjects(max_projects=max_projects)
        self._projects.add(projects)
        self._bound = Bound("devices", max_devices)
        self._devices: dict[str, Device] = {}
        self._phones: dict[str, _Phone] = {}
        """By push token, of the devices that registered themselves."""
        self._push_tokens: dict[_Phone, str] = {}
        """The same, the other way."""

    # -- devices ----------------------------------------------------------------------------------------------------

    async def devices(self, push_tokens: Sequence[str]) -> Mapping[str, Device]:
        devices = self._devices
        return {push_token: devices[push_token] for push_token in push_tokens if push_token in devices}

    async def device_with_token(self, device_token: str) -> Device | None:
        held = (
            one
            for one in self._devices.values()
            if one.device_token == device_token and one.platform is not Platform.LOCAL
        )
        return max(held, key=lambda one: (one.gone_at is None, one.registered_at), default=None)

    async def enrol(self, devices: Sequence[Device]) -> Mapping[str, Device]:
        new: dict[str, Device] = {}
        for device in devices:
            if device.push_token not in self._devices:
                new.setdefault(device.push_token, device)
        self._check_room(len(new))
        projects = self._projects.add(device.project for device in devices)
        for push_token, device in new.items():
            self._devices[push_token] = replace(device, project=projects[device.project])
        return {device.push_token: self._devices[device.push_token] for device in devices}

    async def register(self, registration: Registration, *, push_token: str, now: float) -> Device:
        """ValueError: the push token is another device's."""
        project = self._projects.known(registration.project) or registration.project
        phone = (registration.device_id, registration.app_id, project.project_id)
        known = self._push_tokens.get(phone)
        if known is None:
            device = _device(registration, project=project, push_token=push_token, now=now)
            self._add(device, phone)
            return device
        return self._refresh(
            known,
            platform=registration.platform,
            device_token=registration.device_token,
            sandbox=registration.sandbox,
            now=now,
        )

    async def update_device_token(
        self, *, device_id: str, app_id: str, device_token: str, platform: str, sandbox: bool, now: float
    ) -> int:
        """ValueError: no such platform."""
        wanted = Platform(platform)
        phones = [(device_id, app_id, project_id) for project_id in self._projects.ids()]
        push_tokens = [self._push_tokens[phone] for phone in phones if phone in self._push_tokens]
        for push_token in push_tokens:
            self._refresh(push_token, platform=wanted, device_token=device_token, sandbox=sandbox, now=now)
        return len(push_tokens)

    async def mark_gone(self, push_token: str, *, device_token: str, gone_at: float) -> bool:
        """A device that is gone already stays so, since the earlier of the two instants; that is True as well."""
        device = self._devices.get(push_token)
        if device is None or device.device_token != device_token or device.registered_at > gone_at:
            return False
        earlier = gone_at if device.gone_at is None else min(device.gone_at, gone_at)
        self._devices[push_token] = replace(device, gone_at=earlier)
        return True

    async def list_devices(
        self, *, project_id: str | None = None, after: str = "", limit: int = 100
    ) -> Sequence[Device]:
        wanted = (
            device
            for push_token, device in self._devices.items()
            if push_token > after and project_id in (None, device.project.project_id)
        )
        return heapq.nsmallest(limit, wanted, key=lambda device: device.push_token)

    async def count_devices(self) -> int:
        return len(self._devices)

    async def forget_device(self, push_token: str) -> bool:
        return self._forget(push_token)

    # -- projects ---------------------------------------------------------------------------------------------------

    async def projects(self) -> Sequence[Project]:
        """By full name."""
        return [configured.project for configured in self._projects.by_name()]

    async def project(self, *, project_id: str) -> Project | None:
        return self._projects.get(project_id)

    async def project_named(self, full_name: str) -> Project | None:
        return self._projects.named(full_name)

    async def add_project(self, project: Project) -> Project:
        return self._projects.add([project])[project]

    async def configured_projects(self) -> Sequence[ConfiguredProject]:
        return self._projects.by_name()

    async def projects_version(self) -> int:
        return self._projects.version

    async def configure(self, configured: ConfiguredProject) -> None:
        project = configured.project
        before = self._projects.get(project.project_id)
        self._projects.configure(configured)
        if before not in (None, project):
            for device in self._devices_of(project.project_id):
                self._devices[device.push_token] = replace(device, project=project)

    async def remove_project(self, project_id: str) -> int:
        devices = self._devices_of(project_id)
        for device in devices:
            self._forget(device.push_token)
        self._projects.remove(project_id)
        return len(devices)

    async def add_access_token(self, project_id: str, token: AccessToken) -> bool:
        return self._projects.add_token(project_id, token)

    async def revoke_access_token(self, project_id: str, name: str) -> bool:
        return self._projects.revoke_token(project_id, name)

    # -- below ------------------------------------------------------------------------------------------------------

    def _check_room(self, new: int) -> None:
        """StoreUnavailable: so many devices more are too many."""
        self._bound.check(len(self._devices) + new)

    def _add(self, device: Device, phone: _Phone) -> None:
        """One that registered itself. ValueError: its push token is another device's."""
        if device.push_token in self._devices:
            raise ValueError("the push token for a new device is another device's")
        self._check_room(1)
        self._projects.add([device.project])
        self._devices[device.push_token] = device
        self._phones[device.push_token], self._push_tokens[phone] = phone, device.push_token

    def _refresh(self, push_token: str, *, platform: Platform, device_token: str, sandbox: bool, now: float) -> Device:
        """Its device token is new, and so it is alive."""
        device = replace(
            self._devices[push_token],
            platform=platform,
            device_token=device_token,
            sandbox=sandbox,
            registered_at=now,
            gone_at=None,
        )
        self._devices[push_token] = device
        return device

    def _devices_of(self, project_id: str) -> list[Device]:
        return [device for device in self._devices.values() if device.project.project_id == project_id]

    def _forget(self, push_token: str) -> bool:
        phone = self._phones.pop(push_token, None)
        if phone is not None:
            del self._push_tokens[phone]
        return self._devices.pop(push_token, None) is not None


def _device(registration: Registration, *, project: Project, push_token: str, now: float) -> Device:
    """A new one."""
    return Device(
        push_token=push_token,
        project=project,
        platform=registration.platform,
        device_token=registration.device_token,
        app_id=registration.app_id,
        registered_at=now,
        sandbox=registration.sandbox,
    )
