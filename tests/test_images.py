"""Dockerfile and docker-compose.yml, as far as they show without a container engine."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml

from expo_gateway import __version__
from expo_gateway.emulators.authority import SERVED_NAMES
from expo_gateway.settings import describe_settings
from tests.running import clean_environment

ROOT = Path(__file__).parent.parent
NOBODY = 65534
INSTALL_S = 300.0
START_S = 30.0

Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


@pytest.fixture(scope="module")
def stages() -> list[list[Instruction]]:
    """The Dockerfile's instructions, stage by stage; what comes before the first FROM is left out."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    instructions = [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in text.splitlines() if line]
    found: list[list[Instruction]] = []
    for name, rest in instructions:
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def given(stage: list[Instruction], name: str) -> list[str]:
    return [rest for found, rest in stage if found == name]


# -- docker-compose.yml -----------------------------------------------------------------------------------------------


def test_the_compose_file_follows_the_specification(compose: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "fixtures" / "compose" / "compose-spec.json").read_text())["schema"]

    jsonschema.Draft201909Validator(schema).validate(compose)


def test_by_default_there_is_the_gateway_alone(compose: dict[str, Any]) -> None:
    alone = [name for name, service in compose["services"].items() if not service.get("profiles")]

    assert alone == ["gateway"]


def test_one_service_builds_the_image_and_nobody_pulls_it(compose: dict[str, Any]) -> None:
    """Two builders of one tag fail each other, and a registry's image of that name is somebody else's."""
    found = {name: (service.get("build"), service["pull_policy"]) for name, service in compose["services"].items()}

    assert found == {"gateway": (".", "build"), "ca": (None, "never"), "hosts": (None, "never")}
    assert {service["image"] for service in compose["services"].values()} == {"expo-gateway"}


def test_the_gateway_is_asked_as_the_image_says(compose: dict[str, Any], stages: list[list[Instruction]]) -> None:
    check = compose["services"]["gateway"]["healthcheck"]

    assert check["test"] == ["CMD", *health_command(stages[-1])]
    options = dict(re.findall(r"--([a-z-]+)=(\w+)", given(stages[-1], "HEALTHCHECK")[0]))
    assert options == {name.replace("_", "-"): str(value) for name, value in check.items() if name != "test"}


