"""HTTP/2: over TLS by ALPN, with prior knowledge, and HTTP/1.1 beside; by httpx and curl."""

import asyncio
import gzip
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compat.node_sdk import drive
from tests.conftest import Server
from tests.e2e.wire import GET_RECEIPTS, MESSAGE, SEND, TOKEN, still_serves
from tests.missing import program

HUNDRED = json.dumps([{"to": TOKEN, "body": "x" * 3500}] * 100).encode()


def trusting(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.ca_path))


@pytest.fixture
def h2(tls_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(http2=True, verify=trusting(tls_server), base_url=tls_server.url, timeout=30.0) as opened:
        yield opened


@pytest.fixture
def h2c(server: Server) -> Iterator[httpx.Client]:
    """With prior knowledge: no HTTP/1.1 is offered."""
    with httpx.Client(http1=False, http2=True, base_url=server.url, timeout=30.0) as opened:
        yield opened


@pytest.fixture(params=["h2", "h2c"])
def either(request: pytest.FixtureRequest) -> httpx.Client:
    made: httpx.Client = request.getfixturevalue(request.param)
    return made


@pytest.mark.parametrize("body", [MESSAGE, gzip.compress(MESSAGE), HUNDRED, gzip.compress(HUNDRED)], ids=len)
def test_point_24_batches_are_taken_over_http_2(body: bytes, either: httpx.Client) -> None:
    answer = either.post(SEND, content=body)

    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    assert {ticket["status"] for ticket in answer.json()["data"]} == {"ok"}


def test_a_connection_is_good_after_errors(either: httpx.Client) -> None:
    statuses = [
        either.post(path, content=body).status_code
        for path, body in [(SEND, b"{"), ("/nothing", b"x"), (SEND, b" " * 5 * 1024 * 1024), (SEND, MESSAGE)] * 3
    ]

    assert statuses == [400, 404, 413, 200] * 3


def test_a_connection_serves_more_than_1000_requests(either: httpx.Client) -> None:
    """Hypercorn closes after 1,000 by default, and loses what is in flight."""
    answers = {either.post(GET_RECEIPTS, content=b'{"ids":[]}').status_code for _ in range(1100)}

    assert answers == {200}


async def test_100_streams_at_a_time_are_all_answered(tls_server: Server) -> None:
    verify = trusting(tls_server)
    async with httpx.AsyncClient(http2=True, verify=verify, base_url=tls_server.url, timeout=30.0) as client:
        answers = await asyncio.gather(*(client.post(SEND, content=MESSAGE) for _ in range(100)))

    assert {(answer.http_version, len(answer.json()["data"])) for answer in answers} == {("HTTP/2", 1)}


def test_errors_have_the_recorded_shape(either: httpx.Client) -> None:
    answer = either.post(SEND, content=b"1")

    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json()["errors"][0]["message"] == "Expected object, received number."


def test_http_1_1_is_served_beside_http_2_over_tls(tls_server: Server) -> None:
    with httpx.Client(verify=trusting(tls_server), base_url=tls_server.url, timeout=30.0) as client:
        answer = client.post(SEND, content=MESSAGE)

    assert (answer.http_version, answer.status_code) == ("HTTP/1.1", 200)


def test_a_client_without_the_authority_is_not_fooled(tls_server: Server) -> None:
    with httpx.Client(base_url=tls_server.url) as client, pytest.raises(httpx.ConnectError, match="certificate"):
        client.post(SEND, content=MESSAGE)


def test_plain_http_to_a_tls_port_does_no_harm(tls_server: Server) -> None:
    with (
        httpx.Client(base_url=tls_server.url.replace("https:", "http:")) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post(SEND, content=MESSAGE)

    with httpx.Client(verify=trusting(tls_server), base_url=tls_server.url) as client:
        assert client.post(SEND, content=MESSAGE).status_code == 200
    assert "Traceback" not in tls_server.stderr(), tls_server.stderr()


def test_point_24_the_node_sdk_with_an_agent_that_allows_http_2_is_served(tls_server: Server) -> None:
    """node-fetch, which versions before 5 use, speaks HTTP/1.1 only."""
    (given,) = drive(
        "expo_sdk_7",
        tls_server.url,
        {"call": "send", "messages": [{"to": f"ExponentPushToken[{number:022}]"} for number in range(300)]},
        options={"allowH2": True},
        env={"NODE_EXTRA_CA_CERTS": str(tls_server.ca_path)},
    )

    assert [ticket["status"] for ticket in given["tickets"]] == ["ok"] * 300


# -- curl -------------------------------------------------------------------------------------------------------------


def curl(url: str, body: bytes, tmp_path: Path, *options: str) -> tuple[str, str, object]:
    """(HTTP version, status, JSON) of the answer to a POST."""
    file = tmp_path / "body"
    file.write_bytes(body)
    command = [program("curl"), "--silent", "--show-error", "--max-time", "30", "--noproxy", "*", *options]
    command += ["--header", "content-type: application/json", "--data-binary", f"@{file}"]
    command += ["--write-out", "\n%{http_version} %{http_code}", f"{url}{SEND}"]
    done = subprocess.run(command, capture_output=True, timeout=60.0, check=False)
    assert done.returncode == 0, done.stderr.decode()
    answer, _, told = done.stdout.decode().rpartition("\n")
    version, _, status = told.partition(" ")
    return version, status, json.loads(answer)


@pytest.mark.parametrize("body", [MESSAGE, HUNDRED], ids=len)
@pytest.mark.parametrize(("option", "version"), [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1")])
def test_curl_is_served_in_the_clear(option: str, version: str, body: bytes, server: Server, tmp_path: Path) -> None:
    told, status, answer = curl(server.url, body, tmp_path, option)

    assert (told, status) == (version, "200")
    assert isinstance(answer, dict)
    assert {ticket["status"] for ticket in answer["data"]} == {"ok"}


@pytest.mark.parametrize("body", [MESSAGE, HUNDRED], ids=len)
def test_point_23_curl_that_offers_an_upgrade_to_h2c_keeps_its_body(
    body: bytes, server: Server, tmp_path: Path
) -> None:
    """The server may upgrade or not; uvicorn with httptools loses the body here."""
    _, status, answer = curl(server.url, body, tmp_path, "--http2")

    assert status == "200"
    assert isinstance(answer, dict)
    assert {ticket["status"] for ticket in answer["data"]} == {"ok"}
    still_serves(server)


@pytest.mark.parametrize(("option", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_curl_is_served_over_tls(option: str, version: str, tls_server: Server, tmp_path: Path) -> None:
    told, status, _ = curl(tls_server.url, HUNDRED, tmp_path, option, "--cacert", str(tls_server.ca_path))

    assert (told, status) == (version, "200")
