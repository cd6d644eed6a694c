"""`expo-gateway home-assistant`: long-lived access tokens."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from expo_gateway.cli import main


class Terminal:
    def __init__(self, data: Path, screen: pytest.CaptureFixture[str]) -> None:
        self.data, self.screen = data, screen

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code = main(["home-assistant", *arguments, "--data", str(self.data)])
        said, complained = self.screen.readouterr()
        return code, said, complained

    def answer(self, *arguments: str) -> Any:
        code, said, complained = self.run(*arguments, "--json")
        assert code == 0, complained
        return json.loads(said)


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tmp_path / "data", capsys)


def test_a_token_is_alone_on_the_last_line_of_stdout(terminal: Terminal) -> None:
    code, said, _ = terminal.run("token")

    assert code == 0
    assert said.splitlines()[-1].count(".") == 2
    assert said.endswith("\n")


def test_a_token_is_a_jwt_that_names_its_id(terminal: Terminal) -> None:
    made = terminal.answer("token", "--name", "phone")

    assert jwt.get_unverified_header(made["token"]) == {"alg": "HS256", "typ": "JWT"}
    assert jwt.decode(made["token"], options={"verify_signature": False})["iss"] == made["id"]
    assert (made["name"], len(made["id"])) == ("phone", 32)


def test_tokens_without_a_name_get_one_each(terminal: Terminal) -> None:
    terminal.run("token")
    terminal.run("token")

    assert [one["name"] for one in terminal.answer("list")] == ["token-1", "token-2"]


def test_a_name_is_given_once(terminal: Terminal) -> None:
    terminal.run("token", "--name", "phone")

    code, said, complained = terminal.run("token", "--name", "phone")

    assert (code, said) == (2, "")
    assert "--name: there is a token 'phone'" in complained


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb"])
def test_a_name_that_can_not_be_typed_again_is_refused(terminal: Terminal, name: str) -> None:
    code, _, complained = terminal.run("token", "--name", name)

    assert (code, "--name" in complained) == (2, True)


def test_a_token_is_not_shown_again(terminal: Terminal) -> None:
    made = terminal.answer("token")["token"]
    listed = terminal.run("list")[1] + json.dumps(terminal.answer("list"))

    assert not any(part in listed for part in made.split("."))


def test_a_revoked_token_is_gone(terminal: Terminal) -> None:
    terminal.run("token", "--name", "phone")

    assert terminal.answer("revoke", "phone") == {"revoked": "phone"}
    assert terminal.answer("list") == []


def test_a_token_that_is_not_there_can_not_be_revoked(terminal: Terminal) -> None:
    terminal.run("token", "--name", "phone")

    code, _, complained = terminal.run("revoke", "tablet")

    assert (code, "there are: phone" in complained) == (2, True)


def test_the_data_directory_is_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPO_GATEWAY_STORE__DATA", raising=False)

    assert main(["home-assistant", "token"]) == 2
    assert "--data: it is missing" in capsys.readouterr().err


def test_the_data_directory_may_come_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPO_GATEWAY_STORE__DATA", str(tmp_path))

    assert main(["home-assistant", "token"]) == 0
    assert capsys.readouterr().out.count(".") == 2


def test_a_data_directory_that_can_not_be_made_is_an_error_and_no_traceback(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    terminal.data = tmp_path / "file" / "data"
    code, said, complained = terminal.run("token")

    assert (code, said) == (2, "")
    assert "--data" in complained
