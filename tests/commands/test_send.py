"""`expo-gateway send` against a scripted server: what is sent, what is written, how it ends."""

import json
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from expo_gateway.cli import main
from tests.commands.scripted_expo import Messages, Scripted, refused, scripted, tickets

WAIT_S = 10.0


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """550 rows, so six requests. The fourth row's `to` is its row number, 5."""
    path = tmp_path / "many.csv"
    path.write_text("to,title\n" + "".join(f"{number},Hello\n" for number in range(2, 552)))
    return path


def send(*arguments: object) -> int:
    return main(["send", *map(str, arguments)])


def test_one_message_is_sent_with_its_fields(capfd: pytest.CaptureFixture[str]) -> None:
    with scripted(lambda messages, _: tickets(messages)) as expo:
        code = send(
            *("--url", expo.url, "--to", "a", "--to", "b", "--title", "T", "--data", '{"n":1}', "--channel-id", "c"),
            *("--ttl", "0", "--image", "https://i", "--content-available"),
        )

    rest = {
        "title": "T",
        "data": {"n": 1},
        "ttl": 0,
        "channelId": "c",
        "richContent": {"image": "https://i"},
        "contentAvailable": True,
    }
    assert code == 0
    assert expo.requests == [[{"to": "a", **rest}, {"to": "b", **rest}]]
    assert "id of a" in capfd.readouterr().out


def test_lines_are_in_the_order_of_the_input_however_the_answers_come(many: Path, out: Path) -> None:
    others = threading.Semaphore(0)

    def answer(messages: Messages, _: int) -> Scripted:
        if messages[0]["to"] == "2":  # the first request waits for four others
            for _ in range(4):
                assert others.acquire(timeout=WAIT_S)
        others.release()
        return tickets(messages)

    with scripted(answer) as expo:
        assert send("--url", expo.url, "--file", many, "--out", out) == 0

    assert sorted(len(request) for request in expo.requests) == [50, 100, 100, 100, 100, 100]
    assert lines_of(out) == [
        {"row": number, "to": str(number), "status": "ok", "id": f"id of {number}"} for number in range(2, 552)
    ]


def test_large_requests_are_compressed(many: Path, out: Path) -> None:
    with scripted(lambda messages, _: tickets(messages)) as expo:
        send("--url", expo.url, "--file", many, "--out", out)

    assert {headers["content-encoding"] for headers in expo.headers} == {"gzip"}


def test_a_broken_row_is_reported_with_its_number_and_stops_nothing(tmp_path: Path, out: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"to":"a"}\n{"to":\n{"to":"c","priority":"urgent"}\n{"to":"d"}\n')

    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--file", file, "--out", out) == 1

    assert expo.requests == [[{"to": "a"}, {"to": "d"}]]
    lines = lines_of(out)
    assert [(line["row"], line["to"], line["status"]) for line in lines] == [
        (1, "a", "ok"),
        (2, None, "error"),
        (3, "c", "error"),
        (4, "d", "ok"),
    ]
    assert lines[2]["message"].startswith('"priority": Invalid enum value.')
    assert lines[2]["details"] == {"error": "BrokenRow"}


def test_strict_input_sends_nothing_when_a_row_is_broken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"to":"a"}\nnonsense\n')

    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--file", file, "--strict-input") == 2

    assert expo.requests == []
    assert "row 2: it is not JSON" in capfd.readouterr().err


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_server_is_asked_again(status: int, many: Path, out: Path) -> None:
    def answer(messages: Messages, number: int) -> Scripted:
        busy = refused(status, "TOO_MANY_REQUESTS")
        return (
            Scripted(status=status, body=busy.body, headers={"retry-after": "0"}) if number < 3 else tickets(messages)
        )

    with scripted(answer) as expo:
        assert send("--url", expo.url, "--file", many, "--out", out) == 0

    assert len(expo.requests) == 9
    assert [line["row"] for line in lines_of(out)] == list(range(2, 552))


def test_a_request_whose_answer_got_lost_is_sent_again_and_that_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    with scripted(lambda messages, number: tickets(messages) if number else Scripted(status=0)) as expo:
        assert send("--url", expo.url, "--to", "a") == 0

    assert len(expo.requests) == 2
    assert "may get the message twice" in capfd.readouterr().out


