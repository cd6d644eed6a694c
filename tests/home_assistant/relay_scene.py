"""A relay over stores in memory, without anybody who delivers: receipts are written by the test."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from expo_gateway.admission.desk import Admission
from expo_gateway.gateway import Gateway, TokenPolicy
from expo_gateway.home_assistant.recipients import Recipients
from expo_gateway.home_assistant.relay import Relay
from expo_gateway.live_projects import LiveProjects
from expo_gateway.outbox.base import Claim, Progress
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.device import Platform, Project, Registration, project_id_of
from expo_gateway.protocol.native import NativeMessage
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON, FailedReceipt
from expo_gateway.protocol.stored import decode_stored
from expo_gateway.protocol.ticket import parse_ticket_id
from expo_gateway.providers.local import RelayAnswer
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.registry.sqlite_home_assistant import SqliteHomeAssistant
from expo_gateway.sqlite_file import SqliteFile

NOON = 1_795_348_800.0  # 2026-11-22
DAY_S = 86_400
EMULATED = Project(project_id=project_id_of("@emulator/app"), full_name="@emulator/app")
PHONE = "ExponentPushToken[phonephonephonephone12]"
FCM_TOKEN = "abc:ok201"
APNS_TOKEN = "a1" * 32


class Scene:
    def __init__(self, file: SqliteFile, *, strict: bool | None, project: str | None) -> None:
        self.file = file
        self.now = NOON
        self.outbox, self.registry, self.store = SqliteOutbox(file), SqliteRegistry(file), SqliteHomeAssistant(file)
        self.admission = Admission()
        self.live = LiveProjects(registry=self.registry, uses=[self.admission.use])
        policy = TokenPolicy(project=EMULATED, strict=strict)
        self.gateway = Gateway(
            registry=self.registry,
            outbox=self.outbox,
            policy=policy,
            clock=lambda: self.now,
            random_bytes=self._random_bytes,
            wake=lambda _: None,
            admission=self.admission,
            refresh=self.live.refresh,
        )
        self.recipients = Recipients(
            registry=self.registry,
            gateway=self.gateway,
            policy=policy,
            has_real=lambda: self.admission.has_real,
            project=project,
        )
        self._made = 0

    def relay(self, *, exact: bool = False, max_per_day: int = 500, exact_wait_s: float = 8.0) -> Relay:
        return Relay(
            gateway=self.gateway,
            recipients=self.recipients,
            store=self.store,
            outbox=self.outbox,
            clock=lambda: self.now,
            max_per_day=max_per_day,
            exact=exact,
            exact_wait_s=exact_wait_s,
        )

    def _random_bytes(self, count: int) -> bytes:
        self._made += 1
        return self._made.to_bytes(count, "big")

    async def register(self, platform: Platform, device_token: str, *, project: Project = EMULATED) -> str:
        """Its push token."""
        return await self.gateway.register(
            Registration(
                device_id="phone",
                app_id="com.acme.home",
                project=project,
                platform=platform,
                device_token=device_token,
                sandbox=False,
            )
        )

    async def accepted(self) -> list[NativeMessage]:
        """What is to be sent; asked for once."""
        return [message for claim in await self._claim() for message in _messages(claim)]

    async def settle(self, answer: RelayAnswer, receipt: FailedReceipt | None = None) -> None:
        parsed = parse_ticket_id(str(answer.body["messageId"]))
        assert parsed is not None
        written = RECEIPT_OK_JSON if receipt is None else receipt.to_json(sent_at=self.now)
        await self.outbox.record([Progress(batch_id=parsed[0], receipts={parsed[1]: written})])

    async def _claim(self) -> list[Claim]:
        return await self.outbox.claim(now=self.now + 1, lease_s=60, limit=1000)


def _messages(claim: Claim) -> list[NativeMessage]:
    messages = decode_stored(claim.body).messages
    return [message for message in messages if isinstance(message, NativeMessage)]


@asynccontextmanager
async def opened(*, strict: bool | None = None, project: str | None = None) -> AsyncIterator[Scene]:
    async with SqliteFile(":memory:", durability="process") as file:
        scene = Scene(file, strict=strict, project=project)
        await scene.outbox.open()
        await scene.registry.open()
        yield scene


def posted(push_token: str = PHONE, message: str = "Hello World", **fields: object) -> dict[str, Any]:
    """As Home Assistant posts it."""
    info = {"app_id": "io.robbie.HomeAssistant", "app_version": "2026.11", "webhook_id": "5f" * 32, "os_version": "18"}
    return {"message": message, "push_token": push_token, "registration_info": info, **fields}


def body(push_token: str = PHONE, **fields: Any) -> bytes:
    return json.dumps(posted(push_token, **fields)).encode()
