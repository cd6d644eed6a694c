"""The APNs provider: what it refuses, repairs, logs, and how it ends."""

import asyncio
import logging

import pytest

from expo_gateway.emulators.faults import Answer, GoAway, Hang, Slow
from expo_gateway.errors import SettingsError
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.receipt import ReceiptError
from expo_gateway.providers.apns import PRODUCTION, SANDBOX, ApnsKey, ApnsProvider, apns_ssl_context
from expo_gateway.providers.base import Accepted, Provider, Rejected, Scope, Uncertain, Unsent
from tests.providers.apns_scene import HASTY, Scene, endpoint, new_request, send_all, until
from tests.providers.scripted_apns import Received, accept


def test_the_endpoints_are_apples() -> None:
    assert (PRODUCTION.host, PRODUCTION.port, PRODUCTION.authority) == ("api.push.apple.com", 443, "api.push.apple.com")
    assert (SANDBOX.host, SANDBOX.port) == ("api.sandbox.push.apple.com", 443)


async def test_a_key_that_is_none_is_refused_when_the_provider_is_made() -> None:
    key = ApnsKey(key_id="ABC123DEFG", team_id="DEF123GHIJ", private_key_pem="x")

    with pytest.raises(SettingsError, match="ABC123DEFG"):
        ApnsProvider(key=key, ssl_context=apns_ssl_context(), clock=lambda: 0.0, emulated=False)


async def test_the_dispatcher_can_use_it_as_a_provider(apns_scene: Scene) -> None:
    provider: Provider[ApnsRequest] = apns_scene.provider(1)

    assert provider.emulated


