"""What the gateway asks of a project before it takes messages in, and in which order."""

import json
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from expo_gateway.admission.access import TOKEN_RANDOM_BYTES, new_access_token
from expo_gateway.admission.desk import Admission
from expo_gateway.errors import RequestRefused
from expo_gateway.gateway import Gateway, TokenPolicy
from expo_gateway.live_projects import LiveProjects
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.device import Platform, Project, ProjectKind, Registration, project_id_of, virtual_device
from expo_gateway.protocol.message import decode_send_request
from expo_gateway.protocol.project import ApnsCredential, ApnsKeyFile, ConfiguredProject, FcmCredential
from expo_gateway.protocol.ticket import ticket_id
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.sqlite_file import SqliteFile

NOW = 1_767_657_694.556
SHOP = Project(project_id=project_id_of("@acme/shop"), full_name="@acme/shop", kind=ProjectKind.REAL)
EMULATED = Project(project_id=project_id_of("@emulator/app"), full_name="@emulator/app")
IPHONE, ANDROID, DEV_BUILD = (f"ExponentPushToken[{name:x<22}]" for name in ("iphone", "android", "devbuild"))
UNKNOWN = "ExponentPushToken[nobodysnobodysnobody12]"
STRANGE_ID = "d3a7c0de-0000-4000-8000-000000000001"
DEPOT = "ExponentPushToken[depotdepotdepotdepot12]"
APNS = ApnsCredential(
    secret=ApnsKeyFile(key_id="ABCDEFGHIJ", team_id="TEAMTEAM12", private_key_pem="-"), environment="production"
)
CONFIGURED = ConfiguredProject(
    project=SHOP, notifications_per_second=100, apns=(APNS,), fcm=FcmCredential(service_account={})
)
TOKEN, KEPT = new_access_token("ci", random_bytes=bytes(TOKEN_RANDOM_BYTES), now=NOW)


class Desk:
    """A gateway with a real project that has three devices."""

    def __init__(self, file: SqliteFile) -> None:
        self.outbox, self.registry = SqliteOutbox(file), SqliteRegistry(file)
        self.admission = Admission()
        self.live = LiveProjects(registry=self.registry, uses=[self.admission.use])
        self.make()

    def make(self, *, strict: bool | None = None, receipts_need_token: bool = False) -> None:
        self.gateway = Gateway(
            registry=self.registry,
            outbox=self.outbox,
            policy=TokenPolicy(project=EMULATED, strict=strict),
            clock=lambda: NOW,
            random_bytes=lambda count: bytes(count),
            wake=lambda _: None,
            admission=self.admission,
            refresh=self.live.refresh,
            receipts_need_token=receipts_need_token,
        )

    async def open(self) -> None:
        await self.outbox.open()
        await self.registry.open()
        await self.configure(CONFIGURED)
        for token, platform, sandbox in (
            (IPHONE, Platform.IOS, False),
            (ANDROID, Platform.ANDROID, False),
            (DEV_BUILD, Platform.IOS, True),
        ):
            registration = Registration(
                device_id=token,
                app_id="com.acme.shop",
                project=SHOP,
                platform=platform,
                device_token="a1" * 32,
                sandbox=sandbox,
            )
            await self.registry.register(registration, push_token=token, now=NOW)

    async def configure(self, configured: ConfiguredProject) -> None:
        await self.registry.configure(configured)
        await self.live.refresh()

    async def errors(self, *tokens: str, bearer: str | None = None) -> list[str | None]:
        """The error of each place's ticket, None where the ticket is ok."""
        body = json.dumps({"to": list(tokens)}).encode()
        tickets = await self.gateway.accept(decode_send_request(body), body=body, bearer=bearer)
        return [None if error is None else error.error for error in tickets.refused]

    async def refusal(self, *tokens: str, bearer: str | None = None) -> str:
        with pytest.raises(RequestRefused) as refused:
            await self.errors(*tokens, bearer=bearer)
        return refused.value.code


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with SqliteFile(":memory:", durability="process") as file:
        desk = Desk(file)
        await desk.open()
        yield desk


