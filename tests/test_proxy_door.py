import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from expo_gateway.errors import CannotStart
from expo_gateway.front import Ready
from expo_gateway.listener import bind, close_all
from expo_gateway.proxy_door import is_expos
from expo_gateway.serve import print_screen
from tests.running import gateway

MESSAGE = {"to": "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]", "title": "Hello"}
SEND = "/--/api/v2/push/send"


@pytest.mark.parametrize(
    ("target", "expos"),
    [
        (b"http://exp.host/--/api/v2/push/send", True),
        (b"HTTPS://EXP.HOST:443/x", True),
        (b"http://exp.host:80", True),
        (b"http://exp.host?x", True),
        (b"http://exp.host.evil.example/", False),
        (b"http://exp.host@evil.example/", False),
        (b"http://exp.host:8080/", False),
        (b"http://example.com/http://exp.host/", False),
        (b"/--/api/v2/push/send", False),
        (b"", False),
    ],
)
def test_whole_urls_are_expos_or_not(target: bytes, expos: bool) -> None:
    assert is_expos(target) is expos


def test_a_taken_port_says_which_option_chooses_another() -> None:
    taken = bind("127.0.0.1", 0)
    taken[0].listen()
    try:
        with pytest.raises(CannotStart, match="choose another with --proxy-port"):
            bind("127.0.0.1", taken[0].getsockname()[1], option="--proxy-port")
    finally:
        close_all(taken)


def test_exp_host_is_the_gateway_over_http2_and_plain_and_nothing_else_is_there() -> None:
    with gateway("--proxy-port", "0") as (_, ready):
        assert list(ready) == ["event", "url", "apns", "fcm", "ca", "pid", "proxy"]
        trust = ssl.create_default_context(cafile=ready["ca"])
        with httpx.Client(proxy=ready["proxy"], verify=trust, http2=True) as client:
            tunnelled = client.post(f"https://exp.host{SEND}", json=MESSAGE)
            plain = client.post(f"http://exp.host{SEND}", json=MESSAGE)
            with pytest.raises(httpx.ProxyError, match="403"):
                client.post(f"https://example.com{SEND}", json=MESSAGE)
            with pytest.raises(httpx.ProxyError, match="403"):
                client.get("https://fcm.googleapis.com/")
            # On the connection that exp.host was just served on.
            foreign = client.post(f"http://example.com{SEND}", json=MESSAGE)
        direct = httpx.post(ready["proxy"] + SEND, json=MESSAGE)

    assert [answer.json()["data"]["status"] for answer in (tunnelled, plain)] == ["ok", "ok"]
    assert tunnelled.http_version == "HTTP/2"
    assert (foreign.status_code, direct.status_code) == (403, 403)
    assert "does not lead to http://example.com/--/api" in foreign.text


def test_the_tunnel_has_our_certificate_whatever_the_gateway_itself_serves() -> None:
    with gateway("--proxy-port", "0", "--tls") as (_, ready):
        trust = ssl.create_default_context(cafile=ready["ca"])
        with httpx.Client(proxy=ready["proxy"], verify=trust) as client:
            answer = client.get("https://exp.host/health/live")

    assert answer.status_code == 200


def test_the_providers_hosts_are_the_emulators_when_the_operator_wants_that() -> None:
    with gateway("--proxy-port", "0", env={"EXPO_GATEWAY_PROXY__PROVIDERS": "true"}) as (_, ready):
        trust = ssl.create_default_context(cafile=ready["ca"])
        with httpx.Client(proxy=ready["proxy"], verify=trust, http1=False, http2=True) as client:
            pushed = [
                client.post(f"https://{host}/3/device/{'aa' * 32}", json={"aps": {}})
                for host in ("api.push.apple.com:2197", "api.sandbox.push.apple.com")
            ]
            sent = client.post("https://fcm.googleapis.com/v1/projects/p/messages:send", json={})
            token = client.post("https://oauth2.googleapis.com/token", data={"grant_type": "nonsense"})

    assert [answer.json() for answer in pushed] == [{"reason": "MissingProviderToken"}] * 2
    assert sent.json()["error"]["status"] == "UNAUTHENTICATED"
    assert token.json()["error"] == "unsupported_grant_type"


def test_at_a_stop_a_request_inside_a_tunnel_is_answered() -> None:
    with gateway("--proxy-port", "0") as (process, ready):
        trust = ssl.create_default_context(cafile=ready["ca"])

        with httpx.Client(proxy=ready["proxy"], verify=trust) as client:

            def body() -> Iterator[bytes]:
                yield b'{"to":"ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]",'
                process.terminate()
                assert process.stderr is not None
                while "stopping" not in process.stderr.readline():
                    pass
                yield b'"title":"Hello"}'

            answer = client.post(f"https://exp.host{SEND}", content=body())
        process.wait(timeout=15)

    assert answer.json()["data"]["status"] == "ok"
    assert process.returncode == 0


def test_the_screen_says_what_a_client_needs_in_its_environment(capsys: pytest.CaptureFixture[str]) -> None:
    ready = Ready(
        url="http://127.0.0.1:8080",
        apns="https://127.0.0.1:1",
        fcm="http://127.0.0.1:2",
        ca=Path("/data/tls/ca.pem"),
        pid=1,
        data=None,
    )

    print_screen(ready)
    without = capsys.readouterr().out
    print_screen(replace(ready, proxy="http://127.0.0.1:8081"))
    screen = capsys.readouterr().out

    assert "PROXY" not in without
    assert "HTTPS_PROXY=http://127.0.0.1:8081 " in screen
    assert "NODE_EXTRA_CA_CERTS=/data/tls/ca.pem\n" in screen
    assert "REQUESTS_CA_BUNDLE=/data/tls/ca.pem\n" in screen
