"""Access tokens: how they are made, and whether one lets its bearer send for a project.

https://docs.expo.dev/push-notifications/sending-notifications/#additional-security
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Collection
from hashlib import sha256

from expo_gateway.errors import BearerRefused, RequestRefused
from expo_gateway.protocol.project import AccessToken, ConfiguredProject

TOKEN_RANDOM_BYTES = 32
# So that scanners for leaked secrets, and people, see what it is.
TOKEN_PREFIX = "egt_"


def new_access_token(name: str, *, random_bytes: bytes, now: float) -> tuple[str, AccessToken]:
    """The token to be shown once, and what is kept of it. `random_bytes` are TOKEN_RANDOM_BYTES."""
    token = TOKEN_PREFIX + urlsafe_b64encode(random_bytes).decode("ascii").rstrip("=")
    hint = f"{token[: len(TOKEN_PREFIX) + 4]}…{token[-2:]}"
    return token, AccessToken(name=name, sha256=digest(token), hint=hint, created_at=now)


def digest(token: str) -> bytes:
    """256 random bits need no salt and no slow hash: nobody finds them by trying."""
    return sha256(token.encode(errors="surrogateescape")).digest()


def check_bearer(configured: ConfiguredProject, bearer: str | None, *, elsewhere: Collection[bytes] = ()) -> None:
    """Raises BearerRefused (401) or RequestRefused (403) when the bearer may not send for the project.

    A project without tokens that requires none takes whatever comes: some SDKs can't be used without an access token.
    A token of another project is a token, but not one that is enough here. `elsewhere` are all digests that are known.
    """
    if not (configured.requires_token or configured.tokens):
        return
    if bearer:
        presented = digest(bearer)
        if _is_one_of(presented, configured.tokens):
            return
        if presented not in elsewhere:
            raise BearerRefused
    if configured.requires_token:
        raise RequestRefused(
            "UNAUTHORIZED",
            f"Insufficient permissions to send push notifications to {configured.project.full_name}.",
            status=403,
        )


def _is_one_of(presented: bytes, tokens: Collection[AccessToken]) -> bool:
    """In a time that tells neither which token it was nor how much of one was right."""
    found = False
    for token in tokens:
        found |= hmac.compare_digest(presented, token.sha256)
    return found
