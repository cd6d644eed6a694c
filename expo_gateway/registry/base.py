"""The registry: who can be reached. Projects, what is configured for them, and their devices by push token."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from expo_gateway.protocol.device import Device, Project, Registration
from expo_gateway.protocol.project import AccessToken, ConfiguredProject


class Registry(Protocol):
    """All methods raise StoreUnavailable when the store can't do it now; then nothing of the call was written."""

    async def devices(self, push_tokens: Sequence[str]) -> Mapping[str, Device]:
        """The devices of these push tokens; unknown ones are left out. One look-up, however many tokens.

        What this registry has changed shows at once; what others change in the same store, within a second.
        """
        ...

    async def device_with_token(self, device_token: str) -> Device | None:
        """A device that Apple or Google knows by this token; APNs' is lower-case hex. Of several one that is alive,
        and of those the one that registered last. None: nobody has registered it, or it is a local device's."""
        ...

    async def enrol(self, devices: Sequence[Device]) -> Mapping[str, Device]:
        """Add virtual devices. A push token that is there already stays as it is. Returns what is stored now."""
        ...

    async def register(self, registration: Registration, *, push_token: str, now: float) -> Device:
        """Add or refresh the device of (device_id, app_id, project) and return it.

        A device that is known keeps its push token, and takes the new device token, platform and environment, and is
        alive again; else it gets `push_token`.
        """
        ...

    async def update_device_token(
        self, *, device_id: str, app_id: str, device_token: str, platform: str, sandbox: bool, now: float
    ) -> int:
        """A rotated device token, for every project in which the device holds a push token. Returns how many do."""
        ...

    async def mark_gone(self, push_token: str, *, device_token: str, gone_at: float) -> bool:
        """The provider calls the device token dead since `gone_at`.

        Nothing happens, and False is returned, when the device holds another device token by now or was registered
        after that instant.
        """
        ...

    async def projects(self) -> Sequence[Project]: ...

    async def project(self, *, project_id: str) -> Project | None: ...

    async def project_named(self, full_name: str) -> Project | None: ...

    async def add_project(self, project: Project) -> Project:
        """Add a project; one that is there (by id or by full name) stays as it is and is returned."""
        ...

    async def configured_projects(self) -> Sequence[ConfiguredProject]:
        """All projects, by full name, with everything that is configured for them."""
        ...

    async def projects_version(self) -> int:
        """Grows with every change to projects and what is configured for them, whichever process makes it."""
        ...

    async def configure(self, configured: ConfiguredProject) -> None:
        """Store the project: all but its tokens takes the place of what is there.

        Known by its id; a new name, or another kind, is the project's from now on. ValueError: the name is another
        project's.
        """
        ...

    async def remove_project(self, project_id: str) -> int:
        """Forget the project, its credentials, tokens and devices. Returns how many devices went."""
        ...

    async def add_access_token(self, project_id: str, token: AccessToken) -> bool:
        """False: the project has a token of that name, which stays. ValueError: there is no such project."""
        ...

    async def revoke_access_token(self, project_id: str, name: str) -> bool:
        """False: there is none of that name."""
        ...

    async def list_devices(
        self, *, project_id: str | None = None, after: str = "", limit: int = 100
    ) -> Sequence[Device]:
        """Devices by push token, from the first one beyond `after` on."""
        ...

    async def count_devices(self) -> int: ...

    async def forget_device(self, push_token: str) -> bool:
        """False: it is nobody's."""
        ...
