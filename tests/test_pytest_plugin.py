"""The pytest plugin, as a project that installed it sees it: pytest in a process of its own."""

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from tests.running import clean_environment
from tests.testing.eventually import eventually

ROOT = Path(__file__).parent.parent
PYTEST_S = 120.0

SENDING = """
    import json, os
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen
    import pytest

    TOKEN = "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"

    def send(url, **message):
        body = json.dumps({"to": TOKEN, **message}).encode()
        request = Request(f"{url}/--/api/v2/push/send", body, {"content-type": "application/json"})
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]

    def note(expo_gateway):
        "Which server it was, and which process asked."
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(json.dumps([expo_gateway.url.partition("/r/")[0], os.getpid()]) + "\\n")
"""


class Project:
    """A directory with tests of somebody else."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.temporary = directory / "tmp"
        self.temporary.mkdir()

    def write(self, name: str, code: str) -> None:
        (self.directory / name).write_text(dedent(code))

    def run(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """pytest with no plugins but ours and xdist. Warnings are errors."""
        environment = {
            **clean_environment(),
            "NOTES": str(self.directory / "notes"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "TMPDIR": str(self.temporary),
        }
        ours = ("-p", "xdist", "-p", "expo_gateway.pytest_plugin", "-p", "no:cacheprovider", "-W", "error", "-ra")
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".", *ours, *options, "."],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PYTEST_S,
            check=False,
        )

    def notes(self) -> list[tuple[str, int]]:
        return [(url, pid) for url, pid in map(json.loads, (self.directory / "notes").read_text().splitlines())]

    def has_no_server(self) -> bool:
        return not list(self.temporary.glob("expo-gateway-*"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_it_is_found_by_pytest() -> None:
    [(name, module)] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
        "pytest11"
    ].items()

    assert name == "expo_gateway"
    assert hasattr(import_module(module), "expo_gateway")


def test_nothing_is_loaded_by_tests_that_do_not_use_it(project: Project) -> None:
    project.write(
        "test_other.py",
        """
        import sys

        def test_other():
            loaded = {name for name in sys.modules if name.startswith("expo_gateway")}
            assert loaded == {"expo_gateway", "expo_gateway.pytest_plugin"}
        """,
    )

    done = project.run()

    assert done.returncode == 0, done.stdout
    assert list(project.temporary.iterdir()) == []


def test_each_test_has_a_run_of_its_own(project: Project) -> None:
    project.write(
        "test_app.py",
        dedent(SENDING)
        + dedent(
            """
            @pytest.mark.parametrize("n", range(3))
            def test_one(expo_gateway, n):
                note(expo_gateway)
                expo_gateway.assert_not_sent()
                send(expo_gateway.url, title=f"Hello {n}")
                assert expo_gateway.assert_sent(title=f"Hello {n}", state="delivered").title == f"Hello {n}"
                assert len(expo_gateway.sent()) == 1
            """
        ),
    )

    done = project.run()

    assert done.returncode == 0, done.stdout
    assert len(set(project.notes())) == 1
    assert project.has_no_server()


def test_a_failure_shows_the_nearest_miss(project: Project) -> None:
    project.write(
        "test_app.py",
        dedent(SENDING)
        + dedent(
            """
            def test_one(expo_gateway):
                send(expo_gateway.url, title="Hallo", data={"order": 7})
                expo_gateway.assert_sent(title="Hello", data={"order": 7}, timeout_s=0.1)
            """
        ),
    )

    done = project.run()

    assert done.returncode == 1
    assert "expo_gateway.testing.unmet.NotSent: no delivery with title='Hello'" in done.stdout
    assert 'title is "Hallo", wanted "Hello"' in done.stdout
    assert "testing/run.py" not in done.stdout, "the traceback ends in the test"


@pytest.mark.slow
def test_200_tests_in_4_workers_share_a_server_and_do_not_disturb_each_other(project: Project) -> None:
    project.write(
        "test_app.py",
        dedent(SENDING)
        + dedent(
            """
            @pytest.mark.parametrize("n", range(200))
            def test_one(expo_gateway, n):
                "All send the same title to the same token, under a clock and with a fault that no other has."
                note(expo_gateway)
                expo_gateway.assert_not_sent()
                expo_gateway.clock.freeze(1_800_000_000 + n)
                with expo_gateway.fail("expo", status=429, times=1):
                    with pytest.raises(HTTPError, match="429") as refused:
                        send(expo_gateway.url)
                    refused.value.close()
                if n % 2:
                    expo_gateway.devices.make("ios", push_token=TOKEN)
                    expo_gateway.devices.unregister(TOKEN)
                ticket = send(expo_gateway.url, title="Hello", data={"n": n})
                assert expo_gateway.receipt(ticket, timeout_s=30).error == ("DeviceNotRegistered" if n % 2 else None)
                [delivery] = expo_gateway.sent()
                assert (delivery.data, delivery.accepted_at) == ({"n": n}, 1_800_000_000 + n)
                assert len(expo_gateway.captures()) == 1
            """
        ),
    )

    done = project.run("-n", "4", "-q")

    assert done.returncode == 0, done.stdout
    assert "200 passed" in done.stdout
    assert len({url for url, _ in project.notes()}) == 1
    assert len({worker for _, worker in project.notes()}) == 4
    eventually(project.has_no_server)


def test_when_workers_crash_no_server_is_left_behind(project: Project) -> None:
    project.write(
        "test_app.py",
        dedent(SENDING)
        + dedent(
            """
            @pytest.mark.parametrize("n", range(8))
            def test_one(expo_gateway, n):
                note(expo_gateway)
                if n in (1, 4):
                    os._exit(1)
                assert expo_gateway.receipt(send(expo_gateway.url)).ok
            """
        ),
    )

    done = project.run("-n", "2", "-q")

    assert "2 failed, 6 passed" in done.stdout
    eventually(project.has_no_server)
    assert not any(is_served(url) for url, _ in project.notes())


def test_the_test_in_the_readme_passes(project: Project) -> None:
    example = (ROOT / "examples" / "pytest" / "test_orders.py").read_text()
    project.write("test_orders.py", example)

    done = project.run()

    assert f"```python\n{example}```" in (ROOT / "README.md").read_text()
    assert done.returncode == 0, done.stdout


def is_served(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").is_success
    except httpx.TransportError:
        return False
