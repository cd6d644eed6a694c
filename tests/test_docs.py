"""What the documents tell people to type exists."""

import re
from pathlib import Path

import pytest
import typer.main

from expo_gateway import __version__
from expo_gateway.cli import app
from expo_gateway.settings import Setting, describe_settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# A pattern, not a name.
PATTERNS = {"EXPO_GATEWAY_SECTION__KEY"}
# Their defaults depend on others.
UNSET = {"store.data", "store.durability"}


def words(pattern: str) -> list[tuple[str, str]]:
    """(page, what the pattern's group found) over all pages."""
    return [(page.name, found) for page in PAGES for found in re.findall(pattern, page.read_text())]


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    used = words(r"(?:`|^|\n)make ([a-z-]+)")

    assert used
    assert [(page, target) for page, target in used if target not in targets] == []


def test_commands_and_their_options_exist() -> None:
    root = typer.main.get_command(app)
    context = typer.Context(root)
    commands = {name: root.get_command(context, name) for name in root.list_commands(context)}  # type: ignore[attr-defined]

    used = words(r"expo-gateway ([a-z]\w+(?: --?[^`\n|]+)?)")

    assert used
    for page, line in used:
        name, *arguments = line.split()
        assert name in commands, (page, line)
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= known, (page, line)


def test_every_option_of_serve_is_in_the_readme() -> None:
    root = typer.main.get_command(app)
    serve = root.get_command(typer.Context(root), "serve")  # type: ignore[attr-defined]
    readme = (ROOT / "README.md").read_text()

    assert [option for parameter in serve.params for option in parameter.opts if f"`{option}" not in readme] == []


def test_settings_in_the_environment_exist() -> None:
    known = {setting.env for setting in describe_settings()} | PATTERNS

    used = words(r"(EXPO_GATEWAY_\w+)")

    assert used
    assert [(page, name) for page, name in used if name not in known] == []


@pytest.mark.parametrize("setting", list(describe_settings()), ids=lambda setting: setting.name)
def test_the_readme_lists_every_setting_with_its_default(setting: Setting) -> None:
    default = shown(setting.default) if setting.name not in UNSET else ""
    line = f"| `{setting.name}` | {default}{' ' if default else ''}| {setting.description} |"

    assert line in (ROOT / "README.md").read_text()


def shown(default: object) -> str:
    """As in TOML, without quotes."""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_the_version_is_the_same_everywhere() -> None:
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
