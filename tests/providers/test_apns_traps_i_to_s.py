"""The traps of stock aioapns 4.0 (I to S), each against a real server over TLS and HTTP/2."""

import asyncio
import json
import socket
import time
from dataclasses import replace

import jwt
import pytest

from expo_gateway.emulators.faults import Hang
from expo_gateway.providers.apns import ApnsLimits
from expo_gateway.providers.base import Accepted, Rejected, Uncertain, Unsent
from tests.providers.apns_scene import HASTY, Scene, connections_of, new_request, pool_of, send_all, until
from tests.providers.scripted_apns import Habits, Received, accept


def timers() -> int:
    """How many timers the running loop has."""
    return len(getattr(asyncio.get_running_loop(), "_scheduled", ()))


async def test_trap_i_a_full_send_window_makes_pushes_wait_and_loses_no_slot(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator(real_window=True)
    provider = apns_scene.provider(emulator.port, max_connections=1)
    payload = b'{"aps":{"alert":"' + b"x" * 1000 + b'"}}'

    outcomes = await send_all(provider, [new_request(payload=payload) for _ in range(400)])

    assert outcomes == [Accepted()] * 400
    assert emulator.connection_count == 1
    assert not connections_of(provider)[0]._in_flight


@pytest.mark.parametrize("apns_id", ["UPPER", "another", None])
async def test_trap_j_answers_belong_to_streams_whatever_their_apns_id_is(
    apns_scene: Scene, apns_id: str | None
) -> None:
    def script(request: Received) -> None:
        said = {"UPPER": request.headers["apns-id"].upper(), "another": "11111111-1111-1111-1111-111111111111"}
        headers = {} if apns_id is None else {"apns-id": said[apns_id]}
        if request.number % 2:
            request.answer(200, headers=headers)
        else:
            request.answer(400, b'{"reason":"BadTopic"}', headers=headers)

    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, max_connections=1)

    outcomes = [await provider.send(new_request()) for _ in range(4)]

    assert [type(outcome) for outcome in outcomes] == [Accepted, Rejected, Accepted, Rejected]
    assert len(server.lines) == 1


async def test_trap_k_a_refused_connection_is_unsent_at_once_and_says_why(
    apns_scene: Scene, unused_tcp_port: int
) -> None:
    provider = apns_scene.provider(unused_tcp_port)
    began_at = time.monotonic()

    outcomes = await send_all(provider, [new_request() for _ in range(20)])

    assert {type(outcome) for outcome in outcomes} == {Unsent}
    assert all(isinstance(outcome, Unsent) and "ConnectionRefusedError" in outcome.why for outcome in outcomes)
    assert time.monotonic() - began_at < 1.0


