"""The short way to `serve` reads what Typer would, and leaves the rest to it."""

from pathlib import Path
from typing import Any

import pytest
import typer

from expo_gateway import command_line
from expo_gateway.serve import plain_options

PATH = "somewhere"


def typed(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Typer makes of them; what is not given is left out."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr("expo_gateway.serve.serve", lambda **options: seen.update(options) or 0)
    assert command_line.run_command(["serve", *arguments], complain=pytest.fail) == 0
    if not seen["as_json"]:
        del seen["as_json"]
    return {name: value for name, value in seen.items() if value is not None}


def all_options() -> list[list[str]]:
    """Each as a user would write it, with a value if it wants one."""
    serve = typer.main.get_command(command_line.command_line()).commands["serve"]  # type: ignore[attr-defined]
    written: list[list[str]] = []
    for one in serve.params:
        values = [] if one.is_flag else ["12" if one.type.name.startswith("int") else PATH]
        written += [[name, *values] for name in (*one.opts, *one.secondary_opts) if name != "--help"]
    return written


@pytest.mark.parametrize("written", all_options(), ids=" ".join)
def test_an_option_means_the_same_on_the_short_way(written: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain_options(written) == typed(written, monkeypatch)


def test_the_last_of_two_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    written = ["--port", "1", "--tls", "--port", "2", "--no-tls"]

    assert plain_options(written) == typed(written, monkeypatch) == {"port": 2, "tls": False}


def test_no_option_at_all_is_plain() -> None:
    assert plain_options([]) == {}


@pytest.mark.parametrize(
    "written",
    [
        ["--help"],
        ["--port"],
        ["--port", "soon"],
        ["--port", "-1"],
        ["--port", "٣"],
        ["--port=1"],
        ["--data", ""],
        ["--host", "--json"],
        ["--prot", "1"],
        ["--json", "here"],
        ["--", "--json"],
    ],
)
def test_what_is_written_otherwise_is_left_to_typer(written: list[str]) -> None:
    assert plain_options(written) is None


def test_paths_are_paths() -> None:
    assert plain_options(["--data", PATH]) == {"data": Path(PATH)}