def test_every_container_is_locked_down(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp"]
        assert "privileged" not in service


def test_the_gateway_is_published_on_loopback_only(compose: dict[str, Any]) -> None:
    assert [service.get("ports") for service in compose["services"].values()] == [["127.0.0.1:8080:8080"], None, None]


def test_the_hosts_have_the_names_that_the_certificate_has(compose: dict[str, Any]) -> None:
    aliases = compose["services"]["hosts"]["networks"]["push"]["aliases"]

    assert sorted(aliases) == sorted(set(SERVED_NAMES) - {"localhost", "127.0.0.1", "::1"})


def test_the_gateway_itself_sees_the_real_hosts(compose: dict[str, Any]) -> None:
    assert "push" not in compose["services"]["gateway"]["networks"]


def test_settings_in_the_compose_file_exist(compose: dict[str, Any]) -> None:
    known = {setting.env for setting in describe_settings()}
    environment = compose["services"]["gateway"]["environment"]

    assert set(environment) <= known
    assert compose["services"]["hosts"]["command"][1] == f"gateway:{environment['EXPO_GATEWAY_PROXY__PORT']}"


def test_what_the_containers_run_exists(compose: dict[str, Any]) -> None:
    python, option, module = compose["services"]["hosts"]["entrypoint"]

    assert (python, option) == ("python", "-m")
    assert find_spec(module) is not None
    # The rest is a line of Python.
    compile(compose["services"]["ca"]["entrypoint"][2], "ca", "exec")


def test_volumes_and_networks_are_declared(compose: dict[str, Any]) -> None:
    volumes = {
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", ())
    }
    networks = {network for service in compose["services"].values() for network in service.get("networks", ())}

    assert volumes == set(compose["volumes"])
    assert networks - {"default"} == set(compose["networks"])


# -- Dockerfile -------------------------------------------------------------------------------------------------------


def test_the_image_runs_as_nobody_special_and_says_how_it_is(stages: list[list[Instruction]]) -> None:
    (user,) = given(stages[-1], "USER")

    assert user.split(":")[0].isdigit()
    assert int(user.split(":")[0]) > 0
    assert given(stages[-1], "VOLUME") == ["/data"]
    assert given(stages[-1], "EXPOSE") == ["8080"]
    assert health_command(stages[-1]) == ["expo-gateway", "health"]


def test_what_is_copied_exists_and_is_not_ignored(stages: list[list[Instruction]]) -> None:
    copied = [path for rest in given(stages[0], "COPY") for path in rest.split()[:-1]]

    assert copied
    assert [path for path in copied if not (ROOT / path).exists() or is_ignored(path)] == []


@pytest.mark.parametrize("path", [".git", ".venv", "state", "tests", "docker-compose.yml", "expo_gateway/__pycache__"])
def test_nothing_else_is_sent_to_the_engine(path: str) -> None:
    assert is_ignored(path)


def is_ignored(path: str) -> bool:
    """The last line that matches decides. https://docs.docker.com/build/concepts/context/#dockerignore-files"""
    ignored = False
    lines = (line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#")
    for line in lines:
        pattern = line.removeprefix("!").removeprefix("**/")
        if any(fnmatch(part, pattern) for part in (path, path.split("/")[0], path.split("/")[-1])):
            ignored = not line.startswith("!")
    return ignored


@pytest.fixture(scope="module")
def built(stages: list[list[Instruction]]) -> Iterator[Path]:
    """A directory that stands for the image's root, after the first stage; anybody may read it."""
    root = Path(tempfile.mkdtemp(prefix="expo-gateway-image-"))
    root.chmod(0o755)
    try:
        copy_into(root / "src", stages)
        for step in given(stages[0], "RUN"):
            run_step(step, root)
        yield root
    finally:
        shutil.rmtree(root)


def copy_into(src: Path, stages: list[list[Instruction]]) -> None:
    src.mkdir()
    for path in (path for rest in given(stages[0], "COPY") for path in rest.split()[:-1]):
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, src / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / path, src / path)


def run_step(step: str, root: Path) -> None:
    """A RUN line, with this Python and under `root`."""
    command = re.sub(r"(?<![\w/])/(dist|opt)\b", rf"{root}/\1", step)
    command = re.sub(r"(?<![\w/-])python(?= )", f"'{sys.executable}'", command)
    done = subprocess.run(
        ["sh", "-ec", command], cwd=root / "src", capture_output=True, text=True, timeout=INSTALL_S, check=False
    )
    assert done.returncode == 0, (command, done.stderr)


@pytest.mark.slow
def test_the_steps_build_something_that_serves_and_is_healthy(built: Path, stages: list[list[Instruction]]) -> None:
    program = built / "opt" / "expo-gateway" / "bin" / "expo-gateway"
    installed = sorted(built.glob("opt/**/*"))
    state, temp = built / "data", built / "tmp"
    user = unprivileged(program)
    for directory in (state, temp):
        directory.mkdir(mode=0o700)
        if user is not None:
            os.chown(directory, user, user)

    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"expo-gateway {__version__}\n"
    command, environment = serving(stages[-1], program, state, temp)
    with subprocess.Popen(
        command, env=environment, user=user, group=user, cwd=state, text=True, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            port = ready["url"].rpartition(":")[2]
            assert httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=START_S).status_code == 200
            assert health_check(stages[-1], program, port=port) == 0
        finally:
            process.terminate()
            assert process.wait(timeout=START_S) == 0
    assert health_check(stages[-1], program, port=port) != 0
    # Nothing was written but to /data and /tmp.
    assert sorted(built.glob("opt/**/*")) == installed
    assert sorted(path.name for path in state.iterdir()) != []


def unprivileged(program: Path) -> int | None:
    """Somebody else, if we may become somebody else, and they may run this Python."""
    if os.getuid() != 0:
        return None
    try:
        subprocess.run([program, "--version"], user=NOBODY, group=NOBODY, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return NOBODY


def serving(stage: list[Instruction], program: Path, state: Path, temp: Path) -> tuple[list[str], dict[str, str]]:
    """ENTRYPOINT and CMD, on a port that is free."""
    (entrypoint,), (command,) = given(stage, "ENTRYPOINT"), given(stage, "CMD")
    assert json.loads(entrypoint) == [program.name]
    arguments = [str(state) if argument == "/data" else argument for argument in json.loads(command)]
    environment = clean_environment() | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(temp), "HOME": "/nowhere"}
    return [str(program), *arguments, "--port", "0", "--json"], environment


def health_check(stage: list[Instruction], program: Path, *, port: str) -> int:
    """Exit code of the HEALTHCHECK, in an environment with a proxy that is not there."""
    name, *arguments = health_command(stage)
    environment = {"EXPO_GATEWAY_SERVER__PORT": port, "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([program.with_name(name), *arguments], env=environment, capture_output=True, check=False)
    return done.returncode


def health_command(stage: list[Instruction]) -> list[str]:
    found: list[str] = json.loads(given(stage, "HEALTHCHECK")[0].partition("CMD ")[2])
    return found
