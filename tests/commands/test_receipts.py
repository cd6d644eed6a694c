"""`expo-gateway receipts` against a scripted server."""

import json
from pathlib import Path
from typing import Any

import pytest

from expo_gateway.cli import main
from tests.commands.scripted_expo import Messages, Scripted, refused, scripted

TOKEN = "ExponentPushToken[abcdefghijklmnopqrstuv]"
DEAD = {"status": "error", "message": f'"{TOKEN}" is gone', "details": {"error": "DeviceNotRegistered"}}


def receipts(*arguments: object) -> int:
    return main(["receipts", *map(str, arguments)])


def found(**by_id: object) -> Scripted:
    return Scripted(status=200, body={"data": by_id})


def test_outcomes_are_counted_and_failures_listed(capfd: pytest.CaptureFixture[str]) -> None:
    with scripted(lambda *_: found(a={"status": "ok"}, b=DEAD)) as expo:
        assert receipts("a", "b", "c", "--url", expo.url) == 1

    screen = capfd.readouterr().out
    counts = {line.split()[1]: line.split()[0] for line in screen.splitlines()[:3]}
    assert counts == {"ok": "1", "DeviceNotRegistered": "1", "absent": "1"}
    assert "b  DeviceNotRegistered" in screen


def test_all_ok_is_exit_code_0() -> None:
    with scripted(lambda ids, _: found(**{one: {"status": "ok"} for one in map(str, ids)})) as expo:
        assert receipts("a", "b", "--url", expo.url) == 0

    assert expo.requests == [["a", "b"]]


def test_a_result_file_is_asked_for_300_at_a_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.jsonl"
    ok = [{"row": number, "to": TOKEN, "status": "ok", "id": f"i{number}"} for number in range(700)]
    lines: list[Any] = [*ok, {"row": 701, "to": TOKEN, "status": "error"}, {"event": "summary"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"row":702,"to"')

    with scripted(lambda ids, _: found(**dict.fromkeys(map(str, ids), DEAD))) as expo:
        assert receipts("--file", file, "--url", expo.url, "--json") == 1

    assert [len(request) for request in expo.requests] == [300, 300, 100]
    first, *_, summary = map(json.loads, capfd.readouterr().out.splitlines())
    assert first == {"row": 0, "to": TOKEN, "id": "i0", **DEAD}
    assert summary == {
        "event": "summary",
        "tickets": 700,
        "ok": 0,
        "errors": {"DeviceNotRegistered": 700},
        "absent": 0,
        "finished": True,
    }


def test_whole_tokens_are_not_on_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text(json.dumps({"row": 1, "to": TOKEN, "status": "ok", "id": "a"}))

    with scripted(lambda *_: found(a=DEAD)) as expo:
        receipts("--file", file, "--url", expo.url)

    assert TOKEN not in capfd.readouterr().out


def test_wait_asks_again_for_those_that_are_not_there() -> None:
    def answer(ids: Messages, number: int) -> Scripted:
        return found(a={"status": "ok"}) if number == 0 else found(b={"status": "ok"}) if number == 2 else found()

    with scripted(answer) as expo:
        assert receipts("a", "b", "--wait", "20", "--url", expo.url) == 0

    assert expo.requests == [["a", "b"], ["b"], ["b"]]


def test_wait_ends_when_its_time_is_up(capfd: pytest.CaptureFixture[str]) -> None:
    with scripted(lambda *_: found()) as expo:
        assert receipts("a", "--wait", "0.1", "--url", expo.url, "--json") == 1

    assert len(expo.requests) >= 2
    assert json.loads(capfd.readouterr().out.splitlines()[0]) == {"id": "a", "status": "absent"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refused(403, "UNAUTHORIZED"), "UNAUTHORIZED it is; give an access token of the project with --token FILE"),
        (Scripted(status=401, body={"error": "invalid_token"}), "`expo-gateway tokens create PROJECT NAME --data DIR`"),
        (Scripted(status=200, body={"data": []}), "--url"),
        (Scripted(status=404), "--url"),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_3(answer: Scripted, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    with scripted(lambda *_: answer) as expo:
        assert receipts("a", "--url", expo.url, "--json") == 3

    error = capfd.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"), [(None, "can't be read"), ("to,title\na,b\n", "line 1 is not JSON"), ("\n", "")]
)
def test_a_file_that_is_no_result_file_is_wrong_usage(
    content: str | None, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)

    assert receipts("--file", file, "--url", "http://127.0.0.1:9") == (2 if said else 0)
    assert said in capfd.readouterr().err


def test_ids_or_a_file_are_wanted() -> None:
    assert receipts() == 2
