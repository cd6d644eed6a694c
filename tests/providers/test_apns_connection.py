"""One connection against a server that is scripted frame by frame."""

import asyncio
from dataclasses import replace

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from expo_gateway.providers.apns import ApnsLimits
from expo_gateway.providers.base import Accepted, Rejected, Uncertain, Unsent
from tests.providers.apns_scene import HASTY, Scene, connections_of, new_request, send_all, until
from tests.providers.scripted_apns import Habits, Received, accept, ignore

UNREGISTERED = b'{"reason":"Unregistered"}'


async def test_a_200_that_is_cut_off_after_its_headers_is_accepted(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        request.answer(200, end=False)
        request.reset(ErrorCodes.INTERNAL_ERROR)

    server = await apns_scene.scripted(script)

    assert await apns_scene.provider(server.port).send(new_request()) == Accepted()


async def test_an_error_that_is_cut_off_before_its_reason_is_uncertain(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        request.answer(400, b'{"rea', end=False)
        request.reset(ErrorCodes.INTERNAL_ERROR)

    server = await apns_scene.scripted(script)
    outcome = await apns_scene.provider(server.port).send(new_request())

    assert isinstance(outcome, Uncertain)
    assert outcome.why == "APNs reset the stream, error INTERNAL_ERROR"


async def test_an_answer_after_the_deadline_is_of_no_interest_and_the_connection_stays(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(ignore)
    provider = apns_scene.provider(server.port, limits=HASTY)

    late = asyncio.create_task(provider.send(new_request()))
    await server.until(lambda: bool(server.requests))
    early = server.requests[0]
    early.answer(400, b"{", end=False)  # a sign of life
    assert isinstance(await late, Uncertain)
    await server.until(lambda: server.lines[0].resets == [1])
    server.script = accept

    assert await provider.send(new_request()) == Accepted()
    assert len(server.lines) == 1


async def test_frames_that_crossed_our_reset_do_not_end_the_connection(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        if request.number != 1:
            accept(request)

    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, limits=HASTY, max_connections=1)
    outcome = await provider.send(new_request())
    await server.until(lambda: server.lines[0].resets == [1])
    # As if it had been written before the RST_STREAM came in: h2 itself would not send it any more.
    block = server.lines[0].h2.encoder.encode([(":status", "200")])
    server.lines[0].write(len(block).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big") + block)

    assert isinstance(outcome, Uncertain)
    assert await provider.send(new_request()) == Accepted()
    assert len(server.lines) == 1


async def test_a_lowered_stream_limit_is_kept(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        open_at_once.append(sum(not stream.closed for stream in request.line.h2.streams.values()))
        asyncio.get_running_loop().call_later(0.005, accept, request)

    open_at_once: list[int] = []
    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, max_connections=1)
    await send_all(provider, [new_request() for _ in range(10)])
    server.lines[0].change(SettingCodes.MAX_CONCURRENT_STREAMS, 2)
    [connection] = connections_of(provider)
    await until(lambda: connection.conn.max_streams == 2)
    open_at_once.clear()

    assert await send_all(provider, [new_request() for _ in range(10)]) == [Accepted()] * 10
    assert max(open_at_once) == 2


async def test_the_first_answer_that_is_no_403_lifts_the_limit_of_one_stream(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        if request.number == 1:
            request.answer(410, UNREGISTERED)

    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, limits=HASTY, max_connections=1)
    sends = asyncio.gather(*(provider.send(new_request()) for _ in range(10)))
    await server.until(lambda: len(server.requests) == 10)

    assert [type(outcome) for outcome in await sends] == [Rejected, *[Uncertain] * 9]


async def test_a_403_does_not_lift_the_limit_of_one_stream(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        assert sum(not stream.closed for stream in request.line.h2.streams.values()) == 1
        request.answer(403, b'{"reason":"InvalidProviderToken"}')

    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, max_connections=1)

    outcomes = await send_all(provider, [new_request() for _ in range(10)])

    assert {type(outcome) for outcome in outcomes} == {Rejected}
    assert len(server.requests) == 10


async def test_a_peer_that_never_opens_its_window_again_leaves_the_rest_unsent(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept, Habits(gives_window=False))
    provider = apns_scene.provider(server.port, limits=HASTY, max_connections=1)
    payload = b'{"a":"' + b"x" * 4000 + b'"}'

    outcomes = await send_all(provider, [new_request(payload=payload) for _ in range(20)])

    assert outcomes[:16] == [Accepted()] * 16
    assert {type(outcome) for outcome in outcomes[16:]} == {Unsent}


async def test_a_window_for_streams_that_is_too_small_leaves_the_push_unsent(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, limits=HASTY, max_connections=1)
    await provider.send(new_request())
    server.lines[0].change(SettingCodes.INITIAL_WINDOW_SIZE, 30)
    [connection] = connections_of(provider)
    await until(lambda: connection.conn.stream_window_bytes == 30)

    outcome = await provider.send(new_request(payload=b'{"aps":{"alert":"more than thirty bytes"}}'))

    assert isinstance(outcome, Unsent)
    assert outcome.why == "no room on any connection for 0.3 s"
    assert await provider.send(new_request(payload=b"{}")) == Accepted()
    assert len(server.lines) == 1


async def test_a_smaller_header_table_of_the_peer_is_acknowledged(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept, Habits(settings={SettingCodes.HEADER_TABLE_SIZE: 0}))
    provider = apns_scene.provider(server.port, max_connections=1)

    assert [await provider.send(new_request()) for _ in range(3)] == [Accepted()] * 3
    assert len(server.lines) == 1


async def test_a_breach_of_http2_ends_the_connection_only(apns_scene: Scene) -> None:
    data_frame_on_stream_0 = b"\x00\x00\x01\x00\x00\x00\x00\x00\x00?"
    server = await apns_scene.scripted(lambda request: request.line.write(data_frame_on_stream_0))
    provider = apns_scene.provider(server.port, max_connections=1)

    outcome = await provider.send(new_request())

    assert isinstance(outcome, Uncertain)
    assert "protocol error" in outcome.why


async def test_two_goaways_are_obeyed_one_after_the_other(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        if len(server.lines) > 1 or request.number == 1:
            accept(request)
        elif request.number == 4:
            request.line.go_away(last_stream_id=2**31 - 1)
            request.line.go_away(last_stream_id=5)
            accept(request.line.requests[1])
            accept(request.line.requests[2])

    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, max_connections=1)
    await provider.send(new_request())

    assert await send_all(provider, [new_request() for _ in range(3)]) == [Accepted()] * 3
    assert [len(line.requests) for line in server.lines] == [4, 1]


async def test_a_connection_is_replaced_after_so_many_pushes(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, limits=replace(ApnsLimits(), max_requests=5), max_connections=1)

    outcomes = await send_all(provider, [new_request() for _ in range(12)])

    assert outcomes == [Accepted()] * 12
    assert [len(line.requests) for line in server.lines] == [5, 5, 2]


async def test_a_peer_that_vanished_is_found_out_by_ping_and_replaced(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, limits=replace(HASTY, keepalive_s=0.05), max_connections=1)
    await provider.send(new_request())
    server.lines[0].is_deaf = True

    await asyncio.wait_for(server.lost.wait(), 5)

    assert await provider.send(new_request()) == Accepted()
    assert len(server.lines) == 2


async def test_a_connection_that_was_silent_for_long_is_asked_before_it_gets_a_push(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, limits=replace(HASTY, probe_after_s=0.05), max_connections=1)
    await provider.send(new_request())
    await until(lambda: connections_of(provider)[0].is_doubtful)
    deaf = server.lines[0]
    deaf.is_deaf = True

    outcomes = await send_all(provider, [new_request() for _ in range(3)])

    assert outcomes == [Accepted()] * 3
    assert len(deaf.requests) == 1  # nothing was written into the void, so nothing is uncertain


async def test_a_silent_connection_that_answers_the_ping_is_used_again(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, limits=replace(HASTY, probe_after_s=0.02), max_connections=1)
    await provider.send(new_request())
    await until(lambda: connections_of(provider)[0].is_doubtful)

    assert await provider.send(new_request()) == Accepted()
    assert len(server.lines) == 1
    assert server.lines[0].pings == 1


async def test_a_peer_that_fell_silent_with_a_push_in_flight_is_asked_when_its_time_is_over(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, limits=HASTY, max_connections=1)
    await provider.send(new_request())
    server.lines[0].is_deaf = True

    assert isinstance(await provider.send(new_request()), Uncertain)
    assert await provider.send(new_request()) == Accepted()
    assert len(server.lines) == 2


@pytest.mark.parametrize("reason", [b"UnrelatedKeyIdInToken", b"IdleTimeout", b"Shutdown"])
async def test_an_answer_that_ends_the_connection_lets_the_others_finish(apns_scene: Scene, reason: bytes) -> None:
    def script(request: Received) -> None:
        if request.line is not server.lines[0] or request.number == 1:
            accept(request)
        elif request.number == 4:
            request.answer(503 if reason == b"Shutdown" else 400, b'{"reason":"' + reason + b'"}')
            accept(request.line.requests[1])
            accept(request.line.requests[2])

    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, max_connections=1)
    await provider.send(new_request())

    assert await send_all(provider, [new_request() for _ in range(3)]) == [Accepted()] * 3
    assert [len(line.requests) for line in server.lines] == [4, 1]


async def test_one_write_carries_all_pushes_of_a_turn(apns_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, max_connections=1)
    await provider.send(new_request())
    [connection] = connections_of(provider)
    assert connection.transport is not None
    writes: list[bytes] = []
    pass_on = connection.transport.write

    def write(data: bytes) -> None:
        writes.append(data)
        pass_on(data)

    monkeypatch.setattr(connection.transport, "write", write)

    sends = [asyncio.create_task(provider.send(new_request())) for _ in range(50)]
    await server.until(lambda: len(server.requests) == 51)

    assert len(writes) == 1
    assert await asyncio.gather(*sends) == [Accepted()] * 50


async def test_what_was_not_written_when_the_connection_ended_is_unsent(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, max_connections=1)
    await provider.send(new_request())
    [connection] = connections_of(provider)
    server.script = ignore
    written = asyncio.create_task(provider.send(new_request()))
    await server.until(lambda: len(server.requests) == 2)

    unwritten = asyncio.create_task(provider.send(new_request()))
    await asyncio.sleep(0)
    assert len(connection._in_flight) == 2
    connection.abort()

    assert isinstance(await written, Uncertain)
    assert isinstance(await unwritten, Unsent)


@pytest.mark.parametrize("spoilt", [{"payload": "text, not bytes"}, {"priority": "\ud800"}], ids=["payload", "header"])
async def test_a_push_that_we_cannot_put_on_the_wire_is_unsent_and_never_hangs(
    apns_scene: Scene, spoilt: dict[str, object]
) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, max_connections=1)
    pool = provider._pool(sandbox=False)
    await provider.send(new_request())

    reply, _ = await asyncio.wait_for(pool.send(new_request(**spoilt)), 5)

    assert isinstance(reply, Unsent)
    assert reply.why.startswith("not sendable: ")
    assert await provider.send(new_request()) == Accepted()
