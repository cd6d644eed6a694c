"""The queue and the connections behind it."""

import asyncio
import logging
from dataclasses import replace

import pytest

from expo_gateway.emulators.faults import Disconnect, Hang, Slow
from expo_gateway.providers.apns import ApnsLimits
from expo_gateway.providers.base import Accepted, Uncertain, Unsent
from tests.providers.apns_scene import HASTY, Scene, connections_of, new_request, pool_of, send_all, until
from tests.providers.scripted_apns import Received, accept, ignore


async def test_a_pool_connects_when_it_is_needed_and_to_the_environment_that_is_needed(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port)
    assert not server.lines

    await provider.send(new_request(sandbox=True))

    assert [request.headers[":authority"] for request in server.requests] == ["api.sandbox.push.apple.com"]
    assert len(server.lines) == 1


async def test_a_large_burst_opens_no_more_connections_than_allowed(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=3)

    outcomes = await send_all(provider, [new_request() for _ in range(1500)])

    assert outcomes == [Accepted()] * 1500
    assert emulator.connection_count == 3


async def test_connections_that_the_pool_closes_itself_are_no_news(
    apns_scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    provider = apns_scene.provider((await apns_scene.emulator()).port)
    await provider.send(new_request())

    with caplog.at_level(logging.INFO):
        await provider.close()

    assert caplog.messages == []


async def test_pushes_go_out_in_the_order_in_which_they_came(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, max_connections=1)
    requests = [new_request() for _ in range(500)]

    await send_all(provider, requests)

    assert [received.headers["apns-id"] for received in server.requests] == [request.apns_id for request in requests]


async def test_a_push_that_does_not_fit_is_not_overtaken_by_small_ones(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator(real_window=True)
    provider = apns_scene.provider(emulator.port, max_connections=1)
    large = b'{"a":"' + b"x" * 4000 + b'"}'
    requests = [new_request(payload=large if number % 2 else b"{}") for number in range(200)]

    assert await send_all(provider, requests) == [Accepted()] * 200

    received = [dict(capture.headers)["apns-id"] for capture in apns_scene.inbox]
    assert received == [request.apns_id for request in requests]


async def test_a_push_whose_sender_was_cancelled_in_the_queue_is_not_sent(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(ignore)
    provider = apns_scene.provider(server.port, max_connections=1)
    first, second, third = (asyncio.create_task(provider.send(new_request())) for _ in range(3))
    await server.until(lambda: len(server.requests) == 1)

    second.cancel()
    await asyncio.wait({second})
    assert len(pool_of(provider)._queue) == 1
    server.script = accept
    accept(server.requests[0])

    assert [await first, await third] == [Accepted()] * 2
    assert len(server.requests) == 2


async def test_a_first_push_that_hangs_does_not_hold_up_the_others(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, limits=replace(ApnsLimits(), patience_s=0.05), max_connections=2)
    stuck = new_request()
    apns_scene.fault(Hang(), device_token=stuck.device_token)
    hanging = asyncio.create_task(provider.send(stuck))

    outcomes = await send_all(provider, [new_request() for _ in range(20)])

    assert outcomes == [Accepted()] * 20
    assert not hanging.done()
    hanging.cancel()


async def test_a_push_that_finds_no_room_in_time_is_unsent(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(
        emulator.port, limits=replace(HASTY, request_timeout_s=30.0, queue_timeout_s=0.05), max_connections=1
    )
    apns_scene.fault(Slow(0.2))

    first, second = await send_all(provider, [new_request(), new_request()])

    assert first == Accepted()
    assert isinstance(second, Unsent)
    assert second.why == "no room on any connection for 0.05 s"


async def test_while_the_circuit_is_open_nothing_is_dialled_and_the_cause_is_told(
    apns_scene: Scene, unused_tcp_port: int
) -> None:
    provider = apns_scene.provider(unused_tcp_port)
    await provider.send(new_request())
    emulator = await apns_scene.emulator()
    circuit = pool_of(provider)._circuit

    outcome = await provider.send(new_request())

    assert isinstance(outcome, Unsent)
    assert "ConnectionRefusedError" in outcome.why
    assert circuit.failures == 1
    assert emulator.connection_count == 0


async def test_a_peer_that_comes_back_is_found_after_the_pause(apns_scene: Scene, unused_tcp_port: int) -> None:
    provider = apns_scene.provider(unused_tcp_port, limits=replace(ApnsLimits(), first_pause_s=0.02))
    assert isinstance(await provider.send(new_request()), Unsent)
    emulator = await apns_scene.emulator_at(unused_tcp_port)
    await until(lambda: not pool_of(provider)._circuit.is_open(now=asyncio.get_running_loop().time()))

    assert await send_all(provider, [new_request() for _ in range(20)]) == [Accepted()] * 20
    assert emulator.connection_count == 1
    assert pool_of(provider)._circuit.failures == 0


async def test_a_peer_that_hangs_up_on_every_first_push_is_not_called_for_each_push(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(lambda request: request.line.transport.abort())
    provider = apns_scene.provider(server.port, max_connections=1)

    outcomes = await send_all(provider, [new_request() for _ in range(50)])

    assert isinstance(outcomes[0], Uncertain)
    assert {type(outcome) for outcome in outcomes[1:]} == {Unsent}
    assert len(server.lines) == 1


async def test_a_connection_that_dies_after_use_is_replaced_at_once(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)
    await provider.send(new_request())
    apns_scene.fault(Disconnect())

    assert isinstance(await provider.send(new_request()), Uncertain)
    assert await provider.send(new_request()) == Accepted()


async def test_a_certificate_that_is_not_trusted_leaves_the_push_unsent(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, authority="gateway.example")

    outcome = await provider.send(new_request())

    assert isinstance(outcome, Unsent)
    assert "SSLCertVerificationError" in outcome.why


async def test_a_peer_that_does_not_agree_on_http2_leaves_the_push_unsent(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept, alpn_protocols=("http/1.1",))
    provider = apns_scene.provider(server.port)

    outcome = await provider.send(new_request())

    assert isinstance(outcome, Unsent)
    assert "wanted 'h2'" in outcome.why
    assert pool_of(provider)._circuit.failures == 1


async def test_two_pushes_of_one_device_at_once_do_not_meet(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        if request.number == 3:
            request.answer(400, b'{"reason":"BadCollapseId"}')
        else:
            accept(request)

    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, max_connections=1)
    twin = new_request()

    outcomes = await send_all(provider, [twin, twin, twin, twin])

    assert [outcome == Accepted() for outcome in outcomes] == [True, True, False, True]


@pytest.mark.parametrize("count", [1, 30])
async def test_a_restart_of_the_peer_is_survived(apns_scene: Scene, count: int) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    await send_all(provider, [new_request() for _ in range(count)])
    port = emulator.port

    await emulator.close()
    await until(lambda: not connections_of(provider))
    await apns_scene.emulator_at(port)

    assert await send_all(provider, [new_request() for _ in range(count)]) == [Accepted()] * count
