"""The APNs emulator on the wire: HTTP/2 over TLS, as a provider sees it."""

from h2.settings import SettingCodes

from expo_gateway.emulators.apns_connection import MAX_BODY_BYTES
from expo_gateway.emulators.faults import Answer
from tests.emulators.apns_client import APNS_ID, BODY, DEVICE_TOKEN, TOPIC, ProviderKey, push_headers
from tests.emulators.apns_world import World

ALL_SETTINGS = {
    SettingCodes.HEADER_TABLE_SIZE: 4096,
    SettingCodes.MAX_CONCURRENT_STREAMS: 1000,
    SettingCodes.INITIAL_WINDOW_SIZE: 65_535,
    SettingCodes.MAX_FRAME_SIZE: 16_384,
    SettingCodes.MAX_HEADER_LIST_SIZE: 8000,
}


async def test_an_accepted_push_is_answered_with_one_headers_frame(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers())

    assert response.headers == {":status": "200", "apns-id": APNS_ID}
    assert response.chunks == []


async def test_the_apns_id_is_echoed_as_it_came(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers(apns_id=APNS_ID.upper()))

    assert response.headers["apns-id"] == APNS_ID.upper()


async def test_without_an_apns_id_one_is_made(apns_world: World) -> None:
    headers = apns_world.headers()
    del headers["apns-id"]

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        first, second = await client.request(headers), await client.request(headers)

    assert len(first.headers["apns-id"]) == 36
    assert first.headers["apns-id"] != second.headers["apns-id"]


async def test_a_refusal_has_a_compact_json_body(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers(apns_priority="7"))

    assert response.headers == {":status": "400", "apns-id": APNS_ID, "content-type": "application/json"}
    assert response.chunks == [b'{"reason":"BadPriority"}']


async def test_an_unregistered_device_brings_410_with_a_timestamp(apns_world: World) -> None:
    apns_world.devices.enrol(DEVICE_TOKEN, app_id=TOPIC)
    apns_world.devices.unregister(DEVICE_TOKEN, at=1_800_000_000.0)

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers())

    assert (response.status, response.body) == (410, b'{"reason":"Unregistered","timestamp":1800000000000}')


async def test_the_sandbox_adds_a_unique_id(apns_world: World) -> None:
    headers = apns_world.headers() | {":authority": "api.sandbox.push.apple.com"}

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(headers)

    assert len(response.headers["apns-unique-id"]) == 36


