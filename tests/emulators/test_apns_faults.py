"""What faults make the APNs emulator do, on the wire."""

import asyncio

from expo_gateway.emulators.faults import Answer, Disconnect, GoAway, Hang, Reset, Slow
from tests.emulators.apns_client import APNS_ID, ApnsTestClient
from tests.emulators.apns_world import World

FIRST, SECOND, THIRD = "aa" * 32, "bb" * 32, "cc" * 32


def outcomes(world: World) -> list[tuple[str, int, str]]:
    return [(capture.device_token[:2], capture.status, capture.reason) for capture in world.inbox]


async def is_alive(client: ApnsTestClient, world: World) -> bool:
    return (await client.request(world.headers(THIRD))).status == 200


async def test_an_answer_is_forced_on_one_device_only(apns_world: World) -> None:
    apns_world.force(Answer(status=429, reason="TooManyRequests"), FIRST)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        forced = await client.request(apns_world.headers(FIRST))
        other = await client.request(apns_world.headers(SECOND))

    assert (forced.status, forced.body) == (429, b'{"reason":"TooManyRequests"}')
    assert forced.headers["apns-id"] == APNS_ID
    assert other.status == 200
    assert outcomes(apns_world) == [("aa", 429, "TooManyRequests"), ("bb", 200, "")]


async def test_an_answer_is_forced_so_many_times(apns_world: World) -> None:
    apns_world.force(Answer(status=503, reason="ServiceUnavailable"), times=2)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        statuses = [(await client.request(apns_world.headers())).status for _ in range(3)]

    assert statuses == [503, 503, 200]


async def test_an_answer_may_carry_a_timestamp(apns_world: World) -> None:
    apns_world.force(Answer(status=410, reason="ExpiredToken", timestamp_ms=1_800_000_000_123))

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers())

    assert response.body == b'{"reason":"ExpiredToken","timestamp":1800000000123}'


async def test_an_answer_may_have_no_body(apns_world: World) -> None:
    apns_world.force(Answer(status=500, reason="InternalServerError", body=b""))

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers())

    assert response.headers == {":status": "500", "apns-id": APNS_ID}
    assert response.chunks == []


async def test_an_answer_may_have_any_body_and_headers(apns_world: World) -> None:
    answer = Answer(status=502, body=b"<html>", headers=(("Content-Type", "text/html"), ("Retry-After", "7")))
    apns_world.force(answer)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers())

    assert response.headers == {
        ":status": "502",
        "apns-id": APNS_ID,
        "content-type": "text/html",
        "retry-after": "7",
    }
    assert response.body == b"<html>"


async def test_an_answer_may_name_another_apns_id(apns_world: World) -> None:
    apns_world.force(Answer(status=200, headers=(("apns-id", "other"),)))

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers())

    assert response.headers == {":status": "200", "apns-id": "other"}
    assert [capture.answer_id for capture in apns_world.inbox] == ["other"]


async def test_an_answer_may_come_in_two_data_frames(apns_world: World) -> None:
    apns_world.force(Answer(status=400, reason="BadDeviceToken", split_at=5))

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers())

    assert response.chunks == [b'{"rea', b'son":"BadDeviceToken"}']


async def test_a_hung_request_gets_no_answer_and_holds_up_no_other(apns_world: World) -> None:
    apns_world.force(Hang(), FIRST)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        hung = client.responses[client.send(apns_world.headers(FIRST))]
        assert await is_alive(client, apns_world)

    assert hung.headers == {}
    assert outcomes(apns_world) == [("aa", 0, ""), ("cc", 200, "")]


async def test_a_slow_answer_comes_after_a_quick_one(apns_world: World) -> None:
    apns_world.force(Slow(0.05), FIRST)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        began_at = asyncio.get_running_loop().time()
        slow = client.send(apns_world.headers(FIRST))
        assert await is_alive(client, apns_world)
        response = await client.response(slow)

        assert response.status == 200
        assert asyncio.get_running_loop().time() - began_at >= 0.05
    assert outcomes(apns_world) == [("cc", 200, ""), ("aa", 200, "")]


