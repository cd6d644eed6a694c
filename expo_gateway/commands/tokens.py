"""`expo-gateway tokens`: access tokens of projects. One is shown when it is made, and never again."""

import os
import time
from typing import Annotated

import typer

from expo_gateway.commands.project_answers import token_json
from expo_gateway.commands.stored import (
    AsJson,
    DataDir,
    Named,
    find,
    note,
    print_json,
    print_table,
    shown_at,
    with_registry,
)
from expo_gateway.errors import SettingsError
from expo_gateway.protocol.device import ProjectKind
from expo_gateway.registry.base import Registry

app = typer.Typer(help="Access tokens, which callers send with.", no_args_is_help=True)

# Our choice: names are typed again to revoke.
MAX_NAME_CHARS = 100

Name = Annotated[str, typer.Argument(help="What the token is called, for example who has it.")]


@app.command()
def create(project: Named, name: Name, data: DataDir = None, as_json: AsJson = False) -> None:
    """Make an access token and print it, this once."""
    from expo_gateway.admission.access import TOKEN_RANDOM_BYTES, new_access_token

    if not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise SettingsError(f"NAME: got {name[:40]!r}; wanted up to {MAX_NAME_CHARS} printable characters")
    token, kept = new_access_token(name, random_bytes=os.urandom(TOKEN_RANDOM_BYTES), now=time.time())

    async def store(registry: Registry) -> bool:
        one = await find(registry, project)
        if not await registry.add_access_token(one.project.project_id, kept):
            raise SettingsError(
                f"NAME: {one.project.full_name} has a token {name!r}; revoke it, or choose another name"
            )
        return one.requires_token or one.project.kind is ProjectKind.REAL

    is_asked_for = with_registry(data, store)
    if as_json:
        print_json({"token": token, **token_json(kept)})
    else:
        print(token)
        note("Keep it: it can't be shown again. Callers send `Authorization: Bearer …`.")
    if not is_asked_for:
        note("This is an emulated project: it takes messages with any token, and without one.")


@app.command("list")
def list_tokens(project: Named, data: DataDir = None, as_json: AsJson = False) -> None:
    """List a project's access tokens, by first and last characters."""
    tokens = with_registry(data, lambda registry: find(registry, project)).tokens
    if as_json:
        print_json([token_json(token) for token in tokens])
    else:
        print_table(
            ("name", "token", "made"), [(token.name, token.hint, shown_at(token.created_at)) for token in tokens]
        )


@app.command()
def revoke(project: Named, name: Name, data: DataDir = None, as_json: AsJson = False) -> None:
    """Revoke an access token. A running gateway refuses it within a second."""

    async def revoked(registry: Registry) -> None:
        one = await find(registry, project)
        if not await registry.revoke_access_token(one.project.project_id, name):
            names = ", ".join(token.name for token in one.tokens) or "none"
            raise SettingsError(f"NAME: got {name!r}, which {one.project.full_name} does not have (it has: {names})")

    with_registry(data, revoked)
    if as_json:
        print_json({"revoked": name})
    else:
        note(f"revoked {name}")
