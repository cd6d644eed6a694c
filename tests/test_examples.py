"""The examples, as far as they run without a container engine and without GitHub."""

import ast
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from expo_gateway.seed import read_seed
from expo_gateway.settings import describe_settings
from tests.missing import missing, program
from tests.running import clean_environment, gateway

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
DEADLINE_S = 120.0
# Of the tests' own side; the rest are settings.
OURS = {"EXPO_GATEWAY_URL"}


@pytest.fixture
def environment() -> dict[str, str]:
    """With `expo-gateway` on the PATH."""
    own = clean_environment()
    return own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{own.get('PATH', '')}"}


def run(*command: str, cwd: Path, env: dict[str, str]) -> str:
    """What it says; it must end well."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def folders() -> list[Path]:
    return [path for path in sorted(EXAMPLES.iterdir()) if path.is_dir() and path.name[0] not in "._"]


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_every_example_has_a_readme_and_settings_that_exist(folder: Path) -> None:
    assert (folder / "README.md").is_file()
    known = {setting.env for setting in describe_settings()} | OURS
    texts = [path.read_text() for path in folder.rglob("*.*") if path.is_file() and "node_modules" not in path.parts]

    assert {name for text in texts for name in re.findall(r"EXPO_GATEWAY_[A-Z_]+", text)} <= known


# -- Vitest -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("already_runs", [False, True])
def test_the_vitest_example_passes(environment: dict[str, str], *, already_runs: bool) -> None:
    node, vitest = program("node"), EXAMPLES / "vitest" / "node_modules" / "vitest" / "vitest.mjs"
    if not vitest.is_file():
        missing("Vitest is not installed: run `npm install` in examples/vitest, or `make test`")

    def passes(env: dict[str, str]) -> None:
        run(node, str(vitest), "run", cwd=EXAMPLES / "vitest", env=environment | env)

    if not already_runs:
        passes({})
        return
    with gateway() as (_, ready):
        passes({"EXPO_GATEWAY_URL": ready["url"]})


# -- Testcontainers ---------------------------------------------------------------------------------------------------


def test_the_testcontainers_example_passes_without_its_container(environment: dict[str, str]) -> None:
    command = (sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "-c", os.devnull)
    plugin, env = ("-p", "expo_gateway.pytest_plugin"), environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    assert "2 passed" in run(*command, *plugin, ".", cwd=EXAMPLES / "testcontainers", env=env)


def test_the_container_is_started_with_what_testcontainers_has() -> None:
    tree = ast.parse((EXAMPLES / "testcontainers" / "conftest.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    theirs = [node for node in imports if str(node.module).startswith("testcontainers")]

    assert theirs
    if find_spec("testcontainers") is not None:
        for node in theirs:
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


# -- Compose ----------------------------------------------------------------------------------------------------------


def test_the_compose_file_keeps_to_the_compose_specification() -> None:
    schema = json.loads((ROOT / "fixtures" / "compose" / "compose-spec.json").read_text())

    jsonschema.validate(loaded(EXAMPLES / "compose" / "compose.yml"), schema)


def test_what_the_compose_file_runs_passes_without_containers(environment: dict[str, str]) -> None:
    shell, _ = program("sh"), program("curl")
    services = loaded(EXAMPLES / "compose" / "compose.yml")["services"]
    options, tests = services["gateway"]["command"], services["tests"]
    seed = EXAMPLES / "compose" / "seed.json"
    assert options == ["serve", "--host", "0.0.0.0", "--seed", "/seed.json"]
    assert services["gateway"]["volumes"] == ["./seed.json:/seed.json:ro"]
    assert len(read_seed(seed).devices) == 2

    with gateway("--seed", str(seed), env=services["gateway"]["environment"]) as (_, ready):
        own = {name: value.replace("http://gateway:8080", ready["url"]) for name, value in tests["environment"].items()}
        (script,) = tests["command"]
        said = run(shell, "-euc", script.replace("$$", "$"), cwd=ROOT, env=environment | own)

    assert '"state":"delivered"' in said


# -- GitHub Actions ---------------------------------------------------------------------------------------------------


def test_the_steps_of_the_workflow_pass_without_github(environment: dict[str, str], tmp_path: Path) -> None:
    bash, _ = program("bash"), program("curl")
    text = (EXAMPLES / "github-actions" / "push-tests.yml").read_text().replace("8080", str(free_port()))
    job = yaml.safe_load(text)["jobs"]["test"]
    scripts = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    script = "\n".join([f"( {scripts['Start the gateway']} )", scripts["Run the tests"]])

    # As GitHub runs them: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax
    with subprocess.Popen(
        [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment | job["env"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=DEADLINE_S)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the gateway, which is left running for the steps that follow

    assert process.returncode == 0, said
    assert '"state":"delivered"' in said


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_the_workflow_is_one() -> None:
    """The rest was held against SchemaStore's schema of workflows with check-jsonschema 0.39, 2026-11-22."""
    workflow = loaded(EXAMPLES / "github-actions" / "push-tests.yml")

    # YAML 1.1 reads "on" as true.
    assert set(workflow) == {"name", True, "permissions", "jobs"}
    assert all(("uses" in step) != ("run" in step) for step in workflow["jobs"]["test"]["steps"])
