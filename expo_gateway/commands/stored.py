"""What the commands on stored state share: the data directory, the registry in it, and how answers are written.

They work beside a running gateway, which sees their changes within a second, and without one.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from expo_gateway.data_dir import DATABASE
from expo_gateway.errors import SettingsError
from expo_gateway.protocol.project import ConfiguredProject
from expo_gateway.registry.base import Registry
from expo_gateway.registry.home_assistant import HomeAssistantStore

T = TypeVar("T")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

DataDir = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", envvar="EXPO_GATEWAY_STORE__DATA", help="The gateway's data directory."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Named = Annotated[str, typer.Argument(metavar="PROJECT", help="@owner/slug, or the project's id.")]


def with_registry(data: Path | None, use: Callable[[Registry], Awaitable[T]], *, make: bool = False) -> T:
    """What `use` returns. `make`: a data directory that is not there is made; else that is a SettingsError."""
    return asyncio.run(_with_registry(_database(data, make=make), use))


def with_home_assistant(
    data: Path | None, use: Callable[[HomeAssistantStore], Awaitable[T]], *, make: bool = False
) -> T:
    """The same, of what is kept for Home Assistant."""
    return asyncio.run(_with_home_assistant(_database(data, make=make), use))


def _database(data: Path | None, *, make: bool) -> Path:
    if data is None:
        raise SettingsError("--data: it is missing; wanted the directory that `expo-gateway serve --data` is given")
    path = data.expanduser() / DATABASE
    if make:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"--data: {data} can't be made: {error.strerror}") from error
    elif not path.exists():
        raise SettingsError(
            f"--data: {data} holds no {DATABASE}; wanted the directory that `expo-gateway serve --data` is given. "
            "`expo-gateway projects add` makes a new one"
        )
    return path


async def _with_registry(path: Path, use: Callable[[Registry], Awaitable[T]]) -> T:
    from expo_gateway.registry.sqlite import SqliteRegistry
    from expo_gateway.sqlite_file import SqliteFile

    async with SqliteFile(path, durability="power") as file:
        registry = SqliteRegistry(file)
        await registry.open()
        return await use(registry)


async def _with_home_assistant(path: Path, use: Callable[[HomeAssistantStore], Awaitable[T]]) -> T:
    from expo_gateway.registry.sqlite import SqliteRegistry
    from expo_gateway.registry.sqlite_home_assistant import SqliteHomeAssistant
    from expo_gateway.sqlite_file import SqliteFile

    async with SqliteFile(path, durability="power") as file:
        # Whose migrations make the tables.
        await SqliteRegistry(file).open()
        return await use(SqliteHomeAssistant(file))


async def find(registry: Registry, name: str) -> ConfiguredProject:
    """By full name or id. SettingsError: there is none."""
    configured = await registry.configured_projects()
    for one in configured:
        if name in (one.project.full_name, one.project.project_id) or name.lower() == one.project.project_id:
            return one
    names = ", ".join(one.project.full_name for one in configured[:10]) or "none"
    raise SettingsError(f"PROJECT: got {name!r}, which is no project here (there are: {names}); see `projects add`")


def print_json(answer: object) -> None:
    import orjson

    print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """On a terminal a table. Elsewhere a line for each row with tabs between the cells and no header, as gh does it:
    whole cells for cut and awk, however narrow the terminal of whoever started it."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(_CONTROL.sub(" ", cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console(highlight=False).print(table)


def note(text: str) -> None:
    """For people; stdout stays what was asked for."""
    print(text, file=sys.stderr)


def shown_at(at: float) -> str:
    """ISO 8601 in UTC, to the second; on the screen and in JSON."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
