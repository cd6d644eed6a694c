"""A --url with the wrong scheme is told by what the port speaks."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from expo_gateway.cli import main
from expo_gateway.emulators.authority import ensure_certificates
from tests.commands.scripted_expo import scripted, tickets


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    """Shakes hands and closes."""
    context = ensure_certificates(tmp_path / "tls").server_context()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    with connection, context.wrap_socket(connection, server_side=True):
                        pass
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("arguments", [["send", "--to", "a"], ["receipts", "a"]])
def test_http_to_a_port_that_speaks_tls_says_so(
    arguments: list[str], tls_port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--url", f"http://127.0.0.1:{tls_port}"]) == 3

    said = capfd.readouterr()
    assert f"it speaks TLS; give --url https://127.0.0.1:{tls_port}\n" in said.err
    assert "NoAnswer" not in said.out
    assert said.err.count("\n") == 1


def test_https_to_a_port_that_does_not_speak_tls_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with scripted(lambda messages, _: tickets(messages)) as expo:
        url = expo.url.replace("http:", "https:")
        assert main(["send", "--to", "a", "--url", url]) == 3
        assert main(["check", "--offline", "--url", url]) == 1

    said = capfd.readouterr()
    assert f"it doesn't speak TLS; give --url {expo.url}\n" in said.err
    assert f"FAIL  gateway          {url}: it doesn't speak TLS\n" in said.out


def test_check_says_that_a_port_speaks_tls(tls_port: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--offline", "--url", f"http://127.0.0.1:{tls_port}"]) == 1

    assert f"next: give --url https://127.0.0.1:{tls_port}\n" in capfd.readouterr().out
