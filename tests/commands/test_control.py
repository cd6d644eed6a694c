"""`expo-gateway control`: the control API from a shell."""

import json
import subprocess
import uuid

import httpx
import pytest

from tests.conftest import Server
from tests.running import command

PUSH_TOKEN = "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"


@pytest.fixture
def run_url(server: Server) -> str:
    url = f"{server.url}/r/{uuid.uuid4().hex}"
    httpx.post(f"{url}/--/api/v2/push/send", json={"to": PUSH_TOKEN, "title": "Hello"}).raise_for_status()
    return url


def control(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return command("control", *arguments, env={"EXPO_BASE_URL": url})


def test_deliveries_are_waited_for_listed_and_shown(run_url: str) -> None:
    waited = control(run_url, "wait", "state=delivered", "--timeout", "20", "--json")
    listed = control(run_url, "list", "title=Hello")

    (delivery,) = json.loads(waited.stdout)["deliveries"]
    assert listed.stdout.split("\t")[0] == delivery["id"]
    assert listed.stdout.endswith("Hello\n")
    assert PUSH_TOKEN not in listed.stdout
    assert json.loads(control(run_url, "show", delivery["id"]).stdout)["message"]["title"] == "Hello"


def test_a_wait_in_vain_says_who_came_nearest(run_url: str) -> None:
    done = control(run_url, "wait", "title=Hallo", "--timeout", "0.1")

    assert done.returncode == 1
    assert 'title is "Hello", wanted "Hallo"' in done.stderr


def test_faults_are_added_listed_and_removed(run_url: str) -> None:
    added = control(run_url, "faults", "add", '{"id": "mine", "act": {"type": "hang"}}')

    assert added.stdout == "mine\n"
    assert control(run_url, "faults", "list").stdout == "mine\thang\t{}\t0/0\n"
    assert control(run_url, "faults", "remove", "mine").returncode == 0
    assert json.loads(control(run_url, "faults", "remove", "--all", "--json").stdout) == {"deleted": 0}


def test_the_clock_is_moved(run_url: str) -> None:
    assert control(run_url, "clock", "freeze", "2026-01-06T00:00:00Z").stdout == "2026-01-06T00:00:00.000Z (frozen)\n"
    assert control(run_url, "clock", "advance", "60").stdout == "2026-01-06T00:01:00.000Z (frozen)\n"
    assert json.loads(control(run_url, "clock", "set", "1767657600", "--json").stdout)["now_at"] == 1767657600.0
    assert "frozen" not in control(run_url, "clock", "resume").stdout


def test_runs_are_listed_and_deleted(server: Server, run_url: str) -> None:
    name = run_url.rpartition("/")[2]

    assert f"{name}\t{run_url}\t1\t" in control(server.url, "runs", "list").stdout
    assert control(server.url, "runs", "delete", name).returncode == 0
    assert name not in control(server.url, "runs", "list").stdout


def test_anything_else_can_be_asked(run_url: str) -> None:
    made = json.loads(control(run_url, "ask", "devices", "--body", '{"platform": "ios"}').stdout)
    token = made["push_token"]

    assert json.loads(control(run_url, "ask", "devices", "platform=ios", f"push_token={token}").stdout)["devices"] == [
        made
    ]
    assert json.loads(control(run_url, "ask", f"/devices/{token}/unregister", "-X", "post").stdout)["unregistered_at"]
    assert json.loads(control(run_url, "ask", f"devices/{token}", "-X", "DELETE").stdout) == {"deleted": 1}
    assert json.loads(control(run_url, "ask", "idle/wait", "timeout_s=20").stdout)["deliveries"]["delivered"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("list", "title"), 2, "NAME=VALUE"),
        (("list", "titel=x"), 1, "did you mean title?"),
        (("show", "nothing"), 1, "no such delivery"),
        (("faults", "add", "{"), 2, "JSON"),
        (("faults", "add", "{}"), 1, "act"),
        (("faults", "remove"), 2, "--all"),
        (("ask", "nothing"), 1, "there is nothing here"),
        (("ask", "counts", "-X", "PATCH"), 2, "--method"),
    ],
)
def test_what_is_wrong_is_said(server: Server, arguments: tuple[str, ...], code: int, text: str) -> None:
    done = control(server.url, *arguments)

    assert (done.returncode, text in done.stderr) == (code, True), done.stderr
