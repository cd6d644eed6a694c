"""What is configured for a project: its credentials, access tokens and limits. Values only; secrets stay out of reprs.

A credential is what a provider knows a project by. Sources: Apple, "Establishing a token-based connection to APNs" and
"Establishing a certificate-based connection to APNs"; https://docs.expo.dev/push-notifications/sending-notifications/
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from expo_gateway.protocol.device import Project

ApnsEnvironment = Literal["production", "sandbox", "both"]

# https://docs.expo.dev/push-notifications/sending-notifications/#request-errors
NOTIFICATIONS_PER_SECOND = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsKeyFile:
    """A .p8 key of Apple's developer account."""

    key_id: str
    team_id: str
    private_key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsCertificate:
    """A push certificate with its key: the TLS connection itself says who we are."""

    certificate_pem: str = field(repr=False)
    private_key_pem: str = field(repr=False)


class ApnsCredential(Struct, frozen=True, kw_only=True):
    """What APNs knows a project by, and what it is good for."""

    secret: ApnsKeyFile | ApnsCertificate
    environment: ApnsEnvironment = "both"
    bundle_ids: tuple[str, ...] = ()
    """The apps that it serves; empty: any."""

    def serves(self, app_id: str, *, sandbox: bool) -> bool:
        wanted = "sandbox" if sandbox else "production"
        return self.environment in (wanted, "both") and (not self.bundle_ids or app_id in self.bundle_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class FcmCredential:
    """A service account of Google's, as the JSON that Google gives out."""

    service_account: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What a caller sends with. The token itself is shown once, when it is made, and is kept nowhere."""

    name: str
    """One of a kind in its project."""
    sha256: bytes = field(repr=False)
    hint: str
    """Its first and last characters, to tell tokens apart by."""
    created_at: float


class ConfiguredProject(Struct, frozen=True, kw_only=True):
    """A project with all that is configured for it."""

    project: Project
    requires_token: bool = False
    """Expo calls it enhanced security."""
    notifications_per_second: int | None = None
    """None: no limit."""
    apns: tuple[ApnsCredential, ...] = ()
    """At most one for each environment; those for one environment before one for both."""
    fcm: FcmCredential | None = None
    tokens: tuple[AccessToken, ...] = ()

    def apns_for(self, app_id: str, *, sandbox: bool) -> ApnsCredential | None:
        """The credential that reaches this app."""
        return next((one for one in self.apns if one.serves(app_id, sandbox=sandbox)), None)


def with_apns(known: tuple[ApnsCredential, ...], new: ApnsCredential) -> tuple[ApnsCredential, ...]:
    """`new` takes the place of the one for its environment; one for both takes the place of all."""
    kept = () if new.environment == "both" else tuple(one for one in known if one.environment != new.environment)
    return in_order((*kept, new))


def in_order(credentials: tuple[ApnsCredential, ...]) -> tuple[ApnsCredential, ...]:
    return tuple(sorted(credentials, key=lambda one: (one.environment == "both", one.environment)))