async def test_the_first_push_enrols_the_device_in_its_app_and_environment(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        await client.request(apns_world.headers(apns_push_type="voip", apns_topic=TOPIC + ".voip"))
        alert = await client.request(apns_world.headers())
        other_app = await client.request(apns_world.headers(apns_topic="com.example.other"))
        other_environment = await client.request(apns_world.headers() | {":authority": "api.sandbox.push.apple.com"})

    assert alert.status == 200
    assert other_app.reason == "DeviceTokenNotForTopic"
    assert other_environment.reason == "BadDeviceToken"


async def test_a_push_is_captured_as_it_came_but_for_the_provider_token(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        await client.request(list(apns_world.headers().items()))

    (capture,) = apns_world.inbox
    expected = push_headers("bearer")
    assert capture.headers == tuple(expected.items())
    assert (capture.emulator, capture.device_token, capture.body) == ("apns", DEVICE_TOKEN, BODY)
    assert (capture.status, capture.reason, capture.answer_id) == (200, "", APNS_ID)
    assert (capture.path, capture.received_at) == (f"/3/device/{DEVICE_TOKEN}", apns_world.clock.now)


async def test_an_authorization_without_a_scheme_isnt_captured_at_all(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(apns_world.headers() | {"authorization": "secret"})

    assert response.reason == "MissingProviderToken"
    assert [dict(capture.headers)["authorization"] for capture in apns_world.inbox] == [""]


async def test_a_refused_push_is_captured_with_its_reason(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        await client.request(apns_world.headers("x"))

    (capture,) = apns_world.inbox
    assert (capture.status, capture.reason, capture.device_token) == (400, "BadDeviceToken", "x")


async def test_repeated_headers_are_refused_and_captured_both(apns_world: World) -> None:
    headers = [*apns_world.headers().items(), ("apns-topic", "com.example.other")]

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        response = await client.request(headers)

    assert response.reason == "DuplicateHeaders"
    (capture,) = apns_world.inbox
    assert [value for name, value in capture.headers if name == "apns-topic"] == [TOPIC, "com.example.other"]


async def test_a_trusted_key_is_checked(apns_world: World) -> None:
    forger = ProviderKey(key_id=apns_world.key.key_id, team_id=apns_world.key.team_id)

    async with apns_world.apns(known_keys_only=True) as emulator:
        emulator.trust_key(
            key_id=apns_world.key.key_id, team_id=apns_world.key.team_id, public_key_pem=apns_world.key.public_pem
        )
        async with await apns_world.client(emulator) as client:
            genuine = await client.request(apns_world.headers())
            forged = await client.request(
                apns_world.headers(authorization=forger.bearer(issued_at=apns_world.clock.now))
            )

    assert genuine.status == 200
    assert (forged.status, forged.reason) == (403, "InvalidProviderToken")


async def test_a_provider_token_expires_by_the_clock(apns_world: World) -> None:
    headers = apns_world.headers()

    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        young = await client.request(headers)
        apns_world.clock.now += 3601
        old = await client.request(headers)

    assert young.status == 200
    assert (old.status, old.reason) == (403, "ExpiredProviderToken")


async def test_a_connection_stays_with_the_team_of_its_first_token(apns_world: World) -> None:
    other = apns_world.headers(authorization=ProviderKey(team_id="OTHER12345").bearer(issued_at=apns_world.clock.now))

    async with apns_world.apns() as emulator:
        async with await apns_world.client(emulator) as client:
            await client.request(apns_world.headers())
            on_the_same = await client.request(other)
        async with await apns_world.client(emulator) as client:
            on_a_new_one = await client.request(other)

    assert (on_the_same.status, on_the_same.reason) == (403, "UnrelatedKeyIdInToken")
    assert on_a_new_one.status == 200


async def test_a_new_token_within_20_minutes_is_refused_when_asked_for(apns_world: World) -> None:
    async with apns_world.apns(strict_token_updates=True) as emulator, await apns_world.client(emulator) as client:
        await client.request(apns_world.headers())
        apns_world.clock.now += 600
        too_soon = await client.request(apns_world.headers())
        apns_world.clock.now += 600
        in_time = await client.request(apns_world.headers())

    assert (too_soon.status, too_soon.reason) == (429, "TooManyProviderTokenUpdates")
    assert in_time.status == 200


async def test_the_settings_are_those_of_apple(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        assert client.settings[0] == {int(code): value for code, value in ALL_SETTINGS.items()}


async def test_the_window_is_wide_from_the_first_request_on(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        before = client.window_bytes
        await client.request(apns_world.headers(), b"")
        await client.until(lambda: client.window_bytes > before)

        assert before == 65_535
        assert client.window_bytes == 16 * 1024 * 1024


async def test_the_real_window_is_refilled_at_half(apns_world: World) -> None:
    payload = b'{"a":"%s"}' % (b"x" * 4000)

    async with apns_world.apns(real_window=True) as emulator, await apns_world.client(emulator) as client:
        for _ in range(8):
            assert (await client.request(apns_world.headers(), payload)).status == 200
        before = client.window_bytes
        await client.request(apns_world.headers(), payload)
        await client.until(lambda: client.window_bytes > before)

        assert before == 65_535
        assert client.window_bytes == 65_535 + 9 * len(payload)


async def test_a_client_that_doesnt_acknowledge_gets_no_more_than_its_window(apns_world: World) -> None:
    """Trap A of aioapns: error bodies eat the 65,535 bytes of the connection's window."""
    apns_world.faults.force(Answer(status=500, body=b"x" * 40_000))

    async with apns_world.apns() as emulator, await apns_world.client(emulator, acknowledges=False) as client:
        first = await client.request(apns_world.headers())
        held = client.responses[client.send(apns_world.headers())]
        client.flush()
        await client.until(lambda: len(held.body) == 25_535)

        assert len(first.body) == 40_000
        assert not held.is_ended

        client.h2.acknowledge_received_data(40_000, 1)
        client.flush()
        await client.until(lambda: held.is_ended)
        assert len(held.body) == 40_000


async def test_a_body_of_any_length_is_answered_and_drained(apns_world: World) -> None:
    async with apns_world.apns(real_window=True) as emulator, await apns_world.client(emulator) as client:
        stream_id = client.send(apns_world.headers(), b"", ends=False)
        for _ in range(64):
            await client.until(lambda: client.h2.local_flow_control_window(stream_id) >= 16_384)
            client.h2.send_data(stream_id, b"x" * 16_384)
            client.flush()
        client.h2.end_stream(stream_id)
        client.flush()
        response = await client.response(stream_id)
        after = await client.request(apns_world.headers())

    assert (response.status, response.reason) == (413, "PayloadTooLarge")
    assert after.status == 200
    assert MAX_BODY_BYTES < len(next(iter(apns_world.inbox)).body) <= MAX_BODY_BYTES + 16_384


async def test_strictly_a_connection_has_one_stream_until_a_valid_token_was_seen(apns_world: World) -> None:
    async with apns_world.apns(strict_streams=True) as emulator, await apns_world.client(emulator) as client:
        burst = [client.responses[client.send(apns_world.headers())] for _ in range(3)]
        client.flush()
        await client.until(lambda: all(response.is_over for response in burst))
        await client.until(lambda: len(client.settings) == 2)
        later = [client.responses[client.send(apns_world.headers())] for _ in range(3)]
        client.flush()
        await client.until(lambda: all(response.is_over for response in later))

    assert [setting[int(SettingCodes.MAX_CONCURRENT_STREAMS)] for setting in client.settings] == [1, 1000]
    assert [response.reset_code for response in burst] == [None, 7, 7]
    assert [response.status for response in later] == [200] * 3
    assert len(apns_world.inbox) == 4


async def test_strictly_a_refused_token_doesnt_raise_the_limit(apns_world: World) -> None:
    async with apns_world.apns(strict_streams=True) as emulator, await apns_world.client(emulator) as client:
        await client.request(apns_world.headers(authorization="bearer x"))
        assert len(client.settings) == 1
        await client.request(apns_world.headers(apns_priority="7"))
        await client.until(lambda: len(client.settings) == 2)


async def test_a_stream_above_the_limit_is_refused_and_the_connection_goes_on(apns_world: World) -> None:
    async with apns_world.apns(max_streams=2) as emulator, await apns_world.client(emulator) as client:
        opened = [client.send(apns_world.headers(), b"", ends=False) for _ in range(2)]
        refused = await client.request(apns_world.headers(), b"")
        for stream_id in opened:
            client.h2.send_data(stream_id, BODY, end_stream=True)
        client.flush()

        assert [(await client.response(stream_id)).status for stream_id in opened] == [200, 200]
        assert refused.reset_code == 7


async def test_a_request_that_is_reset_in_the_same_read_does_no_harm(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        for code in (8, 0):
            client.h2.reset_stream(client.send(apns_world.headers(apns_priority="7")), code)
        client.flush()

        assert (await client.request(apns_world.headers())).status == 200


async def test_a_client_that_leaves_with_goaway_still_gets_its_answer(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        stream_id = client.send(apns_world.headers(), b"", ends=False)
        client.flush()
        data = client.h2.data_to_send()
        client.h2.send_data(stream_id, BODY, end_stream=True)
        rest = client.h2.data_to_send()
        client.write(data + bytes.fromhex("0000080700000000000000000000000000") + rest)

        assert (await client.response(stream_id)).status == 200


async def test_every_request_on_a_busy_connection_is_answered_once(apns_world: World) -> None:
    async with apns_world.apns() as emulator, await apns_world.client(emulator) as client:
        stream_ids = [client.send(apns_world.headers(f"{n:064x}")) for n in range(500)]
        client.flush()
        responses = [await client.response(stream_id) for stream_id in stream_ids]

    assert {response.status for response in responses} == {200}
    assert [capture.device_token for capture in apns_world.inbox] == [f"{n:064x}" for n in range(500)]
