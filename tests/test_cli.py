import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from expo_gateway import __version__
from tests.running import clean_environment, command, gateway


def test_the_version_is_printed() -> None:
    assert command("--version").stdout == f"expo-gateway {__version__}\n"


@pytest.mark.parametrize(
    ("options", "env", "said"),
    [
        (("--port", "70000"), {}, "server.port: got 70000 from the options; wanted a whole number from 0 to 65535"),
        ((), {"EXPO_GATEWAY_SERVER__POTR": "1"}, "did you mean EXPO_GATEWAY_SERVER__PORT?"),
        (("--config", "/nowhere.toml"), {}, "--config: got /nowhere.toml, which can't be read"),
        (("--host", "nowhere.invalid"), {}, "server.host: got 'nowhere.invalid'"),
        (("--data", "/dev/null/x"), {}, "store.data: got /dev/null/x"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(options: tuple[str, ...], env: dict[str, str], said: str) -> None:
    ended = command("serve", *options, env=env)

    assert ended.returncode == 2
    assert ended.stderr.startswith("expo-gateway: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("setting", ["--port", "EXPO_GATEWAY_EMULATOR__APNS_PORT", "EXPO_GATEWAY_EMULATOR__FCM_PORT"])
def test_a_taken_port_is_one_line_that_says_what_to_do_and_exit_code_1(setting: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        ended = (
            command("serve", "--port", port)
            if setting == "--port"
            else command("serve", "--port", "0", env={setting: port})
        )

    assert ended.returncode == 1
    assert port in ended.stderr
    assert "0 takes any" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_unknown_option_is_exit_code_2() -> None:
    assert command("serve", "--prot", "1").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("receipts", "a", "--wait", "-1"), "expo-gateway: receipts: Invalid value for '--wait'"),
        (("send", "--ttl", "soon"), "expo-gateway: send: Invalid value for '--ttl'"),
        (("projects", "show"), "see `expo-gateway projects show --help`"),
        (("sendd",), "see `expo-gateway --help`"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    ended = command(*arguments)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "--to", "a", "--url", "nowhere"),
        ("send", "--ttl", "soon"),
        ("projects", "list"),
        ("serve", "--port", "70000"),
    ],
)
def test_with_json_a_mistake_is_an_object_on_stdout_too(arguments: tuple[str, ...]) -> None:
    ended = command(*arguments, "--json")

    (line,) = ended.stdout.splitlines()
    error = json.loads(line)
    assert (error.pop("event"), error.pop("exit_code"), ended.returncode) == ("error", 2, 2)
    assert ended.stderr == f"expo-gateway: {error.pop('message')}\n"
    assert error == {}


def test_a_group_without_a_command_shows_its_help() -> None:
    ended = command("projects")

    assert "Usage: " in ended.stdout + ended.stderr


def test_options_win_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[server]\nhost = 'nowhere.invalid'\n")

    with gateway("--config", str(config), "--host", "127.0.0.1") as (_, ready):
        assert ready["url"].startswith("http://127.0.0.1:")


def test_the_screen_says_where_everything_is_and_what_to_try() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "expo_gateway", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "ExponentPushToken" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        process.send_signal(signal.SIGTERM)
    screen = "".join(lines)

    url = screen.partition("EXPO_BASE_URL=")[2].split()[0]
    assert url.startswith("http://127.0.0.1:")
    assert f"curl {url}/--/api/v2/push/send" in screen
    assert all(label in screen for label in ("APNs emulator", "FCM emulator", "their CA"))
