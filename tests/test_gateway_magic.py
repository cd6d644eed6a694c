"""What magic push tokens do at the gateway: tickets, whole requests, and receipts that are held."""

import json
from collections.abc import Mapping

import pytest

from expo_gateway.admission.desk import Admission
from expo_gateway.errors import RequestRefused
from expo_gateway.gateway import Gateway, Tickets, TokenPolicy
from expo_gateway.outbox.base import Progress
from expo_gateway.outbox.memory import MemoryBatches, MemoryOutbox
from expo_gateway.protocol.device import Platform, Project, ProjectKind, Registration, project_id_of
from expo_gateway.protocol.magic import OTHER_PROJECT
from expo_gateway.protocol.message import decode_send_request
from expo_gateway.protocol.project import ConfiguredProject
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON, held_receipt
from expo_gateway.protocol.ticket import accepted_at, ticket_id
from expo_gateway.registry.memory import MemoryRegistry
from tests.magic_push_tokens import magic_push_token

NOW = 1_767_657_694.556
PROJECT = Project(project_id=project_id_of("@emulator/app"), full_name="@emulator/app")
ORDINARY = "ExponentPushToken[ordinaryordinaryordin1]"
GONE, BUSY, OTHER, PENDING = (magic_push_token(word) for word in ("gone", "busy", "otherproject", "pending"))
REGISTRATION = Registration(
    device_id="0f1e2d3c-0000-4000-8000-000000000001",
    app_id="com.acme.shop",
    project=Project(project_id=project_id_of("@acme/shop"), full_name="@acme/shop"),
    platform=Platform.IOS,
    device_token="a1" * 32,
    sandbox=False,
)


class Desk:
    """A gateway over a run's stores, with a clock that tests move."""

    def __init__(self) -> None:
        self.now = NOW
        self.outbox, self.registry = MemoryOutbox(MemoryBatches()), MemoryRegistry()
        self.admission = Admission()
        self.use(TokenPolicy(project=PROJECT))

    def use(self, policy: TokenPolicy) -> None:
        self.gateway = Gateway(
            registry=self.registry,
            outbox=self.outbox,
            policy=policy,
            clock=lambda: self.now,
            random_bytes=bytes,
            wake=lambda _: None,
            admission=self.admission,
        )

    async def send(self, *tokens: str) -> list[str | None]:
        """The error of each place's ticket, None where it is ok."""
        return [None if error is None else error.error for error in (await self.tickets(*tokens)).refused]

    async def tickets(self, *tokens: str) -> Tickets:
        body = json.dumps({"to": tokens}).encode()
        return await self.gateway.accept(decode_send_request(body), body=body)

    async def refusal(self, *tokens: str) -> RequestRefused:
        with pytest.raises(RequestRefused) as raised:
            await self.tickets(*tokens)
        return raised.value


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.registry.add_project(PROJECT)
    return desk


async def test_a_gone_device_has_its_ticket_error_every_time(desk: Desk) -> None:
    assert [await desk.send(GONE, ORDINARY) for _ in range(3)] == [["DeviceNotRegistered", None]] * 3


async def test_the_first_request_to_a_busy_device_is_refused_and_the_next_is_not(desk: Desk) -> None:
    refused = await desk.refusal(ORDINARY, BUSY)

    assert (refused.code, refused.status, refused.is_transient, refused.retry_after_s) == (
        "TOO_MANY_REQUESTS",
        429,
        True,
        1,
    )
    assert await desk.outbox.pending_batches() == 0
    assert [await desk.send(ORDINARY, BUSY) for _ in range(2)] == [[None, None]] * 2


async def test_another_busy_device_is_busy_by_itself(desk: Desk) -> None:
    await desk.refusal(BUSY)

    assert (await desk.refusal(BUSY, magic_push_token("busy", number=2))).status == 429


