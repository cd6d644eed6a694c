"""`expo-gateway home-assistant`: long-lived access tokens, which apps register with and callers of services show."""

import os
import time
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Annotated

import typer

from expo_gateway.commands.stored import (
    AsJson,
    DataDir,
    note,
    print_json,
    print_table,
    shown_at,
    with_home_assistant,
)
from expo_gateway.errors import SettingsError

if TYPE_CHECKING:
    from expo_gateway.registry.home_assistant import HomeAssistantStore, LongLivedToken

app = typer.Typer(help="Long-lived access tokens for the doors of Home Assistant.", no_args_is_help=True)

# Our choice: names are typed again to revoke.
MAX_NAME_CHARS = 100


@app.command()
def token(
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What it is called, for example who has it. Without: token-1, …")
    ] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a long-lived access token and print it, this once. A running gateway takes it at once."""
    from expo_gateway.protocol.home_assistant.access_token import TOKEN_RANDOM_BYTES, digest, new_token
    from expo_gateway.registry.home_assistant import LongLivedToken

    if name is not None and (not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable()):
        raise SettingsError(f"--name: got {name[:40]!r}; wanted up to {MAX_NAME_CHARS} printable characters")
    made, id_ = new_token(os.urandom(TOKEN_RANDOM_BYTES), now=time.time())

    async def store(kept_in: "HomeAssistantStore") -> "LongLivedToken":
        for wanted in [name] if name is not None else (f"token-{number}" for number in count(1)):
            kept = LongLivedToken(id=id_, name=wanted, sha256=digest(made), created_at=time.time())
            if await _add(kept_in, kept):
                return kept
        raise SettingsError(f"--name: there is a token {name!r}; revoke it, or choose another name")

    kept = with_home_assistant(data, store, make=True)
    if as_json:
        print_json({"token": made, **_shown(kept)})
    else:
        note("Keep it: it can't be shown again. Home Assistant's clients ask for it as a long-lived access token.")
        print(made)


@app.command("list")
def list_tokens(data: DataDir = None, as_json: AsJson = False) -> None:
    """List the long-lived access tokens."""
    found: Sequence[LongLivedToken] = with_home_assistant(data, lambda kept_in: kept_in.tokens())
    if as_json:
        print_json([_shown(one) for one in found])
    else:
        print_table(("name", "id", "made"), [(one.name, one.id, shown_at(one.created_at)) for one in found])


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What `home-assistant list` calls it.")],
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a long-lived access token. Connections that it has opened stay; no new one can be opened with it."""

    async def revoked(kept_in: "HomeAssistantStore") -> None:
        if not await kept_in.revoke_token(name):
            names = ", ".join(one.name for one in await kept_in.tokens()) or "none"
            raise SettingsError(f"NAME: got {name[:MAX_NAME_CHARS]!r}, which is no token here (there are: {names})")

    with_home_assistant(data, revoked)
    if as_json:
        print_json({"revoked": name})
    else:
        note(f"revoked {name}")


async def _add(kept_in: "HomeAssistantStore", token: "LongLivedToken") -> bool:
    try:
        return await kept_in.add_token(token)
    except ValueError as error:
        raise SettingsError(f"{error}; `expo-gateway home-assistant revoke` makes some") from error


def _shown(token: "LongLivedToken") -> dict[str, object]:
    return {"name": token.name, "id": token.id, "created_at": shown_at(token.created_at)}
