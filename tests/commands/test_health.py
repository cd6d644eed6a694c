"""`expo-gateway health`: the exit code says whether the gateway is ready."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from expo_gateway.commands.health import own_urls, read_health
from expo_gateway.errors import SettingsError
from expo_gateway.settings import Server
from tests.running import command, gateway

# A proxy that is not there must not be asked.
PROXY = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def port_of(url: str) -> dict[str, str]:
    return PROXY | {"EXPO_GATEWAY_SERVER__PORT": url.rpartition(":")[2]}


@pytest.mark.parametrize("options", [(), ("--tls",)])
def test_a_gateway_that_serves_is_ready_with_tls_and_without(options: tuple[str, ...], tmp_path: Path) -> None:
    with gateway(*options, "--data", str(tmp_path / "data")) as (_, ready):
        done = command("health", env=port_of(ready["url"]))
        with sqlite3.connect(tmp_path / "data" / "gateway.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            troubled = command("health", "--json", env=port_of(ready["url"]))
        other.close()

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{ready['url']} is ready\n", "")
    found = json.loads(troubled.stdout)
    assert (troubled.returncode, found["url"], found["ready"]) == (1, ready["url"], False)
    assert found["checks"]["server"] == "ok"
    assert found["checks"]["store"] != "ok"
    assert found["checks"]["store"] in found["trouble"]


def test_a_url_is_asked_with_verification(tmp_path: Path) -> None:
    with gateway("--tls", "--data", str(tmp_path / "data")) as (_, ready):
        distrusted = command("health", "--url", ready["url"])
        trusted = command("health", "--url", ready["url"], "--ca", ready["ca"])

    assert distrusted.returncode == 1
    assert "its certificate is not trusted" in distrusted.stderr
    assert "--ca FILE" in distrusted.stderr
    assert (trusted.returncode, trusted.stdout) == (0, f"{ready['url']} is ready\n")


@pytest.fixture
def silent() -> Iterator[str]:
    """A port where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_one_that_is_not_there_is_not_ready(silent: str) -> None:
    done = command("health", env=port_of(silent))

    assert (done.returncode, done.stderr) == (1, f"expo-gateway: {silent} is not ready: Connection refused\n")


def test_it_asks_where_the_settings_say_that_it_listens() -> None:
    assert own_urls(Server(host="0.0.0.0", port=9000)) == ["http://127.0.0.1:9000", "https://127.0.0.1:9000"]
    assert own_urls(Server(host="::", port=9000, tls=True)) == ["https://[::1]:9000", "http://[::1]:9000"]
    assert own_urls(Server(host="10.0.0.7"))[0] == "http://10.0.0.7:8080"


def test_any_port_can_not_be_asked() -> None:
    with pytest.raises(SettingsError, match=r"server\.port: got 0"):
        own_urls(Server(port=0))


def test_each_part_that_is_not_ready_is_named() -> None:
    body = b'{"status":"error","checks":{"store":"the disk is full","dispatcher":"ok","server":"it stops"}}'

    assert read_health("http://x", status=503, body=body).trouble == "store: the disk is full; server: it stops"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status":"ok"}', b'{"checks":["ok"]}'])
def test_an_answer_that_is_not_a_gateways_is_not_ready(body: bytes) -> None:
    assert read_health("http://x", status=200, body=body).ready is False
