"""Say yes or no now."""

import json
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from expo_gateway.errors import RequestRefused
from expo_gateway.gateway import Gateway, TokenPolicy
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.device import PHONES, Platform, Project, Registration, project_id_of
from expo_gateway.protocol.message import decode_send_request
from expo_gateway.protocol.ticket import accepted_at
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.sqlite_file import SqliteFile

NOW = 1_767_657_694.556
PROJECT = Project(project_id=project_id_of("@acme/shop"), full_name="@acme/shop")
TOKEN = "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"
REGISTRATION = Registration(
    device_id="0f1e2d3c-0000-4000-8000-000000000001",
    app_id="com.acme.shop",
    project=PROJECT,
    platform=Platform.IOS,
    device_token="a1" * 32,
    sandbox=False,
)


class Desk:
    """A gateway and what it stands on."""

    def __init__(self, file: SqliteFile) -> None:
        self.outbox, self.registry = SqliteOutbox(file), SqliteRegistry(file)
        self.wakes = 0
        self._numbers = iter(range(1, 1000))
        self.use(TokenPolicy(project=PROJECT))

    def use(self, policy: TokenPolicy) -> None:
        self.gateway = Gateway(
            registry=self.registry,
            outbox=self.outbox,
            policy=policy,
            clock=lambda: NOW,
            random_bytes=lambda count: next(self._numbers).to_bytes(count, "little"),
            wake=self._wake,
        )

    def _wake(self, project_id: str) -> None:
        self.wakes += 1

    async def errors(self, body: object) -> list[str | None]:
        """The message of each place's ticket error, None where the ticket is ok."""
        text = json.dumps(body).encode()
        tickets = await self.gateway.accept(decode_send_request(text), body=text)
        return [None if error is None else error.message for error in tickets.refused]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with SqliteFile(":memory:", durability="process") as file:
        desk = Desk(file)
        await desk.outbox.open()
        await desk.registry.open()
        await desk.registry.add_project(PROJECT)
        yield desk


async def test_an_unknown_token_that_the_node_sdk_takes_is_enrolled(desk: Desk) -> None:
    assert await desk.errors({"to": "ExponentPushToken[test-token-123]"}) == [None]

    (device,) = (await desk.registry.devices(["ExponentPushToken[test-token-123]"])).values()
    assert device.virtual
    assert device.project == PROJECT


async def test_an_enrolled_device_stays_the_same(desk: Desk) -> None:
    await desk.errors({"to": TOKEN})
    before = await desk.registry.devices([TOKEN])
    desk.use(TokenPolicy(project=PROJECT, platform=Platform.ANDROID))
    await desk.errors({"to": TOKEN})

    assert await desk.registry.devices([TOKEN]) == before


@pytest.mark.parametrize("platform", list(Platform))
async def test_the_platform_of_enrolled_devices_can_be_set(desk: Desk, platform: Platform) -> None:
    desk.use(TokenPolicy(project=PROJECT, platform=platform))
    tokens = [f"ExponentPushToken[{number:022}]" for number in range(10)]
    await desk.errors({"to": tokens})

    devices = await desk.registry.devices(tokens)
    assert {device.platform for device in devices.values()} == {platform}


async def test_without_a_platform_there_are_phones_of_both_kinds(desk: Desk) -> None:
    tokens = [f"ExponentPushToken[{number:022}]" for number in range(64)]
    await desk.errors({"to": tokens})

    devices = await desk.registry.devices(tokens)
    assert {device.platform for device in devices.values()} == set(PHONES)


async def test_strict_refuses_unknown_tokens_as_exp_host_does(desk: Desk) -> None:
    desk.use(TokenPolicy(project=PROJECT, strict=True))

    assert await desk.errors([{"to": [TOKEN, "ExponentPushToken[xd]"]}]) == [
        f'"{TOKEN}" is not a registered push notification recipient',
        '"ExponentPushToken[xd]" is not a valid Expo push token',
    ]


async def test_a_refused_batch_is_not_stored(desk: Desk) -> None:
    await desk.errors([{"to": "nonsense"}])

    assert await desk.outbox.pending_batches() == 0
    assert desk.wakes == 0


