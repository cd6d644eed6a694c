"""One port for several hosts, in front of a gateway with its forward proxy."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from expo_gateway.hosts_front import NoHost, address_of, fronting, host_in
from tests.running import gateway

WAIT_S = 10.0


@asynccontextmanager
async def fronted() -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """The front's port, and what trusts the gateway behind it."""
    with gateway("--proxy-port", "0", env={"EXPO_GATEWAY_PROXY__PROVIDERS": "true"}) as (_, ready):
        trust = ssl.create_default_context(cafile=ready["ca"])
        async with fronting(("127.0.0.1", 0), address_of(ready["proxy"].removeprefix("http://"))) as port:
            yield port, trust


async def asked(host: str, path: str, *, method: str = "POST", **options: Any) -> httpx.Response:
    """As a client does for which the network resolves `host` to the front."""
    async with (
        fronted() as (port, trust),
        httpx.AsyncClient(verify=trust, http2=host.startswith("api."), timeout=WAIT_S) as client,
    ):
        request = client.build_request(method, f"https://127.0.0.1:{port}{path}", headers={"host": host}, **options)
        request.extensions["sni_hostname"] = host
        return await client.send(request)


async def test_exp_host_is_the_gateway() -> None:
    answer = await asked("exp.host", "/--/api/v2/push/send", json={"to": "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"})

    assert answer.json()["data"]["status"] == "ok"


async def test_apples_host_is_the_apns_emulator() -> None:
    answer = await asked("api.push.apple.com", f"/3/device/{'0a' * 32}", json={})

    assert (answer.http_version, answer.status_code) == ("HTTP/2", 403)
    assert answer.json()["reason"] == "MissingProviderToken"


async def test_googles_host_is_the_fcm_emulator() -> None:
    answer = await asked("fcm.googleapis.com", "/v1/projects/x/messages:send", json={"message": {}})

    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


async def test_any_other_host_leads_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.RaisesGroup(httpx.ConnectError):
        await asked("example.com", "/", method="GET")

    assert "the proxy does not lead to example.com: HTTP/1.1 403 Forbidden" in caplog.text


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nhost: exp.host\r\n\r\n", b""])
async def test_who_does_not_speak_tls_is_let_go(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with fronting(("127.0.0.1", 0), ("127.0.0.1", 9)) as port, asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        writer.write_eof()
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()

    assert "a connection was refused" in caplog.text


def greeting(host: str | None) -> bytes:
    """A ClientHello."""
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_the_host_is_read_from_the_greeting() -> None:
    assert host_in(greeting("api.push.apple.com")) == "api.push.apple.com"


def test_a_part_of_a_greeting_is_not_enough() -> None:
    whole = greeting("exp.host")

    assert [host_in(whole[:size_bytes]) for size_bytes in (0, 1, 5, len(whole) - 1)] == [None] * 4


def test_a_greeting_without_a_host_leads_nowhere() -> None:
    with pytest.raises(NoHost, match="without a host name"):
        host_in(greeting(None))


@pytest.mark.parametrize("text", ["gateway", "gateway:", ":80", "gateway:http"])
def test_an_address_has_host_and_port(text: str) -> None:
    assert address_of("[::1]:443") == ("::1", 443)
    with pytest.raises(ValueError, match="wanted host:port"):
        address_of(text)