async def test_trap_k_a_peer_that_never_shakes_hands_is_given_up_in_time(apns_scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # the kernel connects, nobody ever accepts
        provider = apns_scene.provider(mute.getsockname()[1], limits=replace(HASTY, connect_timeout_s=0.1))

        outcomes = await send_all(provider, [new_request() for _ in range(20)])

    assert {outcome.why for outcome in outcomes if isinstance(outcome, Unsent)} == {
        "no connection to 127.0.0.1: TimeoutError"
    }


async def test_trap_l_pushes_that_wait_for_room_do_not_poll(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port, max_connections=1)
    await provider.send(new_request())
    before = timers()
    apns_scene.fault(Hang(), times=None)

    waiting = [asyncio.create_task(provider.send(new_request())) for _ in range(800)]
    await until(lambda: len(apns_scene.inbox) == 201)

    assert timers() <= before + 5
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


async def test_trap_m_a_burst_waits_for_the_one_stream_of_a_new_connection(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator(strict_streams=True)
    provider = apns_scene.provider(emulator.port, max_connections=4)

    outcomes = await send_all(provider, [new_request() for _ in range(50)])

    assert outcomes == [Accepted()] * 50
    assert len(apns_scene.inbox) == 50
    assert emulator.connection_count == 1


async def test_trap_n_an_idle_connection_is_kept_and_no_push_sets_a_timer(apns_scene: Scene) -> None:
    server = await apns_scene.scripted(accept)
    provider = apns_scene.provider(server.port, limits=replace(ApnsLimits(), keepalive_s=0.05))
    await provider.send(new_request())
    before = timers()

    for _ in range(50):
        await provider.send(new_request())
    assert timers() <= before + 2
    await server.until(lambda: server.lines[0].pings >= 3)

    assert await provider.send(new_request()) == Accepted()
    assert len(server.lines) == 1


async def test_trap_o_all_connections_of_both_environments_share_one_provider_token(apns_scene: Scene) -> None:
    def script(request: Received) -> None:
        if len({id(other.line) for other in server.requests}) == 4 or request.headers[":authority"] != production:
            for waiting in server.requests:
                if not waiting.line.h2.streams[waiting.stream_id].closed:
                    accept(waiting)

    production = "api.push.apple.com"
    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, max_connections=4, limits=replace(ApnsLimits(), patience_s=0.01))

    await send_all(provider, [new_request() for _ in range(4)])
    await provider.send(new_request(sandbox=True))

    assert len(server.lines) == 5
    assert len({request.headers["authorization"] for request in server.requests}) == 1


async def test_trap_p_a_connection_that_dies_before_it_is_listed_harms_nothing(apns_scene: Scene) -> None:
    habits = Habits(hangs_up=True)
    server = await apns_scene.scripted(accept, habits)
    provider = apns_scene.provider(server.port, limits=replace(HASTY, first_pause_s=0.001))

    lost = await provider.send(new_request())
    habits.hangs_up = False
    await asyncio.wait_for(server.lost.wait(), 5)
    await until(lambda: not connections_of(provider))

    assert isinstance(lost, Unsent | Uncertain)
    circuit = pool_of(provider)._circuit
    await until(lambda: not circuit.is_open(now=asyncio.get_running_loop().time()))
    assert await provider.send(new_request()) == Accepted()


async def test_trap_q_the_payload_goes_out_byte_for_byte(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)
    payload = '{"aps":{"alert":"čau 👋"},"a":[1,2]}'.encode()

    await provider.send(new_request(payload=payload))

    assert [capture.body for capture in apns_scene.inbox] == [payload]


@pytest.mark.parametrize(("expiration", "sent"), [(None, None), (0, "0"), (1_800_000_000, "1800000000")])
async def test_trap_r_the_expiration_is_sent_as_it_is_also_when_it_is_0(
    apns_scene: Scene, expiration: int | None, sent: str | None
) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)

    assert await provider.send(new_request(expiration=expiration)) == Accepted()

    [capture] = apns_scene.inbox
    assert dict(capture.headers).get("apns-expiration") == sent


@pytest.mark.parametrize(
    ("push_type", "suffix"),
    [
        ("location", ".location-query"),
        ("pushtotalk", ".voip-ptt"),
        ("widgets", ".push-type.widgets"),
        ("controls", ".push-type.controls"),
        ("liveactivity", ".push-type.liveactivity"),
    ],
)
async def test_trap_r_every_push_type_can_be_sent(apns_scene: Scene, push_type: str, suffix: str) -> None:
    emulator = await apns_scene.emulator()
    provider = apns_scene.provider(emulator.port)

    assert await provider.send(new_request(push_type=push_type, topic=f"dev.example.app{suffix}")) == Accepted()


async def test_trap_r_the_id_of_the_push_console_is_the_provider_id(apns_scene: Scene) -> None:
    emulator = await apns_scene.emulator(make_id=lambda: "CONSOLE-ID")
    provider = apns_scene.provider(emulator.port)

    assert await provider.send(new_request(sandbox=True)) == Accepted(provider_id="CONSOLE-ID")


async def test_trap_s_an_expired_provider_token_is_replaced_once_for_all_and_the_pushes_sent_again(
    apns_scene: Scene,
) -> None:
    def script(request: Received) -> None:
        token = request.headers["authorization"].removeprefix("bearer ")
        issued_at = jwt.decode(token, options={"verify_signature": False})["iat"]
        if issued_at < expires_before:
            request.answer(403, json.dumps({"reason": "ExpiredProviderToken"}).encode())
        else:
            accept(request)

    expires_before = 0.0
    server = await apns_scene.scripted(script)
    provider = apns_scene.provider(server.port, max_connections=1)
    await provider.send(new_request())
    apns_scene.clock.now += 60
    expires_before = apns_scene.clock.now

    outcomes = await send_all(provider, [new_request() for _ in range(10)])

    assert outcomes == [Accepted()] * 10
    assert len({request.headers["authorization"] for request in server.requests}) == 2
