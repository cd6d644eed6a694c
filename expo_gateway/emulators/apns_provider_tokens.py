"""Provider tokens as APNs checks them: one by one, and in the order in which a connection uses them.

Source: Apple, "Establishing a token-based connection to APNs",
https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from expo_gateway.emulators.apns_answers import ApnsReason

# Apple: a token "must be no more than one hour old", and a new one at most every 20 minutes on a connection.
MAX_AGE_S = 3600.0
MIN_UPDATE_S = 1200.0
# Assumed: Apple doesn't say how far ahead the provider's clock may be.
MAX_AHEAD_S = 300.0
ID_CHARS = 10
# Our choice: a verification costs about 220 us; 1,000 worlds have a token each, and replace it every hour.
MAX_VERIFIED = 2048

Environment = Literal["production", "sandbox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderToken:
    """What a valid token says, and what is known of its key."""

    key_id: str
    team_id: str
    issued_at: float
    environment: Environment | None = None
    """The one that the key is limited to; None: both."""
    topics: frozenset[str] | None = None
    """The bundle ids that the key is limited to; None: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    team_id: str
    public_key: ec.EllipticCurvePublicKey
    environment: Environment | None
    topics: frozenset[str] | None


class ProviderTokens:
    """Reads `authorization` headers; knows the keys that were made known.

    A key that nobody made known is taken on trust: its token needs the right form, but its signature can't be checked.
    Else a backend with its own .p8 file couldn't be tested as it is, and nothing is protected here anyway.
    `known_keys_only` refuses such tokens as the real APNs does.
    """

    def __init__(self, *, known_keys_only: bool = False) -> None:
        self._known_keys_only = known_keys_only
        self._keys: dict[str, TrustedKey] = {}
        self._verified: dict[str, ProviderToken] = {}

    def trust_key(
        self,
        *,
        key_id: str,
        team_id: str,
        public_key_pem: str | bytes,
        environment: Environment | None = None,
        topics: Collection[str] | None = None,
    ) -> None:
        """Check signatures of this key from now on. ValueError unless it is a P-256 public key in PEM."""
        pem = public_key_pem.encode() if isinstance(public_key_pem, str) else public_key_pem
        public_key = serialization.load_pem_public_key(pem)
        if not isinstance(public_key, ec.EllipticCurvePublicKey) or public_key.curve.name != "secp256r1":
            raise ValueError(f"the public key of {key_id} is not an EC key on P-256, which ES256 needs")
        self._keys[key_id] = TrustedKey(
            team_id=team_id,
            public_key=public_key,
            environment=environment,
            topics=None if topics is None else frozenset(topics),
        )
        self._forget_tokens(key_id)

    def forget_key(self, key_id: str) -> None:
        """Its tokens are those of an unknown key from now on."""
        self._keys.pop(key_id, None)
        self._forget_tokens(key_id)

    def read(self, authorization: str, *, now: float) -> ProviderToken | ApnsReason:
        """The token in the header's value ("" when there was none), or why it doesn't count."""
        scheme, _, raw = authorization.partition(" ")
        # Assumed: Apple documents only "bearer" and doesn't say what another scheme is answered with.
        if scheme.lower() != "bearer" or not raw:
            return ApnsReason.MISSING_PROVIDER_TOKEN
        token = self._verified.get(raw) or self._verify(raw)
        if token is None or token.issued_at > now + MAX_AHEAD_S:
            return ApnsReason.INVALID_PROVIDER_TOKEN
        if token.issued_at < now - MAX_AGE_S:
            return ApnsReason.EXPIRED_PROVIDER_TOKEN
        return token

    def _verify(self, raw: str) -> ProviderToken | None:
        try:
            key_id = str(jwt.get_unverified_header(raw).get("kid"))
            key = self._keys.get(key_id)
            if key is None and self._known_keys_only:
                return None
            claims = orjson.loads(_signed_payload(raw, key=key))
        except (jwt.PyJWTError, ValueError):
            return None
        token = _token(key_id, claims, key=key)
        if token is not None:
            self._remember(raw, token)
        return token

    def _forget_tokens(self, key_id: str) -> None:
        self._verified = {raw: token for raw, token in tuple(self._verified.items()) if token.key_id != key_id}

    def _remember(self, raw: str, token: ProviderToken) -> None:
        if len(self._verified) >= MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[raw] = token


def key_id_in(authorization: str) -> str:
    """The key that the token in the header's value claims to be signed with; "" when it names none."""
    try:
        key_id = jwt.get_unverified_header(authorization.partition(" ")[2]).get("kid")
    except jwt.PyJWTError:
        return ""
    return key_id if isinstance(key_id, str) else ""


def _signed_payload(raw: str, *, key: TrustedKey | None) -> bytes:
    """The claims as JSON; PyJWTError when the form, the algorithm or the signature is wrong."""
    signed = jwt.PyJWS(algorithms=["ES256"])
    if key is None:
        complete = signed.decode_complete(raw, options={"verify_signature": False})
    else:
        complete = signed.decode_complete(raw, key.public_key, algorithms=["ES256"])
    if complete["header"].get("alg") != "ES256":
        raise jwt.InvalidAlgorithmError("the algorithm is not ES256")
    payload = complete["payload"]
    assert isinstance(payload, bytes)
    return payload


def _token(key_id: str, claims: object, *, key: TrustedKey | None) -> ProviderToken | None:
    if not isinstance(claims, dict):
        return None
    team_id, issued_at = claims.get("iss"), claims.get("iat")
    if not isinstance(issued_at, int | float) or isinstance(issued_at, bool):
        return None
    if not isinstance(team_id, str) or (len(key_id), len(team_id)) != (ID_CHARS, ID_CHARS):
        return None
    if key is not None and key.team_id != team_id:
        return None
    return ProviderToken(
        key_id=key_id,
        team_id=team_id,
        issued_at=issued_at,
        environment=key.environment if key else None,
        topics=key.topics if key else None,
    )


class ConnectionTokens:
    """The provider tokens of one connection.

    The first one binds it to a team. Another key of the same team is taken for related: Apple counts the tokens of a
    team's keys together (developer.apple.com/forums/thread/702056), so it lets them share a connection; the rest of
    the rule is assumed. `limit_updates` also refuses a new token within 20 minutes of the last new one.
    """

    def __init__(self, *, limit_updates: bool = False) -> None:
        self._limit_updates = limit_updates
        self._current: ProviderToken | None = None
        self._changed_at = 0.0

    def admit(self, token: ProviderToken, *, now: float) -> ApnsReason | None:
        """Why this connection can't use the valid `token`; None when it can, and then it is the current one."""
        if token == self._current:
            return None
        if self._current is not None:
            if token.team_id != self._current.team_id:
                return ApnsReason.UNRELATED_KEY_ID_IN_TOKEN
            if self._limit_updates and now < self._changed_at + MIN_UPDATE_S:
                return ApnsReason.TOO_MANY_PROVIDER_TOKEN_UPDATES
        self._current = token
        self._changed_at = now
        return None
