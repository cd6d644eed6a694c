"""The settings file's projects: what is wrong is refused with the setting's name, what was got and what was wanted."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from expo_gateway.errors import SettingsError
from expo_gateway.live_projects import emulated_project, store_configured
from expo_gateway.project_files import check_authorities, configured_by
from expo_gateway.project_settings import describe_project_settings
from expo_gateway.protocol.device import ProjectKind, made_for, project_id_of, virtual_device
from expo_gateway.protocol.project import ApnsKeyFile, ConfiguredProject
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.settings import load_settings
from expo_gateway.sqlite_file import SqliteFile
from tests.outside import Outside, open_outside, private_pem

Change = Callable[[dict[str, object], Path], object]


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    async with open_outside(tmp_path / "outside") as outside:
        yield outside


@pytest.fixture
def project(outside: Outside) -> dict[str, object]:
    """A [[projects]] table that is right."""
    return {
        "full_name": "@acme/shop",
        "apns_key_file": str(outside.new_apns_key()),
        "apns_key_id": "ABCDEFGHIJ",
        "apns_team_id": "TEAMTEAM12",
        "fcm_service_account_file": str(outside.new_service_account()),
    }


def configured(tmp_path: Path, *tables: dict[str, object]) -> list[ConfiguredProject]:
    lines = []
    for table in tables:
        lines += ["[[projects]]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join(lines))
    return configured_by(load_settings(config=path, environ={}, overrides={}).projects)


def test_a_right_table_is_a_real_project_with_expos_limit(project: dict[str, object], tmp_path: Path) -> None:
    (one,) = configured(tmp_path, project)

    assert (one.project.kind, one.project.project_id) == (ProjectKind.REAL, project_id_of("@acme/shop"))
    assert one.notifications_per_second == 600
    assert isinstance(one.apns[0].secret, ApnsKeyFile)
    assert one.fcm is not None


def test_paths_start_at_the_files_directory(project: dict[str, object], tmp_path: Path) -> None:
    project["apns_key_file"] = "outside/AuthKey_ABCDEFGHIJ.p8"

    assert len(configured(tmp_path, project)[0].apns) == 1


def set_to(key: str, value: object) -> Change:
    return lambda table, _: table.update({key: value})


def without(key: str) -> Change:
    return lambda table, _: table.pop(key)


def file_of(key: str, content: str) -> Change:
    def change(table: dict[str, object], directory: Path) -> None:
        path = directory / "file"
        path.write_text(content)
        table[key] = str(path)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("full_name"), r"projects\[0\]\.full_name: it is missing in .*gateway\.toml; wanted @owner/slug"),
        (set_to("full_name", "shop"), r"full_name: got 'shop' in .*; wanted @owner/slug"),
        (set_to("project_id", "7"), r"project_id: got '7' in .*; wanted a UUID"),
        (set_to("kind", "fake"), r"kind: got 'fake' in .*; wanted one of real, emulated"),
        (set_to("apns_key", "x"), r"projects\[0\]\.apns_key in .*: there is no such setting; did you mean apns_key"),
        (
            set_to("apns_key_file", "/nowhere.p8"),
            r"apns_key_file: got /nowhere\.p8, which can't be read \(No such file",
        ),
        (set_to("apns_key_file", "-----BEGIN PRIVATE\nKEY"), r"apns_key_file: got a text of \d+ characters in"),
        (file_of("apns_key_file", "not a key"), r"apns_key_file: got .*file, which holds no P-256 private key; wanted"),
        (
            file_of("apns_key_file", private_pem(ec.generate_private_key(ec.SECP384R1()))),
            r"apns_key_file: got .*file, which holds no P-256 private key",
        ),
        (set_to("apns_key_id", "ABC"), r"apns_key_id: got 'ABC' in .*; wanted ten letters and digits"),
        (without("apns_team_id"), r"apns_team_id: it is missing; wanted key file, key id and team id together"),
        (set_to("apns_environment", "test"), r"apns_environment: got 'test' .* one of production, sandbox, both"),
        (set_to("apns_bundle_ids", "com.acme"), r"apns_bundle_ids: got 'com\.acme' in .*; wanted bundle ids"),
        (set_to("apns_certificate_file", "c.pem"), r"apns_certificate_file: wanted either a certificate or a key"),
        (file_of("fcm_service_account_file", "[]"), r"fcm_service_account_file: got .*, which is no JSON object"),
        (file_of("fcm_service_account_file", "{}"), r"fcm_service_account_file: got .*file; .*want 'project_id'"),
        (
            file_of("fcm_service_account_file", '{"project_id":"p","private_key":"k","token_uri":"https://x"}'),
            r"fcm_service_account_file: .*want 'client_email'",
        ),
        (set_to("notifications_per_second", -1), r"notifications_per_second: got -1 in .*; wanted a whole number"),
        (set_to("requires_token", "yes"), r"requires_token: got 'yes' in .*; wanted true or false"),
    ],
)
def test_what_is_wrong_is_named(project: dict[str, object], tmp_path: Path, change: Change, message: str) -> None:
    change(project, tmp_path)

    with pytest.raises(SettingsError, match=message) as refused:
        configured(tmp_path, project)

    assert "BEGIN" not in str(refused.value)


def test_a_project_is_there_once(project: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"projects\[1\]\.full_name: got @acme/shop, which another table has"):
        configured(tmp_path, project, {"full_name": "@acme/shop"})
    with pytest.raises(SettingsError, match=r"projects\[1\]\.project_id: got .*, which is the id of @acme/shop"):
        configured(tmp_path, project, {"full_name": "@acme/desk", "project_id": project_id_of("@acme/shop")})


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("projects = 5")

    with pytest.raises(SettingsError, match=r"wanted tables that begin with \[\[projects\]\]"):
        load_settings(config=tmp_path / "gateway.toml", environ={}, overrides={})


def test_authorities_that_can_not_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")

    for path in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        with pytest.raises(SettingsError, match=r"providers\.ca_file: got .*\.pem, which can't be used"):
            check_authorities(path)


def test_every_key_says_what_it_is() -> None:
    assert all(setting.description.endswith(".") and setting.wanted for setting in describe_project_settings())


async def test_the_file_wins_at_the_start_and_writes_only_what_differs(tmp_path: Path) -> None:
    (wanted,) = configured(tmp_path, {"full_name": "@acme/shop", "requires_token": True})
    async with SqliteFile(":memory:", durability="process") as file:
        registry = SqliteRegistry(file)
        await registry.open()
        await store_configured(registry, [wanted])
        version = await registry.projects_version()
        await store_configured(registry, [wanted])

        assert await registry.configured_projects() == [wanted]
        assert await registry.projects_version() == version
        with pytest.raises(SettingsError, match=r"emulator\.project: got @acme/shop, which sends to Apple and Google"):
            await emulated_project(registry, "@acme/shop")


async def test_the_file_takes_over_a_project_that_was_made_on_the_fly(tmp_path: Path) -> None:
    project_id = "d3a7c0de-0000-4000-8000-000000000001"
    (wanted,) = configured(tmp_path, {"full_name": "@acme/shop", "project_id": project_id.upper()})
    async with SqliteFile(":memory:", durability="process") as file:
        registry = SqliteRegistry(file)
        await registry.open()
        made = await registry.add_project(made_for(project_id))
        await registry.enrol([virtual_device("ExponentPushToken[x]", project=made, platform=None, now=0.0)])

        await store_configured(registry, [wanted])

        assert await registry.configured_projects() == [wanted]
        assert (await registry.list_devices())[0].project == wanted.project
