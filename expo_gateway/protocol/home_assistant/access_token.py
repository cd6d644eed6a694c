"""Long-lived access tokens, in the shape of Home Assistant's: a JWT of HS256 that names its id as `iss`.

Apprise tells a token from a path by that shape. Nobody reads what it says: a token is known by its SHA-256, and the key
that it is signed with is thrown away. It ends when it is revoked.

https://developers.home-assistant.io/docs/auth_api#long-lived-access-token
"""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

import orjson

# 16 of the id, 32 of the key.
TOKEN_RANDOM_BYTES: Final = 48


def new_token(random_bytes: bytes, *, now: float) -> tuple[str, str]:
    """The token, and its id: 32 hex digits. `random_bytes` are TOKEN_RANDOM_BYTES."""
    id_, key = random_bytes[:16].hex(), random_bytes[16:]
    said = b".".join(
        _part(orjson.dumps(part)) for part in ({"alg": "HS256", "typ": "JWT"}, {"iss": id_, "iat": int(now)})
    )
    signature = hmac.new(key, said, sha256).digest()
    return f"{said.decode()}.{_part(signature).decode()}", id_


def digest(token: str) -> bytes:
    """What is kept of it. 256 random bits need no salt and no slow hash: nobody finds them by trying."""
    return sha256(token.encode(errors="replace")).digest()


def _part(part: bytes) -> bytes:
    return urlsafe_b64encode(part).rstrip(b"=")
