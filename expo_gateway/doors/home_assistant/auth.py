"""Who asks: the bearer of a long-lived access token. Home Assistant takes nothing else here; Basic is a 401.

https://developers.home-assistant.io/docs/auth_api#long-lived-access-token
"""

from typing import Protocol

from starlette.types import Scope

from expo_gateway.doors.http import bearer_of


class Tokens(Protocol):
    async def user_of(self, token: str) -> str | None:
        """The id of the user that a token stands for. StoreUnavailable."""
        ...


async def user_of(scope: Scope, tokens: Tokens) -> str | None:
    """None: there is no token, or nobody's."""
    token = bearer_of(scope)
    return await tokens.user_of(token) if token is not None else None
