"""How each kind of client is installed from its registry and started."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# Nothing is installed into the sources.
BUILD = HERE.parent.parent / "build" / "clients"
INSTALL_S = 900.0


class NotAvailable(Exception):
    """The toolchain is not here, or the registry doesn't serve the package. The message says which."""

    def __init__(self, why: str, *, is_missing_program: bool = False) -> None:
        super().__init__(why)
        self.is_missing_program = is_missing_program


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client that can be started."""

    name: str
    command: Sequence[str]
    directory: Path


NODE = (
    "expo-server-sdk-7",
    "expo-server-sdk-6",
    "expo-server-sdk-5",
    "expo-server-sdk-4",
    "expo-server-sdk-3.15",
    "expo-server-sdk-3.10",
    "expo-push-api",
)


def node() -> list[Client]:
    need("node", "npm")
    directory = copied("node")
    install("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", directory=directory)
    return [Client(name=f"npm {name}", command=("node", "client.mjs", name), directory=directory) for name in NODE]


def python() -> list[Client]:
    directory = copied("python")
    interpreter = directory / "venv" / "bin" / "python"
    if not interpreter.exists():
        install(sys.executable, "-m", "venv", "venv", directory=directory)
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt")
    install(str(interpreter), *pip, directory=directory)
    scripts = {"exponent_server_sdk": "sdk_client.py", "django-expo-notifications": "django_client.py"}
    return [
        Client(name=f"PyPI {name}", command=(str(interpreter), "-W", "ignore", script), directory=directory)
        for name, script in scripts.items()
    ]


def rust() -> list[Client]:
    need("cargo")
    directory = copied("rust")
    install("cargo", "build", "--quiet", "--locked", "--target-dir", "target", directory=directory)
    program = directory / "target" / "debug" / "expo-gateway-test-clients"
    return [Client(name="crates.io expo_push_notification_client", command=(str(program),), directory=directory)]


def java() -> list[Client]:
    need("java", "mvn")
    directory = copied("java")
    copy = ("dependency:copy-dependencies", f"-DoutputDirectory={directory / 'lib'}")
    install("mvn", "--quiet", "--batch-mode", *copy, directory=directory)
    command = ("java", "-cp", "lib/*", "JavClient.java")
    return [Client(name="Maven io.github.jav:expo-server-sdk", command=command, directory=directory)]


def go() -> list[Client]:
    need("go")
    directory = copied("go")
    install("go", "get", "github.com/oliveroneill/exponent-server-sdk-golang@latest", directory=directory)
    install("go", "build", "-o", "client", ".", directory=directory)
    return [Client(name="Go oliveroneill", command=("./client",), directory=directory)]


def need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise NotAvailable(f"{' and '.join(missing)} not installed", is_missing_program=True)


def copied(name: str) -> Path:
    """The client's sources under BUILD; what was installed there before stays."""
    return Path(shutil.copytree(HERE / name, BUILD / name, dirs_exist_ok=True))


def install(*command: str, directory: Path) -> None:
    """Raises NotAvailable with the program's last words."""
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_S, env=os.environ, check=False
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()
        raise NotAvailable(f"{command[0]} said: {said[-1][:160]}")