async def test_a_push_arrives_with_its_headers(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    request = new_request(collapse_id="one", priority=5, push_type="background", expiration=7)

    assert await provider.send(request) == Accepted()

    [capture] = apns_scene.inbox
    headers = dict(capture.headers)
    assert headers.pop(":authority") == "api.push.apple.com"
    assert headers.pop("authorization") == "bearer"
    assert headers == {
        ":method": "POST",
        ":scheme": "https",
        ":path": f"/3/device/{request.device_token}",
        "apns-id": request.apns_id,
        "apns-topic": request.topic,
        "apns-push-type": "background",
        "apns-priority": "5",
        "apns-expiration": "7",
        "apns-collapse-id": "one",
    }


async def test_an_unregistered_device_is_reported_gone(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    request = new_request()
    apns_scene.devices.enrol(request.device_token, app_id=request.topic)
    apns_scene.devices.unregister(request.device_token, at=1_700_000_000.25)

    outcome = await provider.send(request)

    assert isinstance(outcome, Rejected)
    assert outcome.device_gone
    assert outcome.gone_at == 1_700_000_000.25


async def test_a_payload_that_is_too_large_is_refused_without_a_request(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    largest = b'{"a":"' + b"x" * 4088 + b'"}'

    refused = await provider.send(new_request(payload=largest + b" "))

    assert isinstance(refused, Rejected)
    assert (refused.status, refused.reason) == (413, "PayloadTooLarge")
    assert refused.receipt.error is ReceiptError.MESSAGE_TOO_BIG
    assert not len(apns_scene.inbox)
    assert await provider.send(new_request(payload=largest)) == Accepted()


async def test_a_collapse_id_with_a_line_break_is_refused_without_a_request(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)

    refused = await provider.send(new_request(collapse_id="a\nb"))

    assert isinstance(refused, Rejected)
    assert (refused.status, refused.reason) == (400, "BadCollapseId")
    assert refused.receipt.error is ReceiptError.DEVELOPER_ERROR
    assert not len(apns_scene.inbox)


async def test_an_odd_device_token_is_judged_by_apns(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()

    outcome = await apns_scene.provider(emulator.port).send(new_request(device_token="no/token?"))

    assert isinstance(outcome, Rejected)
    assert outcome.reason == "BadDeviceToken"


async def test_a_clock_that_is_wrong_ends_as_refused_credentials_after_one_new_token(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(lambda request: request.answer(403, b'{"reason":"ExpiredProviderToken"}'))
    provider = apns_scene.provider(server.port)

    outcomes = [await provider.send(new_request()) for _ in range(5)]

    assert {outcome.scope for outcome in outcomes if isinstance(outcome, Rejected)} == {Scope.CREDENTIAL}
    assert len({request.headers["authorization"] for request in server.requests}) == 2


async def test_an_unrelated_key_is_tried_once_more_on_a_new_connection(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        if request.line is server.lines[0]:
            request.answer(403, b'{"reason":"UnrelatedKeyIdInToken"}')
        else:
            accept(request)

    server = await apns_scene.scripted(script)

    assert await apns_scene.provider(server.port).send(new_request()) == Accepted()
    assert len(server.lines) == 2


async def test_a_key_that_is_unrelated_twice_is_refused(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(lambda request: request.answer(403, b'{"reason":"UnrelatedKeyIdInToken"}'))

    outcome = await apns_scene.provider(server.port).send(new_request())

    assert isinstance(outcome, Rejected)
    assert outcome.receipt.error is ReceiptError.INVALID_CREDENTIALS
    assert len(server.lines) == 2


async def test_too_many_token_updates_keep_the_token_and_end_the_connection(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(lambda request: request.answer(429, b'{"reason":"TooManyProviderTokenUpdates"}'))
    provider = apns_scene.provider(server.port)

    first = await provider.send(new_request())
    server.script = accept
    second = await provider.send(new_request())

    assert isinstance(first, Rejected)
    assert second == Accepted()
    assert len(server.lines) == 2
    assert len({request.headers["authorization"] for request in server.requests}) == 1


@pytest.mark.parametrize("reason", ["Shutdown", "IdleTimeout"])
async def test_what_apns_refused_unprocessed_is_sent_again_once(apns_scene: Scene, reason: str) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    apns_scene.fault(Answer(status=503, reason=reason))
    assert await provider.send(new_request()) == Accepted()

    apns_scene.fault(Answer(status=503, reason=reason), times=2)
    outcome = await provider.send(new_request())

    assert isinstance(outcome, Unsent)
    assert outcome.receipt.apns == {"reason": reason, "statusCode": 503}


async def test_an_abrupt_goaway_that_leaves_the_push_out_is_repaired_at_once(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    await provider.send(new_request())
    apns_scene.fault(GoAway(graceful=False))

    assert await provider.send(new_request()) == Accepted()


async def test_closing_makes_what_is_in_flight_uncertain_and_what_waits_unsent(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)
    apns_scene.fault(Hang(), times=None)
    sends = [asyncio.create_task(provider.send(new_request())) for _ in range(3)]
    await until(lambda: len(apns_scene.inbox) == 1)

    await provider.close()

    assert [type(outcome) for outcome in await asyncio.gather(*sends)] == [Uncertain, Unsent, Unsent]
    assert isinstance(await provider.send(new_request()), Unsent)


async def test_closing_while_connecting_leaves_the_push_unsent(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    send = asyncio.create_task(provider.send(new_request()))
    await asyncio.sleep(0)

    await provider.close()

    assert isinstance(await send, Unsent)
    assert not len(apns_scene.inbox)


async def test_closing_twice_is_harmless(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    await provider.send(new_request())

    await provider.close()
    await provider.close()

    await until(lambda: emulator.connection_count == 0)


async def test_closing_does_not_wait_for_a_peer_that_is_gone(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, limits=HASTY)
    await provider.send(new_request())
    server.lines[0].transport.pause_reading()

    async with asyncio.timeout(HASTY.close_timeout_s + 2):
        await provider.close()


async def test_draining_takes_no_more_pushes_and_waits_for_the_others(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    apns_scene.fault(Slow(0.05), times=None)
    sends = [asyncio.create_task(provider.send(new_request())) for _ in range(5)]
    await until(lambda: emulator.connection_count == 1)

    draining = asyncio.create_task(provider.drain(timeout_s=5))
    await asyncio.sleep(0)

    assert isinstance(await provider.send(new_request()), Unsent)
    await draining
    assert [send.result() for send in sends] == [Accepted()] * 5


async def test_draining_ends_in_time(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    apns_scene.fault(Hang())
    send = asyncio.create_task(provider.send(new_request()))
    await until(lambda: len(apns_scene.inbox) == 1)

    await provider.drain(timeout_s=0.05)

    assert isinstance(await send, Uncertain)


async def test_a_mistake_of_our_own_is_uncertain_and_logged(
    apns_scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    monkeypatch.setattr("expo_gateway.providers.apns.outcome_of", lambda reply: 1 / 0)

    assert isinstance(await provider.send(new_request()), Uncertain)
    assert "ZeroDivisionError" in caplog.text


async def test_logs_hold_no_whole_token_and_no_key(apns_scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = await apns_scene.scripted(lambda received: received.line.transport.abort())
    provider = apns_scene.provider(server.port)
    request = new_request()

    await send_all(provider, [request, new_request()])

    assert request.device_token not in caplog.text
    assert apns_scene.key.private_key_pem[40:80] not in caplog.text
    assert "bearer ey" not in caplog.text
    assert server.requests[0].headers["authorization"].removeprefix("bearer ") not in caplog.text


async def test_without_an_endpoint_every_push_is_unsent(apns_scene: Scene, unused_tcp_port: int) -> None:
    provider = ApnsProvider(
        key=apns_scene.key,
        production=endpoint(unused_tcp_port),
        sandbox=endpoint(unused_tcp_port),
        ssl_context=apns_scene.tls.client_context(),
        clock=apns_scene.clock,
        emulated=True,
    )
    apns_scene.stack.push_async_callback(provider.close)

    outcomes = await send_all(provider, [new_request(sandbox=number % 2 == 0) for number in range(100)])

    assert {type(outcome) for outcome in outcomes} == {Unsent}
