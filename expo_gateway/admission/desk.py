"""Everything about a project that is asked before its messages are taken in, answered from memory."""

from collections.abc import Iterable, Mapping

from expo_gateway.admission.access import check_bearer
from expo_gateway.admission.limits import Limits
from expo_gateway.admission.rate import Buckets, RateLimits
from expo_gateway.protocol.device import Device, Platform, Project, ProjectKind
from expo_gateway.protocol.project import ConfiguredProject
from expo_gateway.protocol.ticket import TicketError, no_apns_credentials, no_fcm_credentials


class Admission:
    """Knows what is configured; `use` replaces all of it at once.

    Emulated projects are let in with any token and without one. They may require one, or have a rate limit, to see
    what a client makes of it.
    """

    has_real: bool
    """Whether any project sends to real providers. Read for every batch."""

    def __init__(self, *, buckets: Buckets | None = None, limits: Limits | None = None) -> None:
        """`buckets`: of the rate limits, when other processes draw from them too. `limits` may change at any time."""
        self.limits = limits if limits is not None else Limits()
        self.has_real = False
        self._configured: Mapping[str, ConfiguredProject] = {}
        self._digests: frozenset[bytes] = frozenset()
        self._rates = RateLimits(buckets)

    def use(self, configured: Iterable[ConfiguredProject]) -> None:
        self._configured = {one.project.project_id: one for one in configured}
        self.has_real = any(one.project.kind is ProjectKind.REAL for one in self._configured.values())
        self._digests = frozenset(token.sha256 for one in self._configured.values() for token in one.tokens)

    def knows(self, project: Project) -> bool:
        """Whether what is in memory is about this project, and not from before it was made or became real."""
        configured = self._configured.get(project.project_id)
        return configured is not None and configured.project == project

    def check_bearer(self, project_id: str, bearer: str | None) -> None:
        """Raises BearerRefused (401) or RequestRefused (403)."""
        configured = self._configured.get(project_id)
        if configured is None:
            return
        if configured.requires_token or configured.project.kind is ProjectKind.REAL:
            check_bearer(configured, bearer, elsewhere=self._digests)

    def take_rate(self, project_id: str, *, count: int, now: float) -> None:
        """Raises RequestRefused (429); then none is counted."""
        limit = self._limit(self._configured.get(project_id))
        if limit is not None:
            self._rates.take(project_id, count=count, limit=limit, now=now)

    def _limit(self, configured: ConfiguredProject | None) -> int | None:
        """Notifications a second."""
        if configured is None:
            return self.limits.notifications_per_second
        if configured.notifications_per_second is None and configured.project.kind is ProjectKind.EMULATED:
            return self.limits.notifications_per_second
        return configured.notifications_per_second

    def missing_credentials(self, device: Device) -> TicketError | None:
        """The ticket of a device that nothing is configured for; emulated projects need nothing."""
        if device.project.kind is ProjectKind.EMULATED or device.platform is Platform.LOCAL:
            return None
        configured = self._configured.get(device.project.project_id)
        if device.platform is Platform.ANDROID:
            return None if configured is not None and configured.fcm is not None else no_fcm_credentials()
        if configured is not None and configured.apns_for(device.app_id, sandbox=device.sandbox) is not None:
            return None
        return no_apns_credentials(device.app_id, device.project.full_name)
