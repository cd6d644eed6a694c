"""Long-lived access tokens: who a caller of Home Assistant's doors is."""

from collections.abc import Sequence

from expo_gateway.protocol.home_assistant.access_token import digest
from expo_gateway.registry.home_assistant import HomeAssistantStore

# Our choice: a JWT of Home Assistant's has some 180 characters.
MAX_TOKEN_CHARS = 4096


class AccessTokens:
    """The store's, which are asked for each time, and those of the configuration."""

    def __init__(self, *, store: HomeAssistantStore, configured: Sequence[str] = ()) -> None:
        self._store = store
        self._configured = frozenset(digest(token) for token in configured)

    async def user_of(self, token: str) -> str | None:
        """Whom the token stands for, None: nobody. StoreUnavailable."""
        if not token or len(token) > MAX_TOKEN_CHARS:
            return None
        shown = digest(token)
        # Of digests: how long it takes says nothing of a token.
        if shown in self._configured:
            return shown.hex()[:32]
        known = await self._store.token(sha256=shown)
        return None if known is None else known.id
