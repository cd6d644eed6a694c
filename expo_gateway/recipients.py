"""The devices of a batch taken together: whose they are, which apps, what is odd about them. One look at each."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.device import Device, Platform, Project, ProjectKind

# A member of an enum costs more to get at than all else that is asked of a device.
_IOS = Platform.IOS


class Recipients(Struct, frozen=True, kw_only=True):
    projects: Sequence[Project]
    """Different ones. Two objects that stand for the same project may both be here."""
    apps: Sequence[Device]
    """A device of each app, platform and environment: what credentials are for."""
    has_virtual: bool
    has_gone: bool

    @property
    def is_any_real(self) -> bool:
        """Then a push token that nobody registered is just unknown: real and virtual devices are never mixed."""
        return any(project.kind is ProjectKind.REAL for project in self.projects)

    @property
    def are_of_one_project(self) -> bool:
        return len({project.full_name for project in self.projects}) < 2


def recipients_of(devices: Iterable[Device]) -> Recipients:
    """Every message of every request comes through here: it compares with the device before, and hashes nothing."""
    projects: dict[int, Project] = {}
    apps: dict[str, list[Device | None]] = {}
    project, app_id, of_app = None, None, _no_devices()
    has_virtual = has_gone = False
    for device in devices:
        if device.project is not project:
            project = projects[id(device.project)] = device.project
        if device.app_id != app_id:
            app_id = device.app_id
            of_app = apps.setdefault(app_id, _no_devices())
        of_app[1 + device.sandbox if device.platform is _IOS else 0] = device
        if device.virtual:
            has_virtual = True
        if device.gone_at is not None:
            has_gone = True
    return Recipients(
        projects=list(projects.values()),
        apps=[device for of_app in apps.values() for device in of_app if device is not None],
        has_virtual=has_virtual,
        has_gone=has_gone,
    )


def _no_devices() -> list[Device | None]:
    """Of an app: for Android, for iOS, for iOS in development. Each has its credentials."""
    return [None, None, None]


def refuse_mixed_projects(tokens: Sequence[str], devices: Sequence[Device], *, with_virtual: bool) -> None:
    """All recipients of a request must be of one project; the answer tells which are of which.

    Virtual devices go with any, since nobody said whose they are, but for `with_virtual`.
    """
    if len({device.project.full_name for device in devices if with_virtual or not device.virtual}) < 2:
        return
    names = {device.push_token: device.project.full_name for device in devices if with_virtual or not device.virtual}
    by_project: dict[str, list[str]] = {}
    for token in dict.fromkeys(tokens):
        if token in names:
            by_project.setdefault(names[token], []).append(token)
    raise RequestRefused(
        "PUSH_TOO_MANY_EXPERIENCE_IDS",
        "All push notification messages in the same request must be for the same project; "
        "check the details field to investigate conflicting tokens.",
        details=by_project,
    )
