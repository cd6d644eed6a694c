"""`expo-gateway check`: each thing that can be wrong has its line."""

import asyncio
import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from expo_gateway.cli import main
from expo_gateway.commands.check_findings import Level
from expo_gateway.commands.check_machine import Clocks, check_clock
from expo_gateway.commands.check_network import Target, check_reach, targets
from expo_gateway.commands.check_projects import check_emulated, check_projects
from expo_gateway.protocol.device import Project, ProjectKind, made_for
from expo_gateway.protocol.project import ApnsCredential, ApnsKeyFile, ConfiguredProject, FcmCredential
from expo_gateway.settings import Providers

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("EXPO_GATEWAY_"):
            monkeypatch.delenv(name)


def check(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the findings, without the summary."""
    code = main(["check", "--offline", "--json", *map(str, arguments)])
    *findings, summary = map(json.loads, capfd.readouterr().out.splitlines())
    assert summary["event"] == "summary"
    return code, findings


def of(findings: Sequence[dict[str, Any]], name: str) -> list[tuple[str, str]]:
    return [(one["level"], one["text"]) for one in findings if one["check"] == name]


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def test_the_defaults_are_fine(capfd: pytest.CaptureFixture[str]) -> None:
    code, findings = check(capfd)

    assert code == 0
    assert {one["level"] for one in findings} == {"ok", "warn", "skip"}
    assert all(one["next"] for one in findings if one["level"] != "ok")


def test_a_wrong_setting_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[server]\nport = 'x'\n")

    code, findings = check(capfd, "--config", config)

    assert code == 1
    ((level, text),) = of(findings, "settings")
    assert level == "fail"
    assert "server.port" in text


def test_a_data_directory_that_others_may_read_is_warned_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir(mode=0o755)

    code, findings = check(capfd, "--data", tmp_path / "data")

    assert code == 0
    assert [level for level, _ in of(findings, "data directory")] == ["ok", "warn"]


def test_a_data_directory_that_is_not_there_is_not_made(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, findings = check(capfd, "--data", tmp_path / "new" / "data")

    assert code == 0
    assert "the first start makes it" in of(findings, "data directory")[0][1]
    assert list(tmp_path.iterdir()) == []


def test_a_data_directory_that_is_a_file_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_text("")

    assert check(capfd, "--data", tmp_path / "data")[0] == 1


def test_a_database_that_is_none_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gateway.db").write_text("this is no database " * 100)

    code, findings = check(capfd, "--data", tmp_path)

    assert code == 1
    assert of(findings, "database")[0][0] == "fail"


def test_credential_files_of_the_settings_are_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[[projects]]\nfull_name = '@o/s'\nfcm_service_account_file = 'nowhere.json'\n")

    code, findings = check(capfd, "--config", config)

    assert code == 1
    assert "projects[0].fcm_service_account_file" in of(findings, "projects")[0][1]


# -- credentials ------------------------------------------------------------------------------------------------------


def configured(apns: ApnsKeyFile | None = None, fcm: dict[str, object] | None = None) -> ConfiguredProject:
    return ConfiguredProject(
        project=Project(project_id="p", full_name="@o/s", kind=ProjectKind.REAL),
        apns=() if apns is None else (ApnsCredential(secret=apns),),
        fcm=None if fcm is None else FcmCredential(service_account=fcm),
    )


def account(**other: object) -> dict[str, object]:
    key = pem(rsa.generate_private_key(65537, 2048))
    fields = {"project_id": "p", "client_email": "push@p", "token_uri": "https://oauth2.googleapis.com/token"}
    return {"type": "service_account", "private_key": key, **fields, **other}


def test_good_credentials_are_ok() -> None:
    key = ApnsKeyFile(
        key_id="ABCDE12345", team_id="TEAM123456", private_key_pem=pem(ec.generate_private_key(ec.SECP256R1()))
    )

    found = check_projects([configured(key, account())], addresses=Providers())

    assert [one.level for one in found] == [Level.OK, Level.OK]


@pytest.mark.parametrize(
    ("key_id", "team_id", "curve", "said"),
    [
        ("short", "TEAM123456", ec.SECP256R1(), "key id"),
        ("ABCDE12345", "team", ec.SECP256R1(), "team id"),
        ("ABCDE12345", "TEAM123456", ec.SECP384R1(), "P-256"),
    ],
)
def test_a_wrong_apns_key_fails(key_id: str, team_id: str, curve: ec.EllipticCurve, said: str) -> None:
    secret = pem(ec.generate_private_key(curve))
    key = ApnsKeyFile(key_id=key_id, team_id=team_id, private_key_pem=secret)

    found, *_ = check_projects([configured(key)], addresses=Providers())

    assert found.level is Level.FAIL
    assert said in found.text
    assert secret.splitlines()[1] not in found.text


@pytest.mark.parametrize(
    ("field", "said"), [({"client_email": ""}, "client_email"), ({"private_key": "none"}, "RSA key")]
)
def test_a_wrong_service_account_fails(field: dict[str, object], said: str) -> None:
    found, *_ = check_projects([configured(fcm=account(**field))], addresses=Providers())

    assert found.level is Level.FAIL
    assert said in found.text


def test_a_project_without_credentials_is_warned_of() -> None:
    found = check_projects([configured()], addresses=Providers())

    assert [one.level for one in found] == [Level.WARN, Level.WARN]


def test_virtual_devices_beside_real_projects_are_warned_of_only_when_asked_for() -> None:
    found = {
        strict: [one.level for one in check_emulated([configured()], strict=strict)] for strict in (None, True, False)
    }

    assert found == {None: [], True: [], False: [Level.WARN]}
    assert list(check_emulated([], strict=False)) == []


def test_projects_that_phones_made_are_warned_of_beside_real_ones() -> None:
    made = ConfiguredProject(project=made_for("d3a7c0de-0000-4000-8000-000000000001"))

    (found,) = check_emulated([configured(), made], strict=None)

    assert found.level is Level.WARN
    assert made.project.full_name in found.text
    assert "--id" in found.next
    assert list(check_emulated([made], strict=None)) == []


def test_a_wrong_mix_is_seen_by_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[emulator]\nstrict = false\n[[projects]]\nfull_name = '@o/s'\n")

    _, findings = check(capfd, "--config", config)

    assert [level for level, text in of(findings, "projects") if "emulator.strict" in text] == ["warn"]


# -- network ----------------------------------------------------------------------------------------------------------


def test_apple_and_google_are_looked_for_also_without_a_project() -> None:
    assert [(target.shown, target.needed) for target in targets([], Providers())] == [
        ("api.push.apple.com:443", False),
        ("fcm.googleapis.com:443", False),
        ("oauth2.googleapis.com:443", False),
    ]


def test_other_addresses_are_looked_for_where_they_are_set() -> None:
    addresses = Providers(apns_host="127.0.0.1", apns_port=2197, fcm_endpoint="http://127.0.0.1:9")

    found = targets([configured(fcm=account(token_uri="http://127.0.0.1:8/token"))], addresses)

    assert [target.shown for target in found] == ["127.0.0.1:2197", "127.0.0.1:9", "127.0.0.1:8"]
    assert found[0].tls_name == "api.push.apple.com"


@pytest.mark.parametrize(("needed", "level"), [(True, Level.FAIL), (False, Level.WARN)])
async def test_a_closed_port_fails_where_a_project_needs_it(needed: bool, level: Level) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target = Target(host="127.0.0.1", port=closed.getsockname()[1], tls_name="", alpn="http/1.1", needed=needed)
        (found,) = await check_reach([target], ca=None)

    assert found.level is level
    assert "can't be reached" in found.text
    assert found.next


async def test_an_open_port_is_ok() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        target = Target(host="127.0.0.1", port=port, tls_name="", alpn="http/1.1", needed=True)
        (found,) = await check_reach([target], ca=None)

    assert found.level is Level.OK


def test_a_gateway_that_does_not_run_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        code, findings = check(capfd, "--url", f"http://127.0.0.1:{closed.getsockname()[1]}")

    assert code == 1
    assert of(findings, "gateway")[0][0] == "fail"


# -- clock ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wall_at", "level"), [(NOW + 2.0, Level.OK), (NOW + 9.0, Level.WARN), (NOW - 9.0, Level.WARN), (0.0, Level.FAIL)]
)
def test_a_clock_that_jumps_or_was_never_set_is_found(wall_at: float, level: Level) -> None:
    found = check_clock(
        Clocks(wall_at=NOW, monotonic_s=5.0), Clocks(wall_at=wall_at, monotonic_s=7.0), is_compared=True
    )

    assert found.level is level


def test_a_clock_that_nobody_was_asked_about_is_not_said_to_be_right(capfd: pytest.CaptureFixture[str]) -> None:
    _, findings = check(capfd)

    ((level, text),) = of(findings, "clock")
    assert level == "skip"
    assert "not compared with anything" in text


def test_lines_are_for_people_without_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--offline"]) == 0

    screen = capfd.readouterr().out
    assert "OK    settings" in screen
    assert "next: keep it with --data DIR" in screen
