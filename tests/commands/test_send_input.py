"""`expo-gateway send` and its file: what is in it that Expo does not know, and files with nothing in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from expo_gateway.cli import main
from tests.commands.scripted_expo import scripted, tickets


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def send(*arguments: object) -> int:
    return main(["send", *map(str, arguments)])


MISSPELT = [{"to": "a", "titel": "Hi", "order": 7}, {"to": "b", "titel": "Hi"}, {"to": "c", "title": "Hi"}]


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_a_key_that_is_no_field_is_sent_and_warned_of_once(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(
        json.dumps(MISSPELT) if name == "rows.json" else "".join(json.dumps(row) + "\n" for row in MISSPELT)
    )

    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--file", tmp_path / name) == 0

    assert expo.requests == [MISSPELT]
    assert capfd.readouterr().err.splitlines() == [
        "expo-gateway: row 1: 'titel' is no field of Expo's messages and is ignored; did you mean title?",
        "expo-gateway: row 1: 'order' is no field of Expo's messages and is ignored; what is for the app goes under "
        "data",
        "expo-gateway: unknown keys, in so many rows: 'titel' 2, 'order' 1; --strict-input refuses them",
    ]


def test_strict_input_refuses_a_key_that_is_no_field(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(MISSPELT))

    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--file", tmp_path / "rows.json", "--strict-input") == 2

    assert expo.requests == []
    assert "row 1: 'titel' is no field; did you mean title?" in capfd.readouterr().err


def test_rows_that_are_passed_over_are_not_warned_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(MISSPELT))

    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--file", tmp_path / "rows.json", "--after-row", 2) == 0

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "content"), [("rows.csv", "to,title\n"), ("rows.jsonl", ""), ("rows.json", "[]"), ("rows.json", " [ ]\n")]
)
def test_a_file_without_rows_is_fine_and_that_is_said(
    name: str, content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)

    assert send("--file", tmp_path / name, "--url", "http://127.0.0.1:9") == 0

    assert capfd.readouterr().err.endswith(f"{name} has no rows; nothing was sent\n")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv", "", "--file: the file is empty; it is to name the columns, and one of them is `to`"),
        ("rows.csv", "\n", "--file: the first line is empty"),
        ("rows.json", "", "--file: it is empty; wanted a JSON array of messages"),
        ("rows.json", "\ufeff \n", "--file: it is empty"),
        ("rows.json", "to,title\na,b\n", "--file: it begins with 't'; wanted a JSON array"),
    ],
)
def test_a_file_that_is_none_is_wrong_usage_and_invents_no_recipient(
    name: str, content: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)

    assert send("--file", tmp_path / name, "--url", "http://127.0.0.1:9", "--json") == 2

    shown = capfd.readouterr()
    assert said in shown.err
    assert [json.loads(line)["event"] for line in shown.out.splitlines()] == ["error"]


def test_a_header_row_that_is_wrong_sends_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.csv").write_text("token,title\na,b\n")

    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--file", tmp_path / "rows.csv") == 2

    assert expo.requests == []
    assert "column 'token'" in capfd.readouterr().err


def test_a_json_array_that_breaks_off_is_sent_as_far_as_it_can_be_read(
    tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.json").write_text('[{"to":"a"},{"to":')

    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--file", tmp_path / "rows.json", "--out", out) == 3

    assert [line["status"] for line in lines_of(out)] == ["ok", "error"]
    assert "row 2 ends the reading" in capfd.readouterr().err


def test_options_fill_what_rows_leave_out(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("to,title\na,\nb,Own\n")

    with scripted(lambda messages, _: tickets(messages)) as expo:
        send("--url", expo.url, "--file", tmp_path / "rows.csv", "--title", "Common")

    assert [one["title"] for one in expo.requests[0]] == ["Common", "Own"]
