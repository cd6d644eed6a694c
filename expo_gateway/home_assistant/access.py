"""Long-lived access tokens: who a caller of Home Assistant's doors is."""

from collections.abc import Sequence
from hashlib import sha256

from expo_gateway.registry.home_assistant import HomeAssistantStore

# Our choice: a JWT of Home Assistant's has some 180 characters.
MAX_TOKEN_CHARS = 4096


class AccessTokens:
    """The store's, which are asked for each time, and those of the configuration."""

    def __init__(self, *, store: HomeAssistantStore, configured: Sequence[str] = ()) -> None:
        self._store = store
        self._configured = frozenset(_digest(token) for token in configured)

    async def user_of(self, token: str) -> str | None:
        """Whom the token stands for, None: nobody. StoreUnavailable."""
        if not token or len(token) > MAX_TOKEN_CHARS:
            return None
        digest = _digest(token)
        # Of digests: how long it takes says nothing of a token.
        if digest in self._configured:
            return digest.hex()[:32]
        known = await self._store.token(sha256=digest)
        return None if known is None else known.id


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()
