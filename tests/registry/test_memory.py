"""The registry in memory: the contract, its bounds, and the same answers as the SQLite registry gives."""

from collections.abc import Awaitable, Callable
from random import Random

import pytest
from msgspec.structs import replace

from expo_gateway.errors import StoreUnavailable
from expo_gateway.protocol.device import Platform, Project, ProjectKind, project_id_of
from expo_gateway.protocol.project import AccessToken, ConfiguredProject
from expo_gateway.registry.base import Registry
from expo_gateway.registry.memory import MemoryRegistry
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.sqlite_file import SqliteFile
from tests.registry.contract import (
    NOW,
    OTHER_PROJECT,
    OTHER_PUSH_TOKEN,
    PROJECT,
    PUSH_TOKEN,
    REGISTRATION,
    VIRTUAL,
    RegistryContract,
)
from tests.registry.contract_projects import CONFIGURED, ConfiguredProjectsContract


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


class TestMemoryRegistry(RegistryContract, ConfiguredProjectsContract):
    pass


async def test_registries_know_nothing_of_each_other(registry: MemoryRegistry) -> None:
    await registry.enrol([VIRTUAL])

    assert await MemoryRegistry().devices([PUSH_TOKEN]) == {}


async def test_a_device_too_many_is_refused_and_nobody_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    registry = MemoryRegistry(max_devices=2)
    known, another = VIRTUAL, replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN)
    too_many = replace(VIRTUAL, push_token="ExponentPushToken[third]", project=OTHER_PROJECT)
    await registry.enrol([known])

    with pytest.raises(StoreUnavailable, match="a run holds 2 devices"):
        await registry.enrol([another, too_many])
    await registry.enrol([another])
    with pytest.raises(StoreUnavailable, match="a run holds 2 devices"):
        await registry.register(replace(REGISTRATION, project=OTHER_PROJECT), push_token="new", now=NOW)

    assert await registry.list_devices() == [known, another]
    assert await registry.projects() == [PROJECT]
    assert len(caplog.records) == 1


async def test_a_full_registry_still_refreshes_who_is_there() -> None:
    registry = MemoryRegistry(max_devices=2, max_projects=1)
    await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
    await registry.enrol([replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN)])

    await registry.register(replace(REGISTRATION, device_token="e5f6"), push_token="new", now=NOW + 1)
    await registry.enrol([replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN)])
    await registry.configure(CONFIGURED)
    await registry.add_project(PROJECT)

    assert (await registry.devices([PUSH_TOKEN]))[PUSH_TOKEN].device_token == "e5f6"


async def test_a_forgotten_device_makes_room() -> None:
    registry = MemoryRegistry(max_devices=1)
    await registry.enrol([VIRTUAL])

    await registry.forget_device(PUSH_TOKEN)

    assert await registry.register(REGISTRATION, push_token=OTHER_PUSH_TOKEN, now=NOW)


async def test_a_project_too_many_is_refused_with_all_that_came_with_it() -> None:
    registry = MemoryRegistry(max_projects=1)
    await registry.add_project(PROJECT)
    stranger = replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN, project=OTHER_PROJECT)

    refused: list[Callable[[], Awaitable[object]]] = [
        lambda: registry.add_project(OTHER_PROJECT),
        lambda: registry.configure(ConfiguredProject(project=OTHER_PROJECT)),
        lambda: registry.enrol([VIRTUAL, stranger]),
        lambda: registry.register(replace(REGISTRATION, project=OTHER_PROJECT), push_token=PUSH_TOKEN, now=NOW),
    ]
    for call in refused:
        with pytest.raises(StoreUnavailable, match="a run holds 1 projects"):
            await call()

    assert await registry.projects() == [PROJECT]
    assert await registry.list_devices() == []


# -- whatever happens, the two stores say the same --------------------------------------------------------------------

PUSH_TOKENS = [f"ExponentPushToken[{number:022}]" for number in range(6)]
PROJECTS = [Project(project_id=project_id_of(name), full_name=name) for name in ("@a/a", "@a/b", "@b/a")]


def step(dice: Random) -> tuple[str, Callable[[Registry], Awaitable[object]]]:
    """One thing that may happen to a registry: its name, and how it is done to any of them."""
    push_token, device_id, app_id = dice.choice(PUSH_TOKENS), dice.choice("xy"), dice.choice("mn")
    device_token, platform, sandbox = dice.choice("st"), dice.choice(list(Platform)), dice.random() < 0.5
    now = NOW + dice.randrange(10)
    # Sometimes under the name of another, or of another kind.
    project = replace(
        dice.choice(PROJECTS),
        full_name=dice.choice([one.full_name for one in PROJECTS]),
        kind=dice.choice(list(ProjectKind)),
    )
    device = replace(
        VIRTUAL, push_token=push_token, project=project, platform=platform, device_token=device_token, app_id=app_id
    )
    registration = replace(
        REGISTRATION,
        device_id=device_id,
        app_id=app_id,
        project=project,
        platform=platform,
        device_token=device_token,
        sandbox=sandbox,
    )
    token = AccessToken(name=project.project_id[:4], sha256=project.project_id.encode(), hint="…", created_at=now)
    steps: list[tuple[str, Callable[[Registry], Awaitable[object]]]] = [
        ("enrol", lambda it: it.enrol([device])),
        ("register", lambda it: it.register(registration, push_token=push_token, now=now)),
        ("register", lambda it: it.register(registration, push_token=push_token, now=now)),
        ("gone", lambda it: it.mark_gone(push_token, device_token=device_token, gone_at=now)),
        (
            "rotate",
            lambda it: it.update_device_token(
                device_id=device_id,
                app_id=app_id,
                device_token=device_token,
                platform=platform.value,
                sandbox=sandbox,
                now=now,
            ),
        ),
        ("forget", lambda it: it.forget_device(push_token)),
        ("add project", lambda it: it.add_project(project)),
        ("configure", lambda it: it.configure(replace(CONFIGURED, project=project, requires_token=sandbox))),
        ("remove project", lambda it: it.remove_project(project.project_id)),
        ("add token", lambda it: it.add_access_token(project.project_id, token)),
        ("revoke token", lambda it: it.revoke_access_token(project.project_id, token.name)),
    ]
    return dice.choice(steps)


async def said(registry: Registry, do: Callable[[Registry], Awaitable[object]]) -> object:
    """What the registry says to it, and what there is to see afterwards."""
    try:
        answer = await do(registry)
    except ValueError as error:
        answer = str(error)
    return (
        answer,
        await registry.devices(PUSH_TOKENS),
        await registry.list_devices(project_id=PROJECTS[0].project_id, after=PUSH_TOKENS[1], limit=2),
        await registry.projects(),
        await registry.configured_projects(),
    )


@pytest.mark.parametrize("seed", range(8))
async def test_it_says_what_the_sqlite_registry_says_whatever_happens(seed: int, registry: MemoryRegistry) -> None:
    dice = Random(seed)
    async with SqliteFile(":memory:", durability="process") as file:
        sqlite = SqliteRegistry(file)
        await sqlite.open()
        for number in range(150):
            name, do = step(dice)
            assert await said(registry, do) == await said(sqlite, do), f"step {number}, {name}"