async def test_credentials_are_asked_for_by_platform_and_environment(desk: Desk) -> None:
    assert await desk.errors(IPHONE, ANDROID, DEV_BUILD) == [None, None, "InvalidCredentials"]

    await desk.configure(replace(CONFIGURED, apns=(), fcm=None))

    assert await desk.errors(IPHONE, ANDROID) == ["InvalidCredentials"] * 2
    assert await desk.outbox.pending_batches() == 1


async def test_credentials_for_other_apps_are_none(desk: Desk) -> None:
    await desk.configure(replace(CONFIGURED, apns=(replace(APNS, bundle_ids=("com.acme.desk",)),)))

    assert await desk.errors(IPHONE) == ["InvalidCredentials"]


async def test_a_dead_device_is_dead_whatever_is_configured(desk: Desk) -> None:
    await desk.configure(replace(CONFIGURED, apns=()))
    await desk.registry.mark_gone(IPHONE, device_token="a1" * 32, gone_at=NOW)

    assert await desk.errors(IPHONE) == ["DeviceNotRegistered"]


async def test_beside_a_real_device_an_unknown_token_is_unknown_and_not_enrolled(desk: Desk) -> None:
    desk.make(strict=False)

    assert await desk.errors(IPHONE, UNKNOWN) == [None, "DeviceNotRegistered"]
    assert await desk.errors(UNKNOWN) == [None]


async def test_a_virtual_device_of_a_project_that_became_real_is_refused(desk: Desk) -> None:
    await desk.registry.enrol([virtual_device(UNKNOWN, project=SHOP, platform=None, now=NOW)])

    assert await desk.errors(UNKNOWN, IPHONE) == ["DeviceNotRegistered", None]


async def test_a_virtual_device_is_unknown_beside_a_real_one(desk: Desk) -> None:
    desk.make(strict=False)
    assert await desk.errors(UNKNOWN) == [None]

    assert await desk.errors(UNKNOWN, IPHONE) == ["DeviceNotRegistered", None]


async def test_with_a_real_project_unknown_tokens_are_refused_unless_told_otherwise(desk: Desk) -> None:
    assert await desk.errors(UNKNOWN, "ExponentPushToken[xd]") == ["DeviceNotRegistered"] * 2
    assert await desk.registry.devices([UNKNOWN]) == {}

    desk.make(strict=False)

    assert await desk.errors(UNKNOWN) == [None]


async def test_unknown_tokens_follow_the_real_projects_while_it_runs(desk: Desk) -> None:
    await desk.registry.remove_project(SHOP.project_id)
    await desk.live.refresh()
    assert await desk.errors(UNKNOWN) == [None]

    await desk.configure(CONFIGURED)
    assert await desk.errors(UNKNOWN) == ["DeviceNotRegistered"]

    await desk.registry.remove_project(SHOP.project_id)
    await desk.live.refresh()
    assert await desk.errors(UNKNOWN) == [None]


@pytest.mark.parametrize("strict", [None, True])
async def test_with_a_real_project_a_phone_of_an_unknown_one_is_refused(desk: Desk, strict: bool | None) -> None:
    desk.make(strict=strict)
    before = await desk.registry.projects()

    for unknown in ({"project_id": STRANGE_ID}, {"full_name": "@strange/app"}):
        with pytest.raises(RequestRefused) as refused:
            await desk.gateway.project(**unknown)
        assert (refused.value.code, refused.value.status) == ("EXPERIENCE_NOT_FOUND", 400)
        assert next(iter(unknown.values())) in refused.value.message

    assert await desk.registry.projects() == before
    assert await desk.gateway.project(project_id=SHOP.project_id.upper()) == SHOP


@pytest.mark.parametrize(("strict", "is_real_there"), [(False, True), (None, False), (True, False)])
async def test_a_phone_of_an_unknown_project_registers_where_nothing_is_real_or_it_was_allowed(
    desk: Desk, strict: bool | None, is_real_there: bool
) -> None:
    desk.make(strict=strict)
    if not is_real_there:
        await desk.registry.remove_project(SHOP.project_id)
        await desk.live.refresh()

    assert (await desk.gateway.project(project_id=STRANGE_ID)).full_name == f"@emulator/{STRANGE_ID}"
    assert (await desk.gateway.project(full_name="@strange/app")).kind is ProjectKind.EMULATED


