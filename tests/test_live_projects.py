"""What a running gateway says of changes to projects: names of what has changed, never what it holds."""

import dataclasses
import logging
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from expo_gateway.admission.access import TOKEN_RANDOM_BYTES, new_access_token
from expo_gateway.live_projects import LiveProjects, changes
from expo_gateway.protocol.device import Project, ProjectKind, made_for
from expo_gateway.protocol.project import ApnsCredential, ApnsKeyFile, ConfiguredProject, FcmCredential
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.sqlite_file import SqliteFile

PROJECT_ID = "d3a7c0de-0000-4000-8000-000000000001"
KEY = ApnsKeyFile(key_id="ABCDEFGHIJ", team_id="TEAMTEAM12", private_key_pem="a private key")
SHOP = ConfiguredProject(
    project=Project(project_id=PROJECT_ID, full_name="@acme/shop", kind=ProjectKind.REAL),
    notifications_per_second=600,
    apns=(ApnsCredential(secret=KEY),),
    fcm=FcmCredential(service_account={"private_key": "a private key"}),
)
_, TOKEN = new_access_token("ci", random_bytes=bytes(TOKEN_RANDOM_BYTES), now=0.0)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (SHOP, []),
        (replace(SHOP, tokens=(TOKEN,)), ["project @acme/shop has changed: tokens"]),
        (
            replace(SHOP, apns=(replace(SHOP.apns[0], secret=dataclasses.replace(KEY, private_key_pem="another")),)),
            ["project @acme/shop has changed: apns"],
        ),
        (
            replace(SHOP, fcm=None, requires_token=True, notifications_per_second=None),
            ["project @acme/shop has changed: fcm, requires_token, notifications_per_second"],
        ),
        (
            replace(SHOP, project=replace(SHOP.project, full_name="@acme/store")),
            ["project @acme/store has changed: full_name"],
        ),
    ],
)
def test_a_change_is_told_by_the_names_of_what_has_changed(now: ConfiguredProject, said: list[str]) -> None:
    assert list(changes([SHOP], [now])) == said


def test_projects_come_and_go() -> None:
    assert list(changes([], [SHOP])) == ["project @acme/shop was added: kind, apns, fcm, notifications_per_second"]
    assert list(changes([SHOP], [])) == ["project @acme/shop was removed"]


def test_a_project_that_a_phone_made_is_no_change() -> None:
    assert list(changes([SHOP], [SHOP, ConfiguredProject(project=made_for(PROJECT_ID.replace("1", "2")))])) == []


@pytest.fixture
async def registry() -> AsyncIterator[SqliteRegistry]:
    async with SqliteFile(":memory:", durability="process") as file:
        registry = SqliteRegistry(file)
        await registry.open()
        yield registry


async def test_a_change_is_logged_once_and_what_was_there_at_the_start_is_not(
    registry: SqliteRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "expo_gateway.live_projects")
    await registry.configure(SHOP)
    live = LiveProjects(registry=registry, uses=[])
    await live.refresh()
    assert caplog.messages == []

    await registry.add_access_token(PROJECT_ID, TOKEN)
    await live.refresh()
    await live.refresh()

    assert caplog.messages == ["project @acme/shop has changed: tokens"]
