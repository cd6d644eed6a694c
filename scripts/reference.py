#!/usr/bin/env python3
"""Writes what docs/configuration.md lists: settings, the tables of projects, commands and their options.

    python scripts/reference.py            rewrite the page
    python scripts/reference.py --check    exit with 1 if it is out of date

Each list stands between <!-- begin NAME --> and <!-- end NAME -->; the rest of the page is written by hand.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import typer.main

from expo_gateway.command_line import command_line
from expo_gateway.project_settings import ProjectTable
from expo_gateway.settings import Setting, describe_settings

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"


def main(arguments: list[str]) -> int:
    before = PAGE.read_text()
    after = rewritten(before)
    if arguments == ["--check"]:
        return int(after != before)
    PAGE.write_text(after)
    return 0


def rewritten(page: str) -> str:
    for name, lines in (("settings", settings()), ("projects", projects()), ("commands", commands())):
        block = "\n".join(lines)
        marks = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        page, found = marks.subn(lambda match, block=block: f"{match[1]}\n{block}\n\n{match[2]}", page)
        assert found == 1, f"{PAGE} has no place for {name}"
    return page


def settings() -> Iterator[str]:
    section = ""
    for setting in describe_settings():
        if setting.section != section:
            section = setting.section
            yield from (
                f"\n### `[{section}]`\n",
                "| setting | default | wanted | environment | meaning |",
                "|---|---|---|---|---|",
            )
        cells = (f"`{setting.name}`", default_of(setting), setting.wanted, f"`{setting.env}`", setting.description)
        yield row(*cells)


def default_of(setting: Setting) -> str:
    # Its default depends on another.
    return "" if setting.name == "store.durability" else shown(setting.default)


def shown(default: object) -> str:
    """As in TOML, without quotes; "" where there is none."""
    if default is None or default is msgspec.NODEFAULT:
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, (list, tuple, str)) and not default:
        return ""
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def projects() -> Iterator[str]:
    yield from ("| key | default | meaning |", "|---|---|---|")
    for field in msgspec.structs.fields(ProjectTable):
        default = "required" if field.required else shown(field.default)
        yield row(f"`{field.encode_name}`", default, description(field.type))


def description(annotated: Any) -> str:
    metas = annotated.__metadata__ if hasattr(annotated, "__metadata__") else ()
    found = next((meta.description for meta in metas if meta.description), None)
    if found is None and get_origin(annotated) is not None:
        found = next((text for inner in get_args(annotated) if (text := description(inner))), "")
    return found or ""


def commands() -> Iterator[str]:
    yield from of_command("expo-gateway", typer.main.get_command(command_line()))


def of_command(path: str, command: Any) -> Iterator[str]:
    nested = getattr(command, "commands", {})
    for name, inner in nested.items():
        yield from of_command(f"{path} {name}", inner)
    if nested:
        return
    arguments = " ".join(
        (parameter.metavar or parameter.name or "").strip("{}[].").upper()
        for parameter in command.params
        if not parameter.opts[0].startswith("-")
    )
    yield from (
        f"\n### `{path}{' ' if arguments else ''}{arguments}`\n",
        (command.help or "").split("\f")[0].strip().split("\n\n")[0],
        "",
    )
    yield from ("| option | meaning |", "|---|---|")
    for parameter in command.params:
        if parameter.opts[0].startswith("-"):
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            yield row(names, " ".join((parameter.help or "").split()))


def row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
