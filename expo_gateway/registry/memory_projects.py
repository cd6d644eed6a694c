"""The projects of a run, and what is configured for them, in memory. Every change to them counts up `version`."""

import logging
from collections.abc import Iterable

from msgspec.structs import replace

from expo_gateway.errors import StoreUnavailable
from expo_gateway.protocol.device import Project
from expo_gateway.protocol.project import AccessToken, ConfiguredProject, in_order

log = logging.getLogger(__name__)


class Bound:
    """How many there may be of what `kind` names in the plural."""

    def __init__(self, kind: str, most: int) -> None:
        self._kind = kind
        self._most = most
        self._has_complained = False

    def check(self, count: int) -> None:
        """StoreUnavailable: that is too many. The log has it once, however often it happens."""
        if count <= self._most:
            return
        if not self._has_complained:
            self._has_complained = True
            log.error("the registry is full: a run holds %d %s; more are refused", self._most, self._kind)
        raise StoreUnavailable(f"the registry is full: a run holds {self._most} {self._kind}")


class MemoryProjects:
    """Found one by one: they are few, and asked for by name only when a device registers."""

    def __init__(self, *, max_projects: int) -> None:
        self._projects: dict[str, ConfiguredProject] = {}
        self._bound = Bound("projects", max_projects)
        self.version = 0

    def by_name(self) -> list[ConfiguredProject]:
        return sorted(self._projects.values(), key=lambda configured: configured.project.full_name)

    def ids(self) -> Iterable[str]:
        return self._projects.keys()

    def get(self, project_id: str) -> Project | None:
        configured = self._projects.get(project_id)
        return None if configured is None else configured.project

    def named(self, full_name: str) -> Project | None:
        projects = (configured.project for configured in self._projects.values())
        return next((project for project in projects if project.full_name == full_name), None)

    def known(self, project: Project) -> Project | None:
        """The one that is there, by id or else by full name."""
        return self.get(project.project_id) or self.named(project.full_name)

    def add(self, projects: Iterable[Project]) -> dict[Project, Project]:
        """What is there now in place of each. StoreUnavailable: they are too many, and none was added."""
        found = {project: self.known(project) for project in dict.fromkeys(projects)}
        unknown = [project for project, known in found.items() if known is None]
        self._bound.check(len(self._projects) + len(unknown))
        return {project: known or self._add(project) for project, known in found.items()}

    def configure(self, configured: ConfiguredProject) -> None:
        """ValueError: the name is another project's."""
        project = configured.project
        namesake = self.named(project.full_name)
        if namesake is not None and namesake.project_id != project.project_id:
            raise ValueError(f"{project.full_name}, which is the name of project {namesake.project_id}")
        before = self._projects.get(project.project_id)
        self._bound.check(len(self._projects) + (before is None))
        tokens = () if before is None else before.tokens
        self._put(replace(configured, apns=in_order(configured.apns), tokens=tokens))

    def remove(self, project_id: str) -> None:
        self._projects.pop(project_id, None)
        self.version += 1

    def add_token(self, project_id: str, token: AccessToken) -> bool:
        """False: there is one of that name, which stays. ValueError: there is no such project."""
        configured = self._projects.get(project_id)
        if configured is None:
            raise ValueError(f"there is no project {project_id}")
        tokens = {token.name: token, **{known.name: known for known in configured.tokens}}
        self._put(replace(configured, tokens=tuple(tokens[name] for name in sorted(tokens))))
        return len(tokens) > len(configured.tokens)

    def revoke_token(self, project_id: str, name: str) -> bool:
        """False: there is none of that name."""
        configured = self._projects.get(project_id)
        if configured is None:
            return False
        tokens = tuple(token for token in configured.tokens if token.name != name)
        self._put(replace(configured, tokens=tokens))
        return len(tokens) < len(configured.tokens)

    def _add(self, project: Project) -> Project:
        """Unless one of the same name or id came just before."""
        known = self.known(project)
        if known is None:
            self._put(ConfiguredProject(project=project))
        return known or project

    def _put(self, configured: ConfiguredProject) -> None:
        self._projects[configured.project.project_id] = configured
        self.version += 1
