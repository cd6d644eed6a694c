"""Shell completion, as a shell asks for it and as it is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import START_S, clean_environment

GATEWAY = Path(sys.executable).with_name("expo-gateway")
# Else Typer looks at the processes above it for the shell, and here there may be none.
NAMED_SHELL = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """By its own name: a completion is for that."""
    return subprocess.run(
        [GATEWAY, *arguments],
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=True,
    )


def completed(line: str) -> list[str]:
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_EXPO_GATEWAY_COMPLETE": "complete_bash"}
    return run(**environment).stdout.split()


@pytest.fixture(autouse=True)
def _installed() -> None:
    if not GATEWAY.exists():
        pytest.skip("the package is not installed beside this Python")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("expo-gateway rec", ["receipts"]),
        ("expo-gateway send --after", ["--after-row"]),
        ("expo-gateway tokens c", ["create"]),
        ("expo-gateway send --format js", ["json", "jsonl"]),
    ],
)
def test_commands_options_and_values_are_completed(line: str, found: list[str]) -> None:
    assert completed(line) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_shown(shell: str) -> None:
    assert f"complete_{shell}" in run("--show-completion", shell, **NAMED_SHELL).stdout


def test_a_bash_that_it_was_installed_for_completes(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    run("--install-completion", "bash", HOME=str(tmp_path), **NAMED_SHELL)
    script = """source "$HOME/.bashrc"; COMP_WORDS=(expo-gateway rec); COMP_CWORD=1
    _expo_gateway_completion expo-gateway; echo "${COMPREPLY[@]}"; complete -p expo-gateway"""
    path = f"{GATEWAY.parent}{os.pathsep}{os.environ['PATH']}"
    asked = subprocess.run(
        [bash, "-c", script],
        env=clean_environment() | {"HOME": str(tmp_path), "PATH": path},
        capture_output=True,
        text=True,
        timeout=START_S,
        check=True,
    )

    assert asked.stdout.splitlines() == [
        "receipts",
        "complete -o default -F _expo_gateway_completion expo-gateway",
    ]
