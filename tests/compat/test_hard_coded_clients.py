"""Clients with https://exp.host written into them, unmodified: through the forward proxy, and by a hosts entry.

A test can't write to /etc/hosts nor take port 443, so each client's own way of looking up names stands in for both.
"""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from exponent_server_sdk import PushClient, PushMessage
from google.oauth2 import service_account
from pyfcm import FCMNotification

from tests.missing import missing, program
from tests.running import gateway

NODE_CLIENTS = Path(__file__).parent / "node" / "expo_sdk_3_10"
TOKEN = "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"
SEND = "https://exp.host/--/api/v2/push/send"
RUN_S = 60.0
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")

Ready = dict[str, Any]


@pytest.fixture(scope="module")
def ready() -> Iterator[Ready]:
    """A gateway with TLS, as for a hosts entry, and a proxy that leads to the providers' emulators too."""
    with gateway("--tls", "--proxy-port", "0", env={"EXPO_GATEWAY_PROXY__PROVIDERS": "true"}) as (process, ready):
        # Nobody reads the log, and a full pipe would stop the gateway.
        threading.Thread(target=lambda: process.stderr and process.stderr.read(), daemon=True).start()
        yield ready


def run(*command: str, **variables: str) -> str:
    """What the program printed."""
    own = {name: value for name, value in os.environ.items() if name not in PROXY_VARIABLES}
    done = subprocess.run(
        command, env=own | variables, capture_output=True, text=True, timeout=RUN_S, check=False, cwd=NODE_CLIENTS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def node(*arguments: str, **variables: str) -> Any:
    """What the script printed, as JSON."""
    found = program("node")
    if not (NODE_CLIENTS / "node_modules").is_dir():
        missing(f"npm ci has not been run in {NODE_CLIENTS}")
    return json.loads(run(found, *arguments, **variables))


def gateway_port(ready: Ready) -> int:
    return int(ready["url"].rpartition(":")[2])


# -- through the forward proxy ----------------------------------------------------------------------------------------


@pytest.fixture
def proxied(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> Ready:
    """The environment of this process is that of a user who read the recipe."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", ready["proxy"])
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ready["ca"])
    return ready


def test_expo_server_sdk_3_10_for_node_through_the_proxy(ready: Ready) -> None:
    printed = node("send_sdk.mjs", TOKEN, HTTPS_PROXY=ready["proxy"], NODE_EXTRA_CA_CERTS=ready["ca"])

    assert printed["ticket"]["status"] == "ok"
    assert printed["receipt"] == {"status": "ok"}


def test_expo_server_sdk_3_10_gets_errors_through_the_proxy(ready: Ready) -> None:
    printed = node("send_sdk.mjs", "nonsense", HTTPS_PROXY=ready["proxy"], NODE_EXTRA_CA_CERTS=ready["ca"])

    assert printed["ticket"]["details"] == {"error": "DeviceNotRegistered", "expoPushToken": "nonsense"}


def test_nodes_fetch_through_the_proxy(ready: Ready) -> None:
    printed = node(
        "--import=./use_env_proxy.mjs",
        "send_fetch.mjs",
        TOKEN,
        HTTPS_PROXY=ready["proxy"],
        NODE_EXTRA_CA_CERTS=ready["ca"],
    )

    assert printed["data"]["status"] == "ok"


@pytest.mark.usefixtures("proxied")
def test_exponent_server_sdk_for_python_through_the_proxy() -> None:
    check_python_sdk()


def test_curl_through_the_proxy(ready: Ready) -> None:
    printed = run(
        *(program("curl"), "--silent", "--show-error", SEND, "--proxy", ready["proxy"], "--cacert", ready["ca"]),
        *("--json", json.dumps({"to": TOKEN, "title": "Hello"})),
    )

    assert json.loads(printed)["data"]["status"] == "ok"


def test_curl_without_our_authority_does_not_trust_us(ready: Ready) -> None:
    with pytest.raises(AssertionError, match="certificate"):
        run(program("curl"), "--silent", "--show-error", SEND, "--proxy", ready["proxy"])


@pytest.mark.usefixtures("proxied")
def test_pyfcm_and_google_auth_through_the_proxy() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = {
        "type": "service_account",
        "project_id": "my-app",
        "private_key_id": "1",
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": "push@my-app.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    scopes = ["https://www.googleapis.com/auth/firebase.messaging"]
    credentials: object = service_account.Credentials.from_service_account_info(account, scopes=scopes)  # type: ignore[no-untyped-call]
    client = FCMNotification(credentials=credentials)

    answer = client.notify(fcm_token="a-device-token", notification_title="Hi", timeout=10)
    client.requests_session.close()

    assert answer["name"].startswith("projects/my-app/messages/")


# -- by a hosts entry -------------------------------------------------------------------------------------------------


def test_expo_server_sdk_3_10_for_node_by_a_hosts_entry(ready: Ready) -> None:
    printed = node(
        "--require=./hosts_entry.cjs",
        "send_sdk.mjs",
        TOKEN,
        GATEWAY_PORT=str(gateway_port(ready)),
        NODE_EXTRA_CA_CERTS=ready["ca"],
    )

    assert printed["receipt"] == {"status": "ok"}


def test_nodes_fetch_by_a_hosts_entry(ready: Ready) -> None:
    printed = node(
        "--require=./hosts_entry.cjs",
        "send_fetch.mjs",
        TOKEN,
        GATEWAY_PORT=str(gateway_port(ready)),
        NODE_EXTRA_CA_CERTS=ready["ca"],
    )

    assert printed["data"]["status"] == "ok"


def test_exponent_server_sdk_for_python_by_a_hosts_entry(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ready["ca"])
    looked_up = []
    resolve = socket.getaddrinfo

    def hosts_entry(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        looked_up.append((host, port))
        return resolve("127.0.0.1", gateway_port(ready), *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hosts_entry)

    check_python_sdk()

    assert set(looked_up) == {("exp.host", 443)}


def test_curl_by_a_hosts_entry(ready: Ready) -> None:
    printed = run(
        *(program("curl"), "--silent", "--show-error", SEND, "--noproxy", "*", "--cacert", ready["ca"]),
        *("--connect-to", f"exp.host:443:127.0.0.1:{gateway_port(ready)}"),
        *("--json", json.dumps({"to": TOKEN, "title": "Hello"})),
    )

    assert json.loads(printed)["data"]["status"] == "ok"


def check_python_sdk() -> None:
    """Unmodified, with its own host: a ticket, and a receipt."""
    client = PushClient()
    [ticket] = client.publish_multiple([PushMessage(to=TOKEN, title="Hello")])
    assert ticket.is_success()
    for _ in range(200):
        receipts = client.check_receipts_multiple([ticket])
        if receipts:
            break
    assert [(receipt.id, receipt.status) for receipt in receipts] == [(ticket.id, "ok")]