async def test_a_slow_answer_that_the_client_gives_up_is_captured_as_dropped(apns_world: World) -> None:
    apns_world.force(Slow(60.0), FIRST)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        given_up = client.send(apns_world.headers(FIRST))
        assert await is_alive(client, apns_world)
        client.h2.reset_stream(given_up, 8)
        assert await is_alive(client, apns_world)

        assert outcomes(apns_world) == [("cc", 200, ""), ("aa", 0, ""), ("cc", 200, "")]


async def test_a_slow_answer_is_dropped_with_its_connection(apns_world: World) -> None:
    apns_world.force(Slow(0.3), FIRST)
    apns_world.force(Slow(0.35), SECOND)

    async with apns_world.apns() as emulator:
        async with await apns_world.client(emulator) as client:
            client.send(apns_world.headers(FIRST))
            assert await is_alive(client, apns_world)
        async with await apns_world.client(emulator) as client:
            await client.request(apns_world.headers(SECOND))  # outlasts the first one's delay

    assert outcomes(apns_world) == [("cc", 200, ""), ("aa", 0, ""), ("bb", 200, "")]


async def test_a_disconnect_cuts_the_connection_after_reading(apns_world: World) -> None:
    apns_world.force(Disconnect(), FIRST)

    async with apns_world.apns() as emulator:
        async with await apns_world.client(emulator) as client:
            cut = client.responses[client.send(apns_world.headers(FIRST))]
            client.send(apns_world.headers(SECOND))
            client.flush()
            await client.until(lambda: client.is_closed)
        async with await apns_world.client(emulator) as client:
            assert await is_alive(client, apns_world)

    assert (cut.headers, client.goaways) == ({}, [])
    assert outcomes(apns_world) == [("aa", 0, ""), ("cc", 200, "")]


async def test_a_reset_ends_one_stream_only(apns_world: World) -> None:
    apns_world.force(Reset(7), FIRST)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        reset = await client.request(apns_world.headers(FIRST))
        assert await is_alive(client, apns_world)

    assert (reset.headers, reset.reset_code) == ({}, 7)
    assert outcomes(apns_world) == [("aa", 0, ""), ("cc", 200, "")]


async def test_a_graceful_goaway_answers_what_came_before_and_ignores_the_rest(apns_world: World) -> None:
    apns_world.force(Slow(0.05), FIRST)
    apns_world.force(GoAway(), SECOND, times=1)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        before, last, after = (client.responses[client.send(apns_world.headers(t))] for t in (FIRST, SECOND, THIRD))
        client.flush()
        await client.until(lambda: client.is_closed)

    assert (before.status, last.status, after.headers) == (200, 200, {})
    (goaway,) = client.goaways
    assert (goaway.last_stream_id, goaway.error_code) == (3, 0)
    assert goaway.additional_data == b'{"reason":"Shutdown"}'
    assert outcomes(apns_world) == [("bb", 200, ""), ("aa", 200, "")]


async def test_a_graceful_goaway_waits_for_no_hung_request(apns_world: World) -> None:
    apns_world.force(Hang(), FIRST)
    apns_world.force(GoAway(reason="TooBusy"), SECOND)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        client.send(apns_world.headers(FIRST))
        await client.request(apns_world.headers(SECOND))
        await client.until(lambda: client.is_closed)

    assert [goaway.additional_data for goaway in client.goaways] == [b'{"reason":"TooBusy"}']


async def test_an_abrupt_goaway_leaves_the_request_out_and_closes(apns_world: World) -> None:
    apns_world.force(GoAway(graceful=False), SECOND)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        first, second, third = (client.responses[client.send(apns_world.headers(t))] for t in (FIRST, SECOND, THIRD))
        client.flush()
        await client.until(lambda: client.is_closed)

    assert (first.status, second.headers, third.headers) == (200, {}, {})
    assert [goaway.last_stream_id for goaway in client.goaways] == [1]
    assert outcomes(apns_world) == [("aa", 200, ""), ("bb", 0, "")]