def test_recipients_of_several_projects_are_sent_apart(tmp_path: Path, out: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("to\na1\nb1\na2\nb2\nx\n")

    def answer(messages: Messages, _: int) -> Scripted:
        found = {f"@o/{owner}": [one["to"] for one in messages if one["to"][0] == owner] for owner in "ab"}
        return (
            tickets(messages)
            if not all(found.values())
            else refused(400, "PUSH_TOO_MANY_EXPERIENCE_IDS", details=found)
        )

    with scripted(answer) as expo:
        assert send("--url", expo.url, "--file", file, "--out", out) == 0

    assert [[one["to"] for one in request] for request in expo.requests[1:]] == [["a1", "a2", "x"], ["b1", "b2"]]
    assert [line["to"] for line in lines_of(out)] == ["a1", "b1", "a2", "b2", "x"]


def test_a_message_that_only_the_server_finds_wrong_takes_no_other_with_it(many: Path, out: Path) -> None:
    def answer(messages: Messages, _: int) -> Scripted:
        wrong = any(one["to"] == "77" for one in messages)
        return refused(400, "VALIDATION_ERROR") if wrong else tickets(messages)

    with scripted(answer) as expo:
        assert send("--url", expo.url, "--file", many, "--out", out) == 1

    assert [line for line in lines_of(out) if line["status"] != "ok"] == [
        {
            "row": 77,
            "to": "77",
            "status": "error",
            "message": "VALIDATION_ERROR it is.",
            "details": {"error": "VALIDATION_ERROR"},
        }
    ]


def test_error_tickets_are_exit_code_1_and_no_whole_token_is_on_the_screen(
    out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    token = "ExponentPushToken[abcdefghijklmnopqrstuv]"
    ticket = {"status": "error", "message": f'"{token}" is bad', "details": {"error": "DeviceNotRegistered"}}

    with scripted(lambda *_: Scripted(status=200, body={"data": [ticket]})) as expo:
        assert send("--url", expo.url, "--to", token, "--out", out) == 1

    screen = capfd.readouterr().out
    assert "DeviceNotRegistered" in screen
    assert "ExponentPushToken[abcd…uv]" in screen
    assert token not in screen
    assert lines_of(out) == [{"row": 1, "to": token, **ticket}]


def test_a_refused_access_token_ends_the_run_and_is_not_shown(
    many: Path, out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("very-secret\n")

    with scripted(lambda *_: Scripted(status=401, body={"error": "invalid_token"})) as expo:
        assert send("--url", expo.url, "--file", many, "--out", out, "--token", tmp_path / "token") == 3

    assert expo.headers[0]["authorization"] == "Bearer very-secret"
    assert len(expo.requests) <= 6
    assert lines_of(out) == []
    said = capfd.readouterr()
    assert "EXPO_ACCESS_TOKEN" in said.err
    assert "expo-gateway tokens create" in said.err
    assert "very-secret" not in said.err + said.out


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_project_that_requires_a_token_is_said_how_to_give_one(
    options: Sequence[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with scripted(lambda *_: refused(403, "UNAUTHORIZED")) as expo:
        assert send("--url", expo.url, "--to", "a", *options) == 1

    said = capfd.readouterr()
    assert "UNAUTHORIZED it is." in said.out
    assert "--token FILE" in said.err
    assert "EXPO_ACCESS_TOKEN" in said.err
    assert "expo-gateway tokens create PROJECT NAME" in said.err


def test_a_gateway_that_is_not_there_is_one_line_that_says_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert send("--url", f"http://127.0.0.1:{port}", "--to", "a") == 3

    said = capfd.readouterr()
    assert "expo-gateway serve" in said.err
    assert said.err.count("\n") == 1


def test_a_gateway_that_goes_away_ends_the_run_with_what_is_known(
    many: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expo_gateway.commands.api_answers.MAX_TRIES", 1)

    with scripted(lambda messages, number: tickets(messages) if number < 3 else Scripted(status=0)) as expo:
        assert send("--url", expo.url, "--file", many, "--out", out) == 3

    lines = lines_of(out)
    assert [line["row"] for line in lines] == sorted(line["row"] for line in lines)
    # The sixth request has 50 rows and may be among the three that arrive first.
    assert sum(line["status"] == "ok" for line in lines) in (250, 300)
    lost = [line for line in lines if line["status"] != "ok"]
    assert {line["details"]["error"] for line in lost} == {"NoAnswer"}


def test_json_is_lines_and_a_summary(capfd: pytest.CaptureFixture[str]) -> None:
    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--to", "a", "--json") == 0

    line, summary = map(json.loads, capfd.readouterr().out.splitlines())
    assert line == {"row": 1, "to": "a", "status": "ok", "id": "id of a"}
    assert summary.pop("seconds") >= 0
    assert summary == {
        "event": "summary",
        "recipients": 1,
        "ok": 1,
        "errors": {},
        "sent_again": 0,
        "finished": True,
        "stopped": None,
        "through_row": 1,
    }


def test_what_was_typed_by_mistake_is_on_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    message = '"nonsense" is not a valid Expo push token'
    ticket = {"status": "error", "message": message, "details": {"error": "DeviceNotRegistered"}}

    with scripted(lambda *_: Scripted(status=200, body={"data": [ticket]})) as expo:
        assert send("--url", expo.url, "--to", "nonsense") == 1

    assert message in capfd.readouterr().out


def test_the_address_of_the_api_itself_is_taken_for_the_gateway() -> None:
    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", f"{expo.url}/--/api/v2/push/send?useFcmV1=true", "--to", "a") == 0
        assert send("--url", f"{expo.url}/--", "--to", "a") == 0


def test_rows_before_those_that_are_wanted_are_passed_over(many: Path, out: Path) -> None:
    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--file", many, "--out", out, "--after-row", "500") == 0

    assert [line["row"] for line in lines_of(out)] == list(range(501, 552))


def test_where_to_go_on_is_after_the_last_row_before_which_nothing_is_missing(
    many: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answered = threading.Event()

    def answer(messages: Messages, _: int) -> Scripted:
        if messages[0]["to"] == "202":
            answered.set()
        if messages[0]["to"] != "102":
            return tickets(messages)
        assert answered.wait(WAIT_S)
        return Scripted(status=404)

    with scripted(answer) as expo:
        assert send("--url", expo.url, "--file", many, "--json") == 3

    said = capfd.readouterr()
    summary = json.loads(said.out.splitlines()[-1])
    assert (summary["finished"], summary["through_row"]) == (False, 101)
    assert summary["stopped"] in said.err
    assert "go on with --after-row 101" in said.err
    assert "only those that have one were sent" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--to PUSH_TOKEN"),
        (["--to", "a", "--file", "b.csv"], "either --to"),
        (["--file", "nowhere.csv"], "can't be read"),
        (["--file", "rows.txt"], "add --format"),
        (["--to", "a", "--data", "[1]"], "--data: wanted a JSON object"),
        (["--to", "a", "--priority", "urgent"], "Invalid enum value"),
        (["--to", "a", "--url", "127.0.0.1:8080"], "--url: got '127.0.0.1:8080'"),
        (["--to", "a", "--token", "my-secret"], "--token: wanted a readable file"),
        (["--to", "a", "--ca", "/nowhere.pem"], "--ca: got /nowhere.pem"),
        (["--to", "a", "--out", "/nowhere/out"], "--out: got /nowhere/out"),
        (["--file", "-", "--strict-input"], "stdin"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: Sequence[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert send(*arguments) == 2

    error = capfd.readouterr().err
    assert said in error
    assert "my-secret" not in error
    assert error.count("\n") == 1


def test_the_result_file_is_not_written_over_the_input(many: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = many.read_bytes()

    assert send("--file", many, "--out", many) == 2

    assert many.read_bytes() == before


def test_a_full_disk_ends_the_run(many: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    with scripted(lambda messages, _: tickets(messages)) as expo:
        assert send("--url", expo.url, "--file", many, "--out", "/dev/full") == 3

    assert "No space left" in capfd.readouterr().err


def test_the_base_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda messages, _: tickets(messages)) as expo:
        monkeypatch.setenv("EXPO_BASE_URL", expo.url + "/")

        assert send("--to", "a") == 0

    assert len(expo.requests) == 1