async def test_mixed_projects_are_told_before_a_missing_access_token(desk: Desk) -> None:
    depot = Project(project_id=project_id_of("@acme/depot"), full_name="@acme/depot")
    await desk.registry.register(
        Registration(
            device_id="depot",
            app_id="com.acme.depot",
            project=depot,
            platform=Platform.IOS,
            device_token="b2" * 32,
            sandbox=False,
        ),
        push_token=DEPOT,
        now=NOW,
    )
    await desk.configure(replace(CONFIGURED, requires_token=True))

    assert await desk.refusal(DEPOT, IPHONE) == "PUSH_TOO_MANY_EXPERIENCE_IDS"
    assert await desk.refusal(IPHONE) == "UNAUTHORIZED"


async def test_who_may_not_send_uses_nothing_of_the_rate_up(desk: Desk) -> None:
    await desk.registry.add_access_token(SHOP.project_id, KEPT)
    await desk.configure(replace(CONFIGURED, requires_token=True))
    for _ in range(3):
        assert await desk.refusal(*[IPHONE] * 100) == "UNAUTHORIZED"

    assert await desk.errors(*[IPHONE] * 100, bearer=TOKEN) == [None] * 100
    assert await desk.refusal(IPHONE, bearer=TOKEN) == "TOO_MANY_REQUESTS"


async def test_a_request_over_the_rate_leaves_nothing_behind(desk: Desk) -> None:
    await desk.errors(*[IPHONE] * 100)

    assert await desk.refusal(IPHONE, ANDROID) == "TOO_MANY_REQUESTS"
    assert await desk.outbox.pending_batches() == 1


async def test_emulated_projects_take_any_token_and_any_number(desk: Desk) -> None:
    desk.make(strict=False)

    for _ in range(8):
        assert await desk.errors(*[UNKNOWN] * 100, bearer="whatever") == [None] * 100


async def test_an_emulated_project_that_requires_a_token_asks_before_its_first_virtual_device(desk: Desk) -> None:
    desk.make(strict=False)
    await desk.registry.add_project(EMULATED)
    await desk.registry.add_access_token(EMULATED.project_id, KEPT)
    await desk.configure(ConfiguredProject(project=EMULATED, requires_token=True))

    assert await desk.refusal(UNKNOWN) == "UNAUTHORIZED"
    assert await desk.refusal(UNKNOWN, bearer="wrong") == "invalid_token"
    assert await desk.registry.devices([UNKNOWN]) == {}
    assert await desk.errors(UNKNOWN, bearer=TOKEN) == [None]
    assert await desk.refusal(UNKNOWN) == "UNAUTHORIZED"


async def test_an_emulated_project_over_its_rate_enrols_nobody(desk: Desk) -> None:
    desk.make(strict=False)
    await desk.configure(ConfiguredProject(project=EMULATED, notifications_per_second=1))
    await desk.errors(UNKNOWN)

    assert await desk.refusal(DEPOT) == "TOO_MANY_REQUESTS"
    assert await desk.registry.devices([DEPOT]) == {}


async def test_a_request_without_a_device_is_nobodys_and_needs_no_token(desk: Desk) -> None:
    await desk.configure(replace(CONFIGURED, requires_token=True))

    assert await desk.errors("x") == ["DeviceNotRegistered"]


async def test_a_project_that_was_made_just_now_is_asked_for(desk: Desk) -> None:
    renamed = replace(CONFIGURED, project=replace(SHOP, full_name="@acme/renamed"), requires_token=True)
    await desk.registry.configure(renamed)

    assert await desk.refusal(IPHONE) == "UNAUTHORIZED"


async def test_receipts_need_no_token_unless_they_are_told_to(desk: Desk) -> None:
    await desk.registry.add_access_token(SHOP.project_id, KEPT)
    body = json.dumps({"to": IPHONE}).encode()
    tickets = await desk.gateway.accept(decode_send_request(body), body=body)
    ids = [ticket_id(tickets.batch_id, 0), "unheard of"]
    await desk.configure(replace(CONFIGURED, requires_token=True))
    assert await desk.gateway.receipts(ids) == {}

    desk.make(receipts_need_token=True)

    assert await desk.gateway.receipts(ids, bearer=TOKEN) == {}
    assert await desk.gateway.receipts(ids[1:]) == {}
    with pytest.raises(RequestRefused, match="UNAUTHORIZED"):
        await desk.gateway.receipts(ids)
