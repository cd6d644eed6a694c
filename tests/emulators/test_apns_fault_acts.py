"""Faults as a tester writes them, at the APNs emulator, on the wire."""

from typing import Any

import pytest

from expo_gateway.emulators.fault_acts import APNS_REASONS
from expo_gateway.emulators.fault_json import decode_rule
from expo_gateway.emulators.fault_rules import FaultRule
from expo_gateway.emulators.faults import Hang
from tests.emulators.apns_client import ApnsTestClient
from tests.emulators.apns_world import World

FIRST, SECOND = "aa" * 32, "bb" * 32
MAX_CONCURRENT_STREAMS = 3
WIDE_BYTES = 16 * 1024 * 1024


def force(world: World, act: dict[str, Any], **match: Any) -> FaultRule:
    return world.faults.add(decode_rule({"match": match, "act": act}, now=world.clock.now))


async def has_ended(client: ApnsTestClient) -> None:
    await client.until(lambda: client.is_closed)


async def test_every_reason_of_apple_comes_with_its_status(apns_world: World) -> None:
    for reason in APNS_REASONS:
        force(apns_world, {"type": "apns_reason", "reason": reason}, times=1)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        responses = [await client.request(apns_world.headers()) for _ in APNS_REASONS]

    assert [(r.status, r.reason) for r in responses] == [(r.status, r.wire) for r in APNS_REASONS.values()]
    assert all((b"timestamp" in response.body) is (response.status == 410) for response in responses)


async def test_a_reason_may_come_without_a_body_or_in_two_frames(apns_world: World) -> None:
    force(apns_world, {"type": "apns_reason", "reason": "Shutdown", "body": False}, times=1)
    force(apns_world, {"type": "apns_reason", "reason": "Shutdown", "split_at": 4}, times=1)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        bare, split = [await client.request(apns_world.headers()) for _ in range(2)]

    assert (bare.status, bare.chunks) == (503, [])
    assert split.chunks == [b'{"re', b'ason":"Shutdown"}']


async def test_refused_stream_and_any_other_code_reset_the_stream(apns_world: World) -> None:
    force(apns_world, {"type": "refused_stream"}, times=1)
    force(apns_world, {"type": "rst_stream", "error_code": 2}, times=1)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        responses = [await client.request(apns_world.headers()) for _ in range(3)]

    assert [response.reset_code for response in responses] == [7, 2, None]


@pytest.mark.parametrize("reset", [False, True])
async def test_a_disconnect_may_be_a_tcp_reset(apns_world: World, reset: bool) -> None:
    force(apns_world, {"type": "disconnect", "reset": reset})

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        client.send(apns_world.headers())
        client.flush()
        await has_ended(client)

        assert client.was_reset is reset
    assert [capture.status for capture in apns_world.inbox] == [0]


async def test_during_an_outage_connections_are_made_and_cut_and_nothing_is_captured(apns_world: World) -> None:
    force(apns_world, {"type": "outage"}, for_s=60)

    async with apns_world.apns() as emulator:
        for _ in range(2):
            async with await apns_world.client(emulator) as client:
                client.send(apns_world.headers())
                client.flush()
                await has_ended(client)
        apns_world.clock.now += 60
        async with await apns_world.client(emulator) as client:
            assert (await client.request(apns_world.headers())).status == 200

    assert [capture.status for capture in apns_world.inbox] == [200]


async def test_a_stream_limit_is_told_to_the_connection_and_lifted_when_the_rule_is_gone(apns_world: World) -> None:
    rule = force(apns_world, {"type": "stream_limit"})

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        assert (await client.request(apns_world.headers())).status == 200
        await client.until(lambda: len(client.settings) == 2)
        await client.settle()
        apns_world.force(Hang(), FIRST)
        hung, over = (client.send(apns_world.headers(token)) for token in (FIRST, SECOND))
        client.flush()
        assert (await client.response(over)).reset_code == 7

        client.h2.reset_stream(hung, 8)
        apns_world.faults.remove(rule.id)
        assert (await client.request(apns_world.headers(SECOND))).status == 200
        await client.until(lambda: len(client.settings) == 3)

    assert [settings[MAX_CONCURRENT_STREAMS] for settings in client.settings] == [1000, 1, 1000]


async def test_streams_from_before_a_limit_was_acknowledged_are_served(apns_world: World) -> None:
    force(apns_world, {"type": "stream_limit"})

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        await client.settle()
        streams = [client.send(apns_world.headers()) for _ in range(5)]
        client.flush()

        assert [(await client.response(stream)).status for stream in streams] == [200] * 5


async def test_a_small_window_is_that_of_new_connections_and_wide_ones_are_told_to_go(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as wide:
        await wide.request(apns_world.headers())
        await wide.until(lambda: wide.window_bytes == WIDE_BYTES)
        force(apns_world, {"type": "small_window"})

        assert (await wide.request(apns_world.headers())).status == 200
        await has_ended(wide)
        assert len(wide.goaways) == 1
        async with await apns_world.client(emulator) as small:
            assert (await small.request(apns_world.headers())).status == 200
            await small.settle()
            assert (small.window_bytes, small.goaways) == (65_535, [])


async def test_every_second_push_of_one_device_is_hit(apns_world: World) -> None:
    act = {"type": "apns_reason", "reason": "TooManyRequests"}
    rule = force(apns_world, act, device_token=FIRST, every=2)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        tokens = (FIRST, SECOND, FIRST, SECOND, FIRST, FIRST)
        statuses = [(await client.request(apns_world.headers(token))).status for token in tokens]

    assert statuses == [200, 200, 429, 200, 200, 429]
    counts = apns_world.faults.counts(rule.id)
    assert (counts.seen, counts.acted, counts.is_used_up) == (4, 2, False)
