"""FcmProvider on the wire, against a server that can misbehave."""

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from expo_gateway.protocol.fcm import MAX_PAYLOAD_BYTES, FcmRequest
from expo_gateway.protocol.receipt import ReceiptError
from expo_gateway.providers.base import Accepted, Provider, Rejected, Uncertain, Unsent
from expo_gateway.providers.fcm import FcmProvider
from tests.providers.scripted_fcm import (
    DEVICE_TOKEN,
    NAME,
    PROJECT,
    REQUEST,
    Clock,
    ScriptedFcm,
    cut,
    cut_answer,
    error_json,
    private_key_pem,
    provider_at,
    reply,
    service_account,
)

PAGE = b"<!DOCTYPE html><title>Error 502 (Server Error)!!1</title>"


# What goes out, and what comes of it.


async def test_an_accepted_push_returns_its_message_name(provider: FcmProvider) -> None:
    assert await provider.send(REQUEST) == Accepted(provider_id=NAME)


async def test_the_request_arrives_as_it_stands(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    await provider.send(REQUEST)

    assert fcm.paths == [f"/v1/projects/{PROJECT}/messages:send"]
    assert fcm.bearers == ["ya29.1"]
    assert fcm.bodies == [
        {
            "message": {
                "token": DEVICE_TOKEN,
                "notification": REQUEST.notification,
                "data": REQUEST.data,
                "android": REQUEST.android,
            },
            "validate_only": False,
        }
    ]


async def test_it_is_a_provider(provider: FcmProvider) -> None:
    typed: Provider[FcmRequest] = provider

    assert typed.emulated


async def test_a_payload_over_the_limit_is_not_sent(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    outcome = await provider.send(of_size(MAX_PAYLOAD_BYTES + 1))

    assert isinstance(outcome, Rejected)
    assert (outcome.status, outcome.reason) == (400, "MessageTooBig")
    assert outcome.receipt.error is ReceiptError.MESSAGE_TOO_BIG
    assert outcome.backoff is None
    assert not fcm.bodies
    assert not fcm.token_forms


async def test_a_payload_at_the_limit_is_sent(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    assert isinstance(await provider.send(of_size(MAX_PAYLOAD_BYTES)), Accepted)


def of_size(size_bytes: int) -> FcmRequest:
    return FcmRequest(device_token=DEVICE_TOKEN, notification=None, data={"body": "x" * (size_bytes - 4)}, android={})


async def test_a_text_that_is_not_unicode_is_our_error_and_raises_nothing(
    fcm: ScriptedFcm, provider: FcmProvider, caplog: pytest.LogCaptureFixture
) -> None:
    spoiled = FcmRequest(device_token="t" * 20 + "\ud800", notification=None, data={"body": "{}"}, android={})

    outcome = await provider.send(spoiled)

    assert isinstance(outcome, Rejected)
    assert outcome.receipt.error is ReceiptError.EXPO_ERROR
    assert outcome.backoff is None
    assert not fcm.bodies
    assert "t" * 20 not in caplog.text


# No answer.


async def test_a_refused_connection_leaves_the_push_unsent(fcm: ScriptedFcm, clock: Clock) -> None:
    account = service_account(f"{fcm.url}/token")
    async with provider_at("http://127.0.0.1:1", clock=clock, service_account=account) as provider:
        outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Unsent)
    assert outcome.receipt.error is ReceiptError.PROVIDER_ERROR
    assert (outcome.backoff.first_s, outcome.backoff.factor, outcome.backoff.cap_s) == (10.0, 2.0, 600.0)


async def test_a_server_without_tls_leaves_the_push_unsent(fcm: ScriptedFcm, clock: Clock) -> None:
    account = service_account(f"{fcm.url}/token")
    url = fcm.url.replace("http:", "https:")
    async with provider_at(url, clock=clock, service_account=account) as provider:
        assert isinstance(await provider.send(REQUEST), Unsent)

    assert not fcm.bodies


async def test_a_connection_that_is_not_made_in_time_leaves_the_push_unsent(fcm: ScriptedFcm, clock: Clock) -> None:
    """The server accepts TCP and never says a word of TLS."""
    account = service_account(f"{fcm.url}/token")
    async with silent_server() as port:
        url = f"https://127.0.0.1:{port}"
        async with provider_at(url, clock=clock, service_account=account, connect_timeout_s=0.1) as provider:
            assert isinstance(await provider.send(REQUEST), Unsent)


async def test_a_name_that_is_not_known_leaves_the_push_unsent(
    fcm: ScriptedFcm, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    account = service_account(f"{fcm.url}/token")
    async with provider_at("http://fcm.test", clock=clock, service_account=account) as provider:
        assert isinstance(await provider.send(REQUEST), Unsent)


async def test_a_name_that_is_not_found_in_time_leaves_the_push_unsent(
    fcm: ScriptedFcm, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", HangingLookUp())
    settings = {"service_account": service_account(f"{fcm.url}/token"), "connect_timeout_s": 0.1}
    async with provider_at("http://fcm.test", clock=clock, **settings) as provider:
        assert isinstance(await provider.send(REQUEST), Unsent)


async def test_a_connection_that_is_cut_after_the_request_is_uncertain(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.script.append(cut)

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Uncertain)
    assert outcome.receipt.error is ReceiptError.PROVIDER_ERROR
    assert len(fcm.bodies) == 1


async def test_a_kept_connection_that_is_cut_is_uncertain_too_and_not_tried_again(
    fcm: ScriptedFcm, provider: FcmProvider
) -> None:
    await provider.send(REQUEST)
    fcm.script.append(cut)

    assert isinstance(await provider.send(REQUEST), Uncertain)
    assert len(fcm.bodies) == 2


async def test_an_answer_that_does_not_come_is_uncertain(fcm: ScriptedFcm, clock: Clock) -> None:
    fcm.script.append(fcm.hold)
    async with provider_at(fcm.url, clock=clock, request_timeout_s=0.2) as provider:
        assert isinstance(await provider.send(REQUEST), Uncertain)


async def test_an_answer_that_trickles_is_uncertain(fcm: ScriptedFcm, clock: Clock) -> None:
    fcm.script.append(trickle(503))
    limits = {"request_timeout_s": 0.2, "connect_timeout_s": 0.1}
    async with asyncio.timeout(5), provider_at(fcm.url, clock=clock, **limits) as provider:
        assert isinstance(await provider.send(REQUEST), Uncertain)


def trickle(status: int) -> Callable[[web.Request], Any]:
    async def act(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    return act


async def test_a_200_that_breaks_off_is_accepted(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.script.append(cut_answer(200))

    assert await provider.send(REQUEST) == Accepted()


@pytest.mark.parametrize(
    "spoilt", [b"content-length: 13, 14", b"transfer-encoding: gzip, chunked", b"content-length: +13"]
)
async def test_a_200_that_is_framed_oddly_is_accepted_and_not_sent_again(clock: Clock, spoilt: bytes) -> None:
    answers = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/token" not in head:
            answers += 1
            writer.write(b'HTTP/1.1 200 OK\r\n%b\r\n\r\n{"name": "n"}' % spoilt)
        else:
            granted = b'{"access_token": "t", "expires_in": 3599}'
            typed = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            writer.write(typed % (len(granted), granted))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with provider_at(url, clock=clock) as provider:
            outcome = await provider.send(REQUEST)

    assert outcome == Accepted()
    assert answers == 1


async def test_a_refusal_that_breaks_off_is_not_final(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.script.append(cut_answer(404))

    assert isinstance(await provider.send(REQUEST), Unsent)


@pytest.mark.parametrize("body", [b" " * 5_000_000, gzip.compress(b" " * 50_000_000)])
async def test_of_an_endless_answer_only_the_beginning_is_read(
    fcm: ScriptedFcm, provider: FcmProvider, body: bytes
) -> None:
    packed = {"Content-Encoding": "gzip"} if body[:1] != b" " else {}
    fcm.script.append(reply(503, body, packed))

    assert isinstance(await provider.send(REQUEST), Rejected)
    assert isinstance(await provider.send(REQUEST), Accepted)


async def test_a_redirect_is_not_followed(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.script.append(reply(307, b"", {"Location": f"/v1/projects/{PROJECT}/messages:send"}))

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert outcome.backoff is not None
    assert len(fcm.bodies) == 1


class HangingLookUp:
    """In the place of the loop's getaddrinfo: never finds anything."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, *_: object, **__: object) -> None:
        self.begun.set()
        await asyncio.Event().wait()


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    writers = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()


# Waiting, cancelling, closing.


async def test_a_push_that_finds_no_free_connection_in_time_is_unsent(fcm: ScriptedFcm, clock: Clock) -> None:
    fcm.script.append(trickle(503))
    async with provider_at(fcm.url, clock=clock, max_connections=1, request_timeout_s=0.1) as provider:
        first = asyncio.create_task(provider.send(REQUEST))
        await fcm.until(lambda: len(fcm.bodies) == 1)

        assert isinstance(await provider.send(REQUEST), Unsent)
        assert not first.done()

        await provider.close()
        assert isinstance(await first, Uncertain)


async def test_a_cancelled_push_gives_its_connection_back(fcm: ScriptedFcm, clock: Clock) -> None:
    fcm.script.append(fcm.hold)
    async with provider_at(fcm.url, clock=clock, max_connections=1) as provider:
        sending = asyncio.create_task(provider.send(REQUEST))
        await fcm.until(lambda: fcm.held == 1)

        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

        await fcm.until(lambda: fcm.held == 0)
        assert isinstance(await provider.send(REQUEST), Accepted)


async def test_closing_makes_what_is_in_flight_uncertain_and_what_waits_unsent(fcm: ScriptedFcm, clock: Clock) -> None:
    fcm.script.append(fcm.hold)
    async with provider_at(fcm.url, clock=clock, max_connections=1) as provider:
        in_flight = asyncio.create_task(provider.send(REQUEST))
        await fcm.until(lambda: fcm.held == 1)
        waiting = asyncio.create_task(provider.send(REQUEST))

        await provider.close()

        assert isinstance(await in_flight, Uncertain)
        assert isinstance(await waiting, Unsent)


async def test_closing_while_a_token_is_fetched_leaves_the_push_unsent(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.token_script.append(fcm.hold)
    sending = asyncio.create_task(provider.send(REQUEST))
    await fcm.until(lambda: fcm.held == 1)

    await provider.close()

    assert isinstance(await sending, Unsent)


async def test_closing_while_connecting_leaves_the_push_unsent(fcm: ScriptedFcm, clock: Clock) -> None:
    account = service_account(f"{fcm.url}/token")
    async with silent_server() as port:
        async with provider_at(f"https://127.0.0.1:{port}", clock=clock, service_account=account) as provider:
            sending = asyncio.create_task(provider.send(REQUEST))
            await fcm.until(lambda: len(fcm.token_forms) == 1)
            await provider.close()

        assert isinstance(await sending, Unsent)


async def test_closing_while_a_name_is_looked_up_leaves_the_push_unsent(
    fcm: ScriptedFcm, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing an aiohttp session cancels its look-ups and whoever waits for one; nobody cancelled the push."""
    look_up = HangingLookUp()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    account = service_account(f"{fcm.url}/token")
    async with provider_at("http://fcm.test", clock=clock, service_account=account) as provider:
        sending = asyncio.create_task(provider.send(REQUEST))
        await look_up.begun.wait()

        await provider.close()

        assert isinstance(await sending, Unsent)


async def test_after_close_a_push_is_unsent(provider: FcmProvider) -> None:
    await provider.send(REQUEST)
    await provider.close()
    await provider.close()

    assert isinstance(await provider.send(REQUEST), Unsent)


# Secrets.


async def test_neither_tokens_nor_the_key_are_logged_or_shown(
    fcm: ScriptedFcm, provider: FcmProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    expired = reply(401, error_json(401, "Request had invalid", info="ACCESS_TOKEN_EXPIRED"))
    fcm.script.extend([expired, reply(404, error_json(404, "gone", code="UNREGISTERED")), cut, reply(502, PAGE)])
    for _ in range(4):
        await provider.send(REQUEST)

    shown = caplog.text + repr(provider) + repr(vars(provider)) + repr(vars(provider._tokens))

    assert "dGVz…qx" in shown
    for secret in (DEVICE_TOKEN, *fcm.bearers, *private_key_pem().splitlines()[1:-1]):
        assert secret not in shown
