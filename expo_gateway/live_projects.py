"""What is configured for projects, in memory, and brought up to date while the gateway runs.

Another process (`expo-gateway projects`) may change it at any time. Every change counts up a number in the registry,
which is looked at twice a second; nothing is read again until it has moved.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from expo_gateway.errors import SettingsError, StoreUnavailable
from expo_gateway.protocol.device import Project, ProjectKind, project_id_of
from expo_gateway.protocol.project import ConfiguredProject
from expo_gateway.registry.base import Registry

log = logging.getLogger(__name__)

# Our choice: a change is seen within a second, and looking costs some 0.1 ms.
LOOK_EVERY_S = 0.5

Use = Callable[[Sequence[ConfiguredProject]], None]


class LiveProjects:
    """Reads the registry and tells `uses`, in their order, when something has changed."""

    def __init__(self, *, registry: Registry, uses: Sequence[Use]) -> None:
        self._registry = registry
        self._uses = uses
        self._seen: int | None = None
        self._configured: Sequence[ConfiguredProject] = ()
        self._refreshing = asyncio.Lock()

    async def refresh(self) -> None:
        """When this returns, `uses` know what was committed before it was called. Raises StoreUnavailable."""
        async with self._refreshing:
            # The number first: what is committed in between is read now, and once more at the next look.
            version = await self._registry.projects_version()
            if version == self._seen:
                return
            configured = await self._registry.configured_projects()
            if self._seen is not None:
                for change in changes(self._configured, configured):
                    log.info("%s", change)
            self._seen, self._configured = version, configured
            for use in self._uses:
                use(configured)

    async def watch(self) -> None:
        """Refresh until cancelled. While the store can't be read, what is known stays in use."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.refresh()
            except StoreUnavailable as error:
                log.warning("changes to projects can't be seen: %s", error)
            except Exception:
                log.exception("changes to projects can't be seen")


def changes(before: Sequence[ConfiguredProject], now: Sequence[ConfiguredProject]) -> Iterator[str]:
    """What is different, in the words of `projects show --json`: names of settings, and never what they hold.

    A project that a phone made, with nothing configured, is no change.
    """
    known = {one.project.project_id: one for one in before}
    for one in now:
        was = known.pop(one.project.project_id, None)
        changed = ", ".join(
            _changed(was or ConfiguredProject(project=replace(one.project, kind=ProjectKind.EMULATED)), one)
        )
        if changed:
            what = "was added:" if was is None else "has changed:"
            yield f"project {one.project.full_name} {what} {changed}"
    for gone in known.values():
        yield f"project {gone.project.full_name} was removed"


def _changed(before: ConfiguredProject, now: ConfiguredProject) -> Iterator[str]:
    for name in ("full_name", "kind"):
        if getattr(before.project, name) != getattr(now.project, name):
            yield name
    for name in ("apns", "fcm", "tokens", "requires_token", "notifications_per_second"):
        if getattr(before, name) != getattr(now, name):
            yield name


async def store_configured(registry: Registry, wanted: Sequence[ConfiguredProject]) -> None:
    """Put what the settings file says of its projects into the registry. What is so already is not written again.

    SettingsError: two projects would have one name.
    """
    stored = await registry.configured_projects()
    known = {one.project.project_id: one for one in stored}
    ids = {one.project.full_name: one.project.project_id for one in stored}
    for number, one in enumerate(wanted):
        if one.project.project_id == project_id_of(one.project.full_name):
            # Nobody gave it an id, and it may have one already.
            project_id = ids.get(one.project.full_name, one.project.project_id)
            one = replace(one, project=replace(one.project, project_id=project_id))
        before = known.get(one.project.project_id)
        if before is not None and _without_tokens(before) == _without_tokens(one):
            continue
        try:
            await registry.configure(one)
        except ValueError as error:
            raise SettingsError(
                f"projects[{number}].full_name: got {error} in the data directory; rename or remove that one with "
                "`expo-gateway projects`, or give its id as project_id"
            ) from error


async def emulated_project(registry: Registry, full_name: str) -> Project:
    """The project of the virtual devices. SettingsError when the one of that name sends to real providers."""
    project = await registry.add_project(Project(project_id=project_id_of(full_name), full_name=full_name))
    if project.kind is ProjectKind.REAL:
        raise SettingsError(
            f"emulator.project: got {full_name}, which sends to Apple and Google; wanted a project of its own"
        )
    return project


def _without_tokens(one: ConfiguredProject) -> tuple[object, ...]:
    return one.project, one.requires_token, one.notifications_per_second, one.apns, one.fcm
