"""The door itself: the document, what is not there, bodies, and who may come in."""

import json

import httpx
import pytest

from expo_gateway.doors.control.answers import ControlRefused
from expo_gateway.doors.control.guard import Guard, is_loopback
from tests.conftest import StartServer
from tests.contract import CONTROL, DOCUMENT
from tests.doors.control.conftest import CONTRACT, Run

TOKEN = "a-control-token"


def test_the_document_is_served_as_it_is_shipped(run: Run) -> None:
    assert run("GET", "/openapi.json").text == DOCUMENT.read_text(encoding="utf-8")


def test_every_documented_operation_is_there(default: Run) -> None:
    for operation in CONTRACT.operations:
        if not operation.template.startswith(CONTROL):
            continue
        path = operation.template.replace("{", "").replace("}", "")
        answer = default.http.request("TRACE", f"{default.base_url}{path}")

        assert answer.status_code == 405, path
        assert operation.method.upper() in answer.headers["allow"].split(", "), path


def test_what_is_not_there_is_404(run: Run) -> None:
    assert run.http.get(f"{run.url}/nothing").json()["error"]["code"] == "NOT_FOUND"


def test_a_body_must_say_that_it_is_json(run: Run) -> None:
    status, _, _ = run.refusal("POST", "/faults", content=b"{}", headers={"content-type": "text/plain"})

    assert status == 415


def test_a_compressed_body_is_refused(run: Run) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}

    assert run.refusal("POST", "/faults", content=b"{}", headers=headers)[0] == 415


def test_a_body_that_is_no_json_is_refused(run: Run) -> None:
    headers = {"content-type": "application/json"}

    assert run.refusal("POST", "/faults", content=b"{", headers=headers)[0] == 400
    assert run.refusal("POST", "/faults", content=b'"\xff"', headers=headers)[0] == 400
    assert run.refusal("POST", "/faults", content=b"[" * 100_000, headers=headers)[0] == 400


def test_a_body_that_is_too_large_is_refused(run: Run) -> None:
    headers = {"content-type": "application/json"}

    assert run.refusal("POST", "/faults", content=b" " * (16 * 1024 * 1024 + 1), headers=headers)[0] == 413


def test_a_query_where_none_is_wanted_is_refused(run: Run) -> None:
    assert run.refusal("GET", "/clock?at=1")[::2] == (400, "at")
    assert run.refusal("POST", "/faults?x=1", json={"act": {"type": "hang"}})[::2] == (400, "x")


def test_an_unknown_key_is_named_with_the_nearest(run: Run) -> None:
    assert "did you mean seconds?" in run.refusal("POST", "/clock/advance", json={"second": 1})[1]


# -- who may come in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:8080"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_and_foreign_hosts_are_refused(run: Run, headers: dict[str, str]) -> None:
    answer = run("GET", "/counts", headers=headers)

    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "127.0.0.1", "127.1.2.3:80", "[::1]:8080", "localhost."])
def test_loopback_names_are_ours(run: Run, host: str) -> None:
    assert run("GET", "/counts", headers={"host": host}).status_code == 200


def test_our_own_origin_is_let_in(run: Run) -> None:
    origin = str(httpx.URL(run.base_url).copy_with(path="/")).rstrip("/")

    assert run("GET", "/counts", headers={"origin": origin, "sec-fetch-site": "same-origin"}).status_code == 200


def test_a_preflight_is_not_answered(run: Run) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "DELETE"}

    answer = run.http.options(f"{run.url}/faults", headers=headers)

    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", [CONTROL, f"{CONTROL}/counts", f"/r/x{CONTROL}/counts"])
def test_a_websocket_is_refused(run: Run, path: str) -> None:
    headers = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    url = httpx.URL(run.base_url).copy_with(path=path)

    assert run.http.get(url, headers=headers).status_code == 403


def test_elsewhere_the_token_is_wanted(start_server: StartServer) -> None:
    server = start_server("--host", "0.0.0.0", EXPO_GATEWAY_CONTROL__TOKEN=TOKEN)
    url = f"http://127.0.0.1:{server.port}{CONTROL}/counts"

    answers = [
        httpx.get(url, headers=headers)
        for headers in (
            {},
            {"authorization": "Bearer nope"},
            {"authorization": f"Basic {TOKEN}"},
            {"authorization": f"Bearer {TOKEN}", "host": "gateway.test"},
        )
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 200]
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert TOKEN not in json.dumps([answer.text for answer in answers]) + server.stderr()


def test_without_a_token_the_refusal_says_what_to_set() -> None:
    with pytest.raises(ControlRefused, match=r"set control\.token") as refused:
        Guard(is_open=lambda: False).check([(b"host", b"127.0.0.1")])

    assert refused.value.status == 403


def test_the_name_that_it_listens_on_is_ours() -> None:
    guard = Guard(is_open=lambda: True, names=["Gateway.Test"])

    guard.check([(b"host", b"gateway.test:8080")])
    with pytest.raises(ControlRefused):
        guard.check([(b"host", b"other.test:8080")])


def test_two_hosts_are_none() -> None:
    with pytest.raises(ControlRefused):
        Guard(is_open=lambda: True).check([(b"host", b"localhost"), (b"host", b"localhost")])


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("gateway", False)],
)
def test_loopback_is_told(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
