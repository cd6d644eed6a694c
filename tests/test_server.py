"""What only a process shows: its ready line, its signals, its ports, what it leaves behind."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from expo_gateway.listener import bind, serving
from expo_gateway.settings import Server
from tests.running import Process, gateway
from tests.served import Played, ask

END_S = 15.0
MESSAGE = {"to": "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]", "title": "Hello"}


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    path = tmp_path / "temp"
    path.mkdir()
    return path


@pytest.fixture
def running(temp: Path) -> Iterator[tuple[Process, dict[str, Any]]]:
    with gateway(env={"TMPDIR": str(temp)}) as started:
        yield started


def send(url: str, **options: Any) -> str:
    """A ticket id."""
    answer = httpx.post(f"{url}/--/api/v2/push/send", json=MESSAGE, **options)
    return str(answer.json()["data"]["id"])


def test_the_ready_line_has_the_promised_keys_and_the_first_request_is_served(
    running: tuple[Process, dict[str, Any]],
) -> None:
    process, ready = running

    assert list(ready) == ["event", "url", "apns", "fcm", "ca", "pid"]
    assert (ready["event"], ready["pid"]) == ("ready", process.pid)
    assert Path(ready["ca"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert httpx.get(ready["url"] + "/health/live").status_code == 200
    assert send(ready["url"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_the_throwaway_goes(
    running: tuple[Process, dict[str, Any]], temp: Path, number: signal.Signals
) -> None:
    process, ready = running
    send(ready["url"])

    process.send_signal(number)
    _, logged = process.communicate(timeout=END_S)

    assert process.returncode == 0
    assert "Traceback" not in logged
    assert not list(temp.iterdir())


def test_a_second_signal_ends_it_at_once(running: tuple[Process, dict[str, Any]]) -> None:
    process, ready = running
    port = int(ready["url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /--/api/v2/push/send HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n[")
        httpx.get(ready["url"] + "/health/live")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "stopping" in process.stderr.readline()

        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=2) == 128 + signal.SIGTERM


def test_with_data_the_state_is_there_after_a_restart_and_nobody_else_gets_in(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with gateway("--data", str(data)) as (process, ready):
        send(ready["url"])
        with pytest.raises(AssertionError, match="is in use by another expo-gateway"), gateway("--data", str(data)):
            pass
        process.kill()
        process.wait(timeout=END_S)
    database = (data / "gateway.db").stat().st_ino

    with gateway("--data", str(data)) as (_, ready):
        assert send(ready["url"])

    assert (data / "gateway.db").stat().st_ino == database
    assert data.stat().st_mode & 0o777 == 0o700


def test_with_tls_it_serves_http2_under_the_emulators_authority() -> None:
    with gateway("--tls") as (_, ready):
        trust = ssl.create_default_context(cafile=ready["ca"])
        with httpx.Client(http2=True, verify=trust) as client:
            answer = client.get(ready["url"] + "/health/live")

    assert ready["url"].startswith("https://127.0.0.1:")
    assert (answer.status_code, answer.http_version) == (200, "HTTP/2")


def test_logs_go_to_stderr_and_stdout_has_one_line(running: tuple[Process, dict[str, Any]]) -> None:
    process, ready = running
    send(ready["url"])

    os.kill(ready["pid"], signal.SIGTERM)
    said, logged = process.communicate(timeout=END_S)

    assert said == ""
    assert '"event": "stopping' in logged


async def test_serving_ends_when_what_was_under_way_is_answered() -> None:
    app, sockets = Played(), bind("127.0.0.1", 0)
    async with asyncio.timeout(END_S), serving(app, sockets=sockets, tls=None, settings=Server()):
        asked = asyncio.create_task(ask(sockets[0].getsockname()[1], b"/held"))
        await app.arrived.wait()
        app.release.set()

    assert (await asked).endswith(b"released")
