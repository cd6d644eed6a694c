"""What is kept for Home Assistant's doors: registrations, long-lived access tokens, the relay's counts, and persistent
notifications.

Source of the words: https://developers.home-assistant.io/docs/api/native-app-integration/setup
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from msgspec import Struct


def registration_id(webhook_id: str) -> str:
    """What a registration is called everywhere: a webhook id is a capability, and not to be shown. 64 hex digits."""
    return sha256(b"home assistant registration " + webhook_id.encode("utf-8", "replace")).hexdigest()


# A dataclass, so that what is secret stays out of repr.
@dataclass(frozen=True, slots=True, kw_only=True)
class HaRegistration:
    """An app that registered itself at POST /api/mobile_app/registrations."""

    registration_id: str
    """`registration_id(webhook_id)`: the device token of its LOCAL device, too."""
    webhook_id: str = field(repr=False)
    """64 hex digits. Shown at the registration, and to the app's own `push_url`; nowhere else."""
    user_id: str
    """Id of the access token that it was made with. A channel is opened by the same one."""
    push_token: str = field(repr=False)
    """Of its LOCAL device, in Expo's form."""
    app_id: str
    app_name: str
    app_version: str
    device_name: str
    slug: str
    """Of `device_name`: `notify.mobile_app_<slug>`. Not unique: the last one registered is meant."""
    manufacturer: str
    model: str
    os_name: str
    os_version: str | None = None
    device_id: str | None = None
    app_data: Mapping[str, object] = field(default_factory=dict, repr=False)
    """As the app sent it: `push_token`, `push_url`, `push_websocket_channel`, anything."""
    registered_at: float
    deleted_at: float | None = None
    """Since when its webhook answers 410; None while it is alive."""


class LongLivedToken(Struct, frozen=True, kw_only=True):
    """A long-lived access token, as the registry knows it."""

    id: str
    """What it says of itself in `iss`: 32 hex digits. The user that it stands for."""
    name: str
    """Unique."""
    sha256: bytes
    created_at: float


class RelayCounts(Struct, frozen=True, kw_only=True):
    """Of one push token on one UTC day, in the official relay's words."""

    attempts: int = 0
    successful: int = 0
    errors: int = 0
    total: int = 0


class Taken(Struct, frozen=True, kw_only=True):
    """What became of one notification's place in the day."""

    counts: RelayCounts
    """With this one."""
    is_limited: bool
    """It must not be sent: `successful` had reached the maximum before it."""
    is_first_notice: bool
    """Limited, for the first time on this day: now is when the phone is told."""


class PersistentNotification(Struct, frozen=True, kw_only=True):
    notification_id: str
    message: str
    title: str | None = None
    created_at: float


class HomeAssistantStore(Protocol):
    """All methods raise StoreUnavailable when the store can't do it now; then nothing of the call was written."""

    # -- registrations ----------------------------------------------------------------------------------------------

    async def add_registration(self, registration: HaRegistration) -> Sequence[HaRegistration]:
        """Add it. Returns those whose place it takes, of the same app on the same device (`app_id`, `device_id`): they
        are deleted by that. ValueError: there are too many (MAX_REGISTRATIONS)."""
        ...

    async def registration(self, registration_id: str) -> HaRegistration | None:
        """Also a deleted one, for as long as it is remembered (MAX_DELETED, the last ones)."""
        ...

    async def update_registration(self, registration: HaRegistration) -> bool:
        """Put it in the place of what is there under its id. False: there is none that is alive."""
        ...

    async def delete_registration(self, registration_id: str, *, now: float) -> bool:
        """False: there is none that is alive."""
        ...

    async def registrations(self) -> Sequence[HaRegistration]:
        """Those that are alive, by when they registered: of two with one slug the last is meant."""
        ...

    # -- long-lived access tokens -----------------------------------------------------------------------------------

    async def add_token(self, token: LongLivedToken) -> bool:
        """False: there is one of that name, which stays."""
        ...

    async def token(self, *, sha256: bytes) -> LongLivedToken | None: ...

    async def tokens(self) -> Sequence[LongLivedToken]:
        """By name."""
        ...

    async def revoke_token(self, name: str) -> bool:
        """False: there is none of that name."""
        ...

    # -- the relay's counts -----------------------------------------------------------------------------------------

    async def take(self, key: bytes, *, day: int, maximum: int, exempt: bool) -> Taken:
        """Count one notification to the push token whose SHA-256 is `key`, on `day` (days since 1970, UTC).

        `attempts` grows always, `successful` and `total` unless it is limited or exempt. Days before the last are
        forgotten. One transaction: of many at once, no more than `maximum` pass.
        """
        ...

    async def failed(self, key: bytes, *, day: int) -> RelayCounts:
        """One that was taken, and counted, came to nothing: from `successful` to `errors`."""
        ...

    async def counts(self, key: bytes, *, day: int) -> RelayCounts: ...

    # -- persistent notifications -----------------------------------------------------------------------------------

    async def put_notification(self, notification: PersistentNotification) -> None:
        """Add it, or put it in the place of the one with its id. The oldest go when there are too many."""
        ...

    async def notifications(self) -> Sequence[PersistentNotification]:
        """The newest first."""
        ...

    async def dismiss_notification(self, notification_id: str) -> bool:
        """False: there is none of that id."""
        ...
