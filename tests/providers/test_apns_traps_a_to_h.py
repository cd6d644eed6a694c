"""The traps of stock aioapns 4.0 (A to H), each against a real server over TLS and HTTP/2."""

import asyncio

import pytest
from h2.errors import ErrorCodes

from expo_gateway.emulators.faults import Answer, Disconnect, GoAway, Hang, Reset, Slow
from expo_gateway.protocol.receipt import ReceiptError
from expo_gateway.providers.base import Accepted, Rejected, Uncertain, Unsent
from tests.providers.apns_scene import HASTY, Scene, connections_of, new_request, send_all, until
from tests.providers.scripted_apns import HTML, Received, accept


async def test_trap_a_bodies_of_errors_do_not_use_up_the_receive_window(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)
    apns_scene.fault(Answer(status=400, body=b'{"reason":"BadDeviceToken","x":"' + b"x" * 60_000 + b'"}'), times=400)

    outcomes = await send_all(provider, [new_request() for _ in range(400)])  # 24 MB, and the window is 16 MiB

    assert {type(outcome) for outcome in outcomes} == {Rejected}
    assert await provider.send(new_request()) == Accepted()


async def test_trap_b_nothing_is_kept_of_a_push_that_has_its_answer(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)

    await send_all(provider, [new_request() for _ in range(500)])

    [connection] = connections_of(provider)
    assert connection.conn.streams_used == 500
    assert not connection.conn.streams
    assert not connection._in_flight
    assert not connection.requests
    assert not connection.request_streams


@pytest.mark.parametrize("code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL, 4711])
async def test_trap_c_a_reset_stream_is_uncertain_and_frees_its_slot(apns_scene: Scene, code: int) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)
    apns_scene.fault(Reset(code))

    outcome = await provider.send(new_request())

    assert isinstance(outcome, Uncertain)
    assert await provider.send(new_request()) == Accepted()
    assert emulator.connection_count == 1


async def test_trap_c_a_refused_stream_is_sent_again_at_once(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    apns_scene.fault(Reset(ErrorCodes.REFUSED_STREAM))

    assert await provider.send(new_request()) == Accepted()


async def test_trap_c_a_stream_that_is_refused_twice_is_unsent(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    apns_scene.fault(Reset(ErrorCodes.REFUSED_STREAM), times=2)

    outcome = await provider.send(new_request())

    assert isinstance(outcome, Unsent)
    assert outcome.why == "APNs refused the stream"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ReceiptError.DEVELOPER_ERROR),
        (410, ReceiptError.DEVICE_NOT_REGISTERED),
        (413, ReceiptError.MESSAGE_TOO_BIG),
        (429, ReceiptError.MESSAGE_RATE_EXCEEDED),
        (500, ReceiptError.PROVIDER_ERROR),
    ],
)
async def test_trap_d_an_error_without_a_body_is_an_answer(apns_scene: Scene, status: int, error: ReceiptError) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    apns_scene.fault(Answer(status=status, body=b""))

    outcome = await provider.send(new_request())

    assert isinstance(outcome, Rejected)
    assert (outcome.status, outcome.receipt.error) == (status, error)


async def test_trap_e_a_body_in_two_frames_is_read_whole(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    apns_scene.fault(Answer(status=400, reason="BadDeviceToken", split_at=5))

    outcome = await provider.send(new_request())

    assert isinstance(outcome, Rejected)
    assert outcome.reason == "BadDeviceToken"


async def test_trap_f_a_body_that_is_no_json_harms_nobody_else(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)
    await provider.send(new_request())
    odd = new_request()
    apns_scene.fault(Answer(status=502, body=HTML), device_token=odd.device_token)
    apns_scene.fault(Slow(0.05), times=None)

    first, *others = await send_all(provider, [odd, *(new_request() for _ in range(20))])

    assert isinstance(first, Rejected)
    assert (first.status, first.receipt.error) == (502, ReceiptError.PROVIDER_ERROR)
    assert others == [Accepted()] * 20
    assert emulator.connection_count == 1
    assert len(apns_scene.inbox) == 22


async def test_trap_g_a_push_without_an_answer_ends_by_itself(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, limits=HASTY)
    apns_scene.fault(Hang())

    outcome = await provider.send(new_request())

    assert isinstance(outcome, Uncertain)
    assert "0.3 s" in outcome.why


async def test_trap_g_a_cancelled_send_and_its_late_answer_harm_nobody_else(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)
    await provider.send(new_request())
    apns_scene.fault(Slow(0.1), times=None)
    innocent = [asyncio.create_task(provider.send(new_request())) for _ in range(3)]

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(provider.send(new_request()), 0.02)

    async with asyncio.timeout(5):
        assert await asyncio.gather(*innocent) == [Accepted()] * 3
    await until(lambda: len(apns_scene.inbox) == 5)
    assert await provider.send(new_request()) == Accepted()
    assert emulator.connection_count == 1


async def test_trap_g_a_cancelled_send_and_a_lost_connection_leave_no_other_send_waiting(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, max_connections=1)
    await provider.send(new_request())
    server.script = lambda request: None
    cancelled, *others = [asyncio.create_task(provider.send(new_request())) for _ in range(4)]
    await server.until(lambda: len(server.requests) == 5)

    cancelled.cancel()
    server.lines[0].transport.abort()

    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*others)
    assert {type(outcome) for outcome in outcomes} == {Uncertain}


async def test_trap_h_a_graceful_goaway_neither_repeats_nor_loses_a_push(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)
    await provider.send(new_request())
    goodbye = new_request()
    apns_scene.fault(GoAway(graceful=True), device_token=goodbye.device_token)
    apns_scene.fault(Slow(0.05), times=20)
    requests = [*(new_request() for _ in range(20)), goodbye, *(new_request() for _ in range(20))]

    outcomes = await send_all(provider, requests)

    assert outcomes == [Accepted()] * 41
    assert len(apns_scene.inbox.accepted()) == 42


async def test_trap_h_streams_after_the_last_one_of_a_goaway_are_sent_again(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        if request.line is not server.lines[0] or request.number == 1:
            accept(request)
        elif request.number == 6:
            request.line.go_away(last_stream_id=5)
            for kept in request.line.requests[1:3]:
                accept(kept)

    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, max_connections=1)
    await provider.send(new_request())

    outcomes = await send_all(provider, [new_request() for _ in range(5)])

    assert outcomes == [Accepted()] * 5
    assert [len(line.requests) for line in server.lines] == [6, 3]


async def test_trap_h_an_abrupt_end_leaves_what_was_in_flight_uncertain(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)
    await provider.send(new_request())
    last = new_request()
    apns_scene.fault(Disconnect(), device_token=last.device_token)
    apns_scene.fault(Hang(), times=5)

    outcomes = await send_all(provider, [*(new_request() for _ in range(5)), last])

    assert {type(outcome) for outcome in outcomes} == {Uncertain}
    assert len(apns_scene.inbox) == 7  # nothing was sent twice
    assert await provider.send(new_request()) == Accepted()
