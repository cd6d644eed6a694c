"""`expo-gateway send` as a process: signals, memory, stdin."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.commands.scripted_expo import Messages, Scripted, scripted, tickets
from tests.running import clean_environment, gateway

WAIT_S = 20.0
SEND = [sys.executable, "-m", "expo_gateway", "send"]
# What 95,000 more recipients may add to the memory of 5,000: allocators are not exact.
MAX_GROWTH_KIB = 12 * 1024


def write_rows(path: Path, count: int) -> Path:
    with path.open("w") as file:
        file.write("to,title,data\n")
        for number in range(count):
            file.write(f'ExponentPushToken[{number:022d}],"Hello, you","{{""n"":{number}}}"\n')
    return path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_whole_lines_of_what_was_answered(tmp_path: Path, number: signal.Signals, code: int) -> None:
    out = tmp_path / "out.jsonl"
    held, release = threading.Semaphore(0), threading.Event()

    def answer(messages: Messages, number: int) -> Scripted:
        if number >= 8:
            held.release()
            assert release.wait(WAIT_S)
        return tickets(messages)

    file = write_rows(tmp_path / "rows.csv", 5_000)
    with scripted(answer) as expo:
        command = [*SEND, "--url", expo.url, "--file", str(file), "--out", str(out)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environment()) as process:
            try:
                for _ in range(6):
                    assert held.acquire(timeout=WAIT_S)
                process.send_signal(number)
                release.set()
                _, error = process.communicate(timeout=WAIT_S)
            finally:
                release.set()
                process.kill()

    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert process.returncode == code
    assert f"interrupted ({number.name}); go on with --after-row {1 + len(lines)}: every recipient" in error
    assert error.count("\n") == 1
    # What was under way got its answer; every recipient with a line was sent, and no other.
    assert [line["row"] for line in lines] == list(range(2, 2 + 100 * len(expo.requests)))
    assert {line["status"] for line in lines} == {"ok"}
    assert len(lines) < 5_000


def test_what_a_signal_left_is_sent_by_going_on(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.csv", 1_000)
    arrived, release = threading.Semaphore(0), threading.Event()

    def answer(messages: Messages, _: int) -> Scripted:
        arrived.release()
        assert release.wait(WAIT_S)
        return tickets(messages)

    with scripted(answer) as expo:
        command = [*SEND, "--url", expo.url, "--file", str(file), "--json"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
        ) as process:
            try:
                assert arrived.acquire(timeout=WAIT_S)
                process.send_signal(signal.SIGTERM)
                release.set()
                said, _ = process.communicate(timeout=WAIT_S)
            finally:
                release.set()
                process.kill()
        summary = json.loads(said.splitlines()[-1])
        rest = [*command, "--after-row", str(summary["through_row"])]
        subprocess.run(rest, stdout=subprocess.DEVNULL, env=clean_environment(), timeout=WAIT_S, check=True)

    assert (process.returncode, summary["stopped"], summary["finished"]) == (143, "interrupted (SIGTERM)", False)
    sent = sorted(message["to"] for request in expo.requests for message in request)
    assert sent == [f"ExponentPushToken[{number:022d}]" for number in range(1_000)]


def test_a_second_ctrl_c_does_not_wait_for_answers(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    held, release = threading.Semaphore(0), threading.Event()

    def answer(messages: Messages, number: int) -> Scripted:
        if number:
            held.release()
            release.wait(WAIT_S)
        return tickets(messages)

    file = write_rows(tmp_path / "rows.csv", 300)
    with scripted(answer) as expo:
        command = [*SEND, "--url", expo.url, "--file", str(file), "--out", str(out)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environment()) as process:
            try:
                for _ in range(2):
                    assert held.acquire(timeout=WAIT_S)
                process.send_signal(signal.SIGINT)
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.5)
                process.send_signal(signal.SIGINT)
                _, error = process.communicate(timeout=WAIT_S)
            finally:
                release.set()
                process.kill()

    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert process.returncode == 130
    assert "Traceback" not in error
    assert len(lines) == 300
    assert sum(line["status"] == "ok" for line in lines) == 100
    assert {line["details"]["error"] for line in lines if line["status"] == "error"} == {"NoAnswer"}


def test_ctrl_c_ends_a_wait_for_stdin() -> None:
    arrived = threading.Event()

    def answer(messages: Messages, _: int) -> Scripted:
        arrived.set()
        return tickets(messages)

    with scripted(answer) as expo:
        command = [*SEND, "--url", expo.url, "--file", "-", "--json"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, env=clean_environment(), **pipes) as process:  # type: ignore[call-overload]
            try:
                process.stdin.writelines(f'{{"to":"{number}"}}\n' for number in range(100))
                process.stdin.flush()
                assert arrived.wait(WAIT_S)
                process.send_signal(signal.SIGINT)
                process.wait(WAIT_S)
                error = process.stderr.read()
            finally:
                process.kill()

    assert process.returncode == 130
    assert "Traceback" not in error
    assert "Fatal" not in error


def test_rows_of_stdin_are_sent() -> None:
    with scripted(lambda messages, _: tickets(messages)) as expo:
        ended = subprocess.run(
            [*SEND, "--url", expo.url, "--file", "-", "--format", "csv", "--json"],
            input="to,title\na,Hello\n",
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            env=clean_environment(),
            check=True,
        )

    assert json.loads(ended.stdout.splitlines()[0])["id"] == "id of a"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks_kib = []
    with scripted(lambda messages, _: tickets(messages)) as expo:
        for count in (5_000, 100_000):
            file, out = write_rows(tmp_path / f"{count}.csv", count), tmp_path / f"{count}.jsonl"
            process = subprocess.Popen(
                [*SEND, "--url", expo.url, "--file", str(file), "--out", str(out)],
                stdout=subprocess.DEVNULL,
                env=clean_environment(),
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            with out.open() as lines:
                assert [json.loads(line)["row"] for line in lines] == list(range(2, count + 2))
            peaks_kib.append(used.ru_maxrss // (1024 if sys.platform == "darwin" else 1))

    assert peaks_kib[1] - peaks_kib[0] < MAX_GROWTH_KIB


def test_a_real_gateway_has_tickets_and_receipts_for_all(tmp_path: Path) -> None:
    file, out = write_rows(tmp_path / "rows.csv", 250), tmp_path / "out.jsonl"
    with gateway() as (_, ready):

        def ask(*arguments: str) -> "subprocess.CompletedProcess[str]":
            command = [sys.executable, "-m", "expo_gateway", *arguments, "--url", ready["url"]]
            return subprocess.run(
                command, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False
            )

        sent = ask("send", "--file", str(file), "--out", str(out))
        receipts = ask("receipts", "--file", str(out), "--wait", "30", "--json")
        checked = ask("check", "--offline", "--json")

    assert (sent.returncode, receipts.returncode, checked.returncode) == (0, 0, 0), (
        sent.stderr + receipts.stderr + checked.stdout
    )
    assert json.loads(receipts.stdout.splitlines()[-1])["ok"] == 250
    assert "is ready" in checked.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_the_bar_on_a_terminal_ends_at_100_percent(tmp_path: Path) -> None:
    import pty

    file = write_rows(tmp_path / "rows.csv", 5_000)
    controller, terminal = pty.openpty()
    with scripted(lambda messages, _: tickets(messages)) as expo:
        command = [*SEND, "--url", expo.url, "--file", str(file), "--out", str(tmp_path / "out.jsonl")]
        environment = clean_environment() | {"TERM": "xterm"}
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment) as process:
            os.close(terminal)
            try:
                shown = read_all(controller)
                assert process.wait(WAIT_S) == 0
            finally:
                process.kill()
                os.close(controller)

    frames = shown.split("sending")
    assert len(frames) > 2
    assert "100%" in frames[-1]
    assert "5,000 recipients, 0 errors" in frames[-1]


def read_all(controller: int) -> str:
    """Until the last who has the terminal closes it, which Linux says by EIO."""
    shown = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:
            part = b""
        if not part:
            return shown.decode()
        shown += part