async def test_a_device_of_the_other_project_is_sent_to_alone(desk: Desk) -> None:
    assert await desk.send(OTHER, magic_push_token("otherproject", number=2)) == [None, None]

    (claim,) = await desk.outbox.claim(now=desk.now, lease_s=1, limit=1)
    assert claim.project_id == OTHER_PROJECT.project_id


@pytest.mark.parametrize("already_enrolled", [False, True])
async def test_the_other_project_in_a_request_with_any_device_is_refused(desk: Desk, already_enrolled: bool) -> None:
    if already_enrolled:
        await desk.send(OTHER)
        await desk.send(ORDINARY)

    refused = await desk.refusal(ORDINARY, OTHER, ORDINARY)

    assert refused.code == "PUSH_TOO_MANY_EXPERIENCE_IDS"
    assert refused.details == {"@emulator/app": [ORDINARY], "@emulator/other": [OTHER]}


async def test_so_it_is_beside_a_registered_device(desk: Desk) -> None:
    registered = await desk.gateway.register(REGISTRATION)

    refused = await desk.refusal(registered, OTHER)

    assert refused.details == {"@acme/shop": [registered], "@emulator/other": [OTHER]}


async def test_a_misspelt_kind_refuses_the_request_and_enrols_nothing(desk: Desk) -> None:
    refused = await desk.refusal(ORDINARY, "ExponentPushToken[magic-gnoe-00000000001]")

    assert refused.code == "VALIDATION_ERROR"
    assert await desk.registry.devices([ORDINARY]) == {}


# -- where they do not work -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [BUSY, OTHER, PENDING, "ExponentPushToken[magic-gnoe-00000000001]"])
async def test_strict_they_are_push_tokens_that_nobody_registered(desk: Desk, token: str) -> None:
    desk.use(TokenPolicy(project=PROJECT, strict=True))

    assert await desk.send(token) == ["DeviceNotRegistered"]


@pytest.mark.parametrize("enrolled_before", [False, True])
async def test_so_they_are_once_a_project_is_real(desk: Desk, enrolled_before: bool) -> None:
    if enrolled_before:
        await desk.send(OTHER)
        await desk.send(PENDING)
    real = Project(project_id=project_id_of("@acme/real"), full_name="@acme/real", kind=ProjectKind.REAL)
    desk.admission.use([ConfiguredProject(project=real)])

    assert await desk.send(OTHER, PENDING) == ["DeviceNotRegistered"] * 2


async def test_turned_off_they_are_like_any(desk: Desk) -> None:
    desk.use(TokenPolicy(project=PROJECT, magic=False))
    tokens = [GONE, BUSY, OTHER, ORDINARY, "ExponentPushToken[magic-gnoe-00000000001]"]

    assert await desk.send(*tokens) == [None] * 5
    assert {device.project for device in (await desk.registry.devices(tokens)).values()} == {PROJECT}


async def test_turned_off_the_other_project_is_any_devices_beside_a_registered_one(desk: Desk) -> None:
    desk.use(TokenPolicy(project=PROJECT, magic=False))
    registered = await desk.gateway.register(REGISTRATION)

    assert await desk.send(registered, OTHER) == [None, None]


# -- receipts ---------------------------------------------------------------------------------------------------------


async def test_a_held_receipt_is_shown_by_the_gateways_clock(desk: Desk) -> None:
    tickets = await desk.tickets(ORDINARY, PENDING)
    until = accepted_at(tickets.batch_id) + 30.0
    receipts = {0: held_receipt(until), 1: held_receipt(float("inf"))}
    await desk.outbox.record([Progress(batch_id=tickets.batch_id, receipts=receipts)])
    ids = [ticket_id(tickets.batch_id, place) for place in range(2)]

    found: list[Mapping[str, bytes]] = []
    for after_s in (0.0, 29.9, 30.0, 23 * 3600.0):
        desk.now = NOW + after_s
        found.append(await desk.gateway.receipts(ids))

    assert found == [{}, {}, {ids[0]: RECEIPT_OK_JSON}, {ids[0]: RECEIPT_OK_JSON}]