async def test_an_accepted_batch_is_stored_and_the_dispatcher_woken(desk: Desk) -> None:
    assert await desk.errors([{"to": ["nonsense", TOKEN]}]) == ['"nonsense" is not a valid Expo push token', None]

    (claim,) = await desk.outbox.claim(now=NOW, lease_s=1, limit=10)
    assert [pending.place for pending in claim.pending] == [1]
    assert claim.project_id == PROJECT.project_id
    assert accepted_at(claim.batch_id) == pytest.approx(NOW, abs=0.001)
    assert desk.wakes == 1


async def test_nothing_is_made_of_an_empty_request(desk: Desk) -> None:
    assert await desk.errors([]) == []
    assert await desk.errors({"to": []}) == []


async def test_a_registered_device_keeps_its_push_token_while_its_device_token_rotates(desk: Desk) -> None:
    token = await desk.gateway.register(REGISTRATION)
    rotated = await desk.gateway.register(replace(REGISTRATION, device_token="b2" * 32))

    assert rotated == token
    assert (await desk.registry.devices([token]))[token].device_token == "b2" * 32


async def test_updates_find_the_device_without_its_project(desk: Desk) -> None:
    token = await desk.gateway.register(REGISTRATION)

    found = await desk.gateway.update_device_token(
        device_id=REGISTRATION.device_id,
        app_id=REGISTRATION.app_id,
        device_token="c3" * 32,
        platform=Platform.IOS,
        sandbox=True,
    )

    device = (await desk.registry.devices([token]))[token]
    assert found == 1
    assert (device.device_token, device.sandbox) == ("c3" * 32, True)


async def test_tokens_of_two_projects_in_one_request_are_refused_with_a_map_of_them(desk: Desk) -> None:
    other = await desk.gateway.project(full_name="@acme/depot")
    ours = await desk.gateway.register(REGISTRATION)
    theirs = await desk.gateway.register(replace(REGISTRATION, project=other))

    with pytest.raises(RequestRefused) as refused:
        await desk.errors([{"to": [ours, "nonsense", theirs, ours]}])

    assert refused.value.code == "PUSH_TOO_MANY_EXPERIENCE_IDS"
    assert refused.value.details == {"@acme/shop": [ours], "@acme/depot": [theirs]}
    assert await desk.outbox.pending_batches() == 0


async def test_an_unknown_project_is_made_once(desk: Desk) -> None:
    project_id = "D3A7C0DE-0000-4000-8000-000000000001"

    made = await desk.gateway.project(project_id=project_id)

    assert made == await desk.gateway.project(project_id=project_id.lower())
    assert made.full_name == "@emulator/d3a7c0de-0000-4000-8000-000000000001"


async def test_a_phone_can_register_where_unknown_tokens_are_refused(desk: Desk) -> None:
    desk.use(TokenPolicy(project=PROJECT, strict=True))
    project = await desk.gateway.project(project_id="d3a7c0de-0000-4000-8000-000000000001")
    token = await desk.gateway.register(replace(REGISTRATION, project=project))

    assert await desk.errors({"to": token}) == [None]


async def test_strict_does_not_count_what_was_enrolled_before(desk: Desk) -> None:
    await desk.errors({"to": TOKEN})
    desk.use(TokenPolicy(project=PROJECT, strict=True))

    assert await desk.errors({"to": TOKEN}) == [f'"{TOKEN}" is not a registered push notification recipient']


async def test_test_tokens_go_with_the_tokens_of_any_project(desk: Desk) -> None:
    other = await desk.gateway.project(full_name="@acme/depot")
    theirs = await desk.gateway.register(replace(REGISTRATION, project=other))

    assert await desk.errors([{"to": [theirs, TOKEN]}]) == [None, None]


async def test_projects_whose_ids_begin_alike_are_two(desk: Desk) -> None:
    one = await desk.gateway.project(project_id="00000000-0000-4000-8000-000000000001")
    two = await desk.gateway.project(project_id="00000000-0000-4000-8000-000000000002")

    assert one.full_name != two.full_name


async def test_more_than_a_thousand_receipts_are_refused(desk: Desk) -> None:
    with pytest.raises(RequestRefused) as refused:
        await desk.gateway.receipts(["x"] * 1001)

    assert refused.value.message == (
        "You can request a maximum of 1000 receipts per request (received 1001); divide your requests."
    )
