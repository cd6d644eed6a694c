"""The provider token: one JWT that all connections of a key share.

Source: Apple, "Establishing a token-based connection to APNs",
https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import jwt
from aioapns.connection import AuthorizationHeaderProvider
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from expo_gateway.errors import SettingsError

# Apple: "Refresh no more than once every 20 minutes and no less than once every 60."
REFRESH_S = 45 * 60.0
MIN_REFRESH_S = 20 * 60.0
# Our choice: a clock that was set back by more has made the token one of the future, which APNs takes for invalid.
# Smaller corrections don't matter.
SET_BACK_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsKey:
    """A key from Apple's developer account."""

    key_id: str
    team_id: str
    private_key_pem: str = field(repr=False)
    """The .p8 file."""


class SharedProviderToken(AuthorizationHeaderProvider):  # type: ignore[misc, unused-ignore]
    """Mints the token and keeps it. Two tokens of one key within 20 minutes bring TooManyProviderTokenUpdates."""

    def __init__(self, key: ApnsKey, *, clock: Callable[[], float]) -> None:
        """SettingsError unless the key is an EC key on P-256."""
        self._key = key
        self._private_key = _private_key(key)
        self._clock = clock
        self._header = ""
        self._minted_at = 0.0
        self._replaced_at: float | None = None

    def get_header(self) -> str:
        """The value of `authorization`."""
        age_s = self._clock() - self._minted_at
        if not self._header or age_s >= REFRESH_S or age_s < -SET_BACK_S:
            self._mint()
        return self._header

    def replace(self, expired_header: str) -> bool:
        """APNs called that token expired. Whether there is another one to try with now.

        A new one is minted, for this Apple allows no waiting, unless a new one was called expired before: then it is
        our clock that is wrong, and minting for every push would only add TooManyProviderTokenUpdates.
        """
        if expired_header != self._header:
            return True
        now = self._clock()
        if self._replaced_at is not None and abs(now - self._replaced_at) < MIN_REFRESH_S:
            return False
        self._replaced_at = now
        self._mint()
        return True

    def _mint(self) -> None:
        self._minted_at = self._clock()
        token = jwt.encode(
            {"iss": self._key.team_id, "iat": int(self._minted_at)},
            self._private_key,
            algorithm="ES256",
            headers={"kid": self._key.key_id},
        )
        self._header = f"bearer {token}"


class NoProviderToken(AuthorizationHeaderProvider):  # type: ignore[misc, unused-ignore]
    """In its place where the client's certificate says who we are.

    Source: Apple, "Establishing a certificate-based connection to APNs".
    """

    def get_header(self) -> str:
        """No `authorization`."""
        return ""

    def replace(self, expired_header: str) -> bool:
        return False


ProviderToken = SharedProviderToken | NoProviderToken


def _private_key(key: ApnsKey) -> EllipticCurvePrivateKey:
    try:
        private_key = load_pem_private_key(key.private_key_pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own words may quote the key.
        private_key = None
    if not isinstance(private_key, EllipticCurvePrivateKey) or not isinstance(private_key.curve, SECP256R1):
        raise SettingsError(f"the APNs key {key.key_id} is not what Apple gives out: a P-256 private key in PEM (.p8)")
    return private_key
