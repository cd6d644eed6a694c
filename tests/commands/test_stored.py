"""`projects`, `tokens` and `devices`: what they answer, and what they say of a mistake."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from expo_gateway.cli import main
from expo_gateway.commands.devices import device_json
from expo_gateway.protocol.device import Project, virtual_device
from tests.outside import private_pem

SHOP = "@acme/shop"
STOCK_ID, OTHER_ID = (f"d3a7c0de-0000-4000-8000-00000000000{number}" for number in (1, 2))


class Terminal:
    def __init__(self, data: Path, screen: pytest.CaptureFixture[str]) -> None:
        self.data, self.screen = data, screen

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code = main([*arguments, "--data", str(self.data)])
        said, complained = self.screen.readouterr()
        return code, said, complained

    def answer(self, *arguments: str) -> Any:
        code, said, complained = self.run(*arguments, "--json")
        assert code == 0, complained
        return json.loads(said)

    def complaint(self, *arguments: str) -> str:
        code, said, complained = self.run(*arguments)
        assert (code, said) == (2, "")
        return complained


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tmp_path / "data", capsys)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "AuthKey.p8"
    path.write_text(private_pem(ec.generate_private_key(ec.SECP256R1())))
    return path


def key_options(key: Path | str, key_id: str = "ABCDEFGHIJ") -> list[str]:
    return ["--apns-key-file", str(key), "--apns-key-id", key_id, "--apns-team-id", "TEAMTEAM12"]


def test_a_project_is_added_shown_changed_and_removed(terminal: Terminal, key: Path) -> None:
    added = terminal.answer("projects", "add", SHOP, *key_options(key), "--apns-bundle-id", "com.acme.shop")
    assert (added["kind"], added["notifications_per_second"], added["requires_token"]) == ("real", 600, False)
    assert added["apns"] == [
        {
            "type": "key",
            "key_id": "ABCDEFGHIJ",
            "team_id": "TEAMTEAM12",
            "environment": "both",
            "bundle_ids": ["com.acme.shop"],
        }
    ]
    assert terminal.answer("projects", "list") == [added]

    renamed = terminal.answer("projects", "set", SHOP, "--name", "@acme/store", "--notifications-per-second", "0")
    assert renamed == {**added, "full_name": "@acme/store", "notifications_per_second": None}
    assert terminal.answer("projects", "show", added["project_id"].upper()) == renamed

    assert terminal.answer("projects", "remove", "@acme/store")["devices"] == 0
    assert terminal.answer("projects", "list") == []


def test_a_key_for_one_environment_leaves_the_other_alone(terminal: Terminal, key: Path) -> None:
    terminal.answer("projects", "add", SHOP, *key_options(key), "--apns-environment", "production")

    changed = terminal.answer("projects", "set", SHOP, *key_options(key, "SANDBOXKEY"), "--apns-environment", "sandbox")

    assert [(one["environment"], one["key_id"]) for one in changed["apns"]] == [
        ("production", "ABCDEFGHIJ"),
        ("sandbox", "SANDBOXKEY"),
    ]
    assert terminal.answer("projects", "set", SHOP, "--no-apns")["apns"] == []


def test_an_emulated_project_has_no_limit_until_it_becomes_real(terminal: Terminal) -> None:
    assert terminal.answer("projects", "add", SHOP, "--kind", "emulated")["notifications_per_second"] is None
    assert terminal.answer("projects", "set", SHOP, "--kind", "real")["notifications_per_second"] == 600


def test_a_table_that_is_no_terminals_is_cells_between_tabs_however_narrow_it_is(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    added = terminal.answer("projects", "add", SHOP)

    _, said, _ = terminal.run("projects", "list")

    assert said.splitlines() == ["\t".join([SHOP, added["project_id"], "real", "-", "-", "0"])]


def test_no_command_shows_a_key(terminal: Terminal, key: Path) -> None:
    secrets = key.read_text().splitlines()[1:-1]
    said = [terminal.run("projects", "add", SHOP, *key_options(key)), terminal.run("projects", "show", SHOP)]
    said += [terminal.run("projects", "list", *options) for options in ([], ["--json"])]

    assert all(code == 0 for code, _, _ in said)
    assert [secret for secret in secrets if secret in str(said)] == []


def test_a_token_is_printed_once_and_listed_by_its_ends(terminal: Terminal) -> None:
    terminal.run("projects", "add", SHOP)

    _, token, _ = terminal.run("tokens", "create", SHOP, "ci")
    listed = terminal.run("tokens", "list", SHOP)[1] + terminal.run("projects", "show", SHOP)[1]

    token = token.strip()
    assert token.startswith("egt_")
    assert token not in listed
    assert f"{token[:8]}…{token[-2:]}" in listed
    assert token.encode() not in b"".join(path.read_bytes() for path in terminal.data.iterdir())
    assert terminal.answer("tokens", "revoke", SHOP, "ci") == {"revoked": "ci"}
    assert terminal.answer("tokens", "list", SHOP) == []


def test_the_id_that_a_renamed_project_was_derived_gets_another(terminal: Terminal) -> None:
    terminal.run("projects", "add", SHOP)
    terminal.run("projects", "set", SHOP, "--name", "@acme/store")

    assert "--id: it is missing, and the one derived from the name is that of @acme/store" in terminal.complaint(
        "projects", "add", SHOP
    )
    assert terminal.answer("projects", "add", SHOP, "--id", OTHER_ID)["project_id"] == OTHER_ID


def test_a_project_made_on_the_fly_is_taken_over_with_its_devices_and_tokens(terminal: Terminal, key: Path) -> None:
    terminal.run("projects", "add", f"@emulator/{OTHER_ID}", "--id", OTHER_ID, "--kind", "emulated")
    terminal.run("tokens", "create", OTHER_ID, "ci")

    taken = terminal.answer("projects", "add", SHOP, "--id", OTHER_ID, *key_options(key))

    assert (taken["full_name"], taken["kind"], len(taken["apns"])) == (SHOP, "real", 1)
    assert [token["name"] for token in taken["tokens"]] == ["ci"]
    assert terminal.answer("projects", "list") == [taken]


def test_instants_are_iso_8601_in_utc(terminal: Terminal) -> None:
    terminal.run("projects", "add", SHOP)
    made = terminal.answer("tokens", "create", SHOP, "ci")
    (listed,) = terminal.answer("tokens", "list", SHOP)
    (shown,) = terminal.answer("projects", "show", SHOP)["tokens"]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    assert {listed["created_at"], shown["created_at"]} == {made["created_at"]}


@pytest.mark.parametrize("gone_at", [None, 1_767_657_694.556])
def test_a_devices_instants_are_iso_8601_in_utc(gone_at: float | None) -> None:
    project = Project(project_id="p", full_name=SHOP)
    device = virtual_device("ExponentPushToken[x]", project=project, platform=None, now=1_767_657_694.556)

    answer = device_json(replace(device, gone_at=gone_at))

    assert answer["registered_at"] == "2026-01-06T00:01:34Z"
    assert answer["gone_at"] == (None if gone_at is None else "2026-01-06T00:01:34Z")


def test_the_note_on_a_token_says_whether_it_is_needed(terminal: Terminal) -> None:
    terminal.run("projects", "add", SHOP, "--kind", "emulated")
    assert "with any token, and without one" in terminal.run("tokens", "create", SHOP, "one")[2]

    terminal.run("projects", "set", SHOP, "--requires-token")

    assert "with any token, and without one" not in terminal.run("tokens", "create", SHOP, "two")[2]


def test_the_data_directory_is_for_its_owner_only(terminal: Terminal) -> None:
    terminal.run("projects", "add", SHOP)

    assert terminal.data.stat().st_mode & 0o777 == 0o700
    assert (terminal.data / "gateway.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["projects", "add", SHOP],
            "@acme/shop (2c2402e7-e72c-5dd7-8476-9e180dccbd97) is there already; `expo-gateway",
        ),
        (["projects", "add", "shop"], "@OWNER/SLUG: got 'shop' from the options; wanted @owner/slug"),
        (
            ["projects", "show", "@acme/none"],
            "PROJECT: got '@acme/none', which is no project here (there are: @acme/shop",
        ),
        (["projects", "set", SHOP, "--apns-key-id", "ABCDEFGHIJ"], "--apns-key-file: it is missing; wanted key file"),
        (["projects", "set", SHOP, "--kind", "fake"], "--kind: got 'fake' from the options; wanted one of real"),
        (["projects", "set", SHOP, "--apns-environment", "sandbox"], "--apns-environment: it says what a key"),
        (
            ["projects", "set", SHOP, "--fcm-service-account-file", "/none"],
            "--fcm-service-account-file: got /none, which",
        ),
        (["projects", "set", SHOP, "--name", "shop"], "--name: got 'shop' from the options; wanted @owner/slug"),
        (
            ["projects", "set", SHOP, "--name", "@acme/stock"],
            f"--name: got @acme/stock, which is the name of project {STOCK_ID}",
        ),
        (
            ["projects", "add", SHOP, "--id", OTHER_ID],
            "@OWNER/SLUG: got @acme/shop, which is the name of project 2c2402e7-e72c-5dd7-8476-9e180dccbd97; ",
        ),
        (
            ["projects", "add", "@acme/new", "--id", STOCK_ID.upper()],
            f"--id: got {STOCK_ID}, which is the id of @acme/stock; `expo-gateway projects set` changes that one",
        ),
        (["tokens", "revoke", SHOP, "ci"], "NAME: got 'ci', which @acme/shop does not have (it has: none)"),
        (["devices", "show", "ExponentPushToken[abcdefghijklmn]"], "ExponentPushToken[abcd…mn] is no device here"),
        (["devices", "show", "nope"], "PUSH_TOKEN: got 'nope', which is no push token, so it is no device here; see"),
        (["devices", "show", "many words " * 9], f"got '{('many words ' * 9)[:59]}…', which is no push token"),
        (["devices", "forget", "a1" * 32], "got 'a1a1…a1', which is no push token"),
        (["devices", "forget", "x"], "is no device here; see `expo-gateway devices list`"),
    ],
)
def test_a_mistake_ends_in_one_line_that_says_what_to_do(terminal: Terminal, arguments: list[str], said: str) -> None:
    terminal.run("projects", "add", SHOP)
    terminal.run("projects", "add", "@acme/stock", "--id", STOCK_ID, "--kind", "emulated")

    complaint = terminal.complaint(*arguments)

    assert said in complaint
    assert complaint.count("\n") == 1


def test_without_a_data_directory_they_say_which_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["projects", "list"]) == 2
    assert "--data: it is missing" in capsys.readouterr().err
    assert main(["devices", "list", "--data", str(tmp_path)]) == 2
    assert "holds no gateway.db" in capsys.readouterr().err


def test_a_key_comes_from_stdin(terminal: Terminal, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stdin_of(key, monkeypatch):
        added = terminal.answer("projects", "add", SHOP, *key_options("-"))

    assert len(added["apns"]) == 1


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPO_GATEWAY_STORE__DATA", raising=False)


def stdin_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    opened = path.open()
    monkeypatch.setattr("sys.stdin", opened)
    return opened
