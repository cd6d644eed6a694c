"""The SQLite registry: the contract, in memory and in a file, and what only it does."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from expo_gateway.errors import SettingsError, StoreUnavailable
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.protocol.device import ProjectKind, project_id_of
from expo_gateway.protocol.project import ConfiguredProject
from expo_gateway.registry.base import Registry
from expo_gateway.registry.sqlite import LOOK_EVERY_S, SqliteRegistry
from expo_gateway.sqlite_file import SqliteFile
from tests.registry.contract import NOW, OTHER_PUSH_TOKEN, PROJECT, PUSH_TOKEN, REGISTRATION, VIRTUAL, RegistryContract
from tests.registry.contract_projects import ConfiguredProjectsContract


@pytest.fixture(params=["memory", "file"])
async def file(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteFile]:
    path = ":memory:" if request.param == "memory" else tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process") as file:
        yield file


@pytest.fixture
async def registry(file: SqliteFile) -> Registry:
    registry = SqliteRegistry(file)
    await registry.open()
    return registry


class TestSqliteRegistry(RegistryContract, ConfiguredProjectsContract):
    pass


async def test_two_processes_that_register_a_device_at_once_give_it_one_push_token(tmp_path: Path) -> None:
    """Two files open on one path lock each other out like two processes."""
    path = tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process") as here, SqliteFile(path, durability="process") as there:
        registries = [SqliteRegistry(here), SqliteRegistry(there)]
        await asyncio.gather(*[registry.open() for registry in registries])

        devices = await asyncio.gather(
            *[
                registry.register(REGISTRATION, push_token=f"ExponentPushToken[{side}{i:021}]", now=NOW)
                for side, registry in enumerate(registries)
                for i in range(10)
            ]
        )

    assert len({device.push_token for device in devices}) == 1


class TwoProcesses:
    """Registries on one file, with a clock that both read."""

    def __init__(self, here: SqliteFile, there: SqliteFile) -> None:
        self.now = 0.0
        self.here, self.there = (SqliteRegistry(file, clock=lambda: self.now) for file in (here, there))

    def pass_time(self) -> None:
        self.now += LOOK_EVERY_S


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[TwoProcesses]:
    path = tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process") as here, SqliteFile(path, durability="process") as there:
        two = TwoProcesses(here, there)
        await two.here.open()
        await two.there.open()
        await two.here.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        await two.here.enrol([replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN)])
        assert len(await two.here.devices([PUSH_TOKEN, OTHER_PUSH_TOKEN])) == 2
        yield two


async def test_what_another_process_calls_dead_is_seen_half_a_second_later(two: TwoProcesses) -> None:
    await two.there.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW + 1)
    assert (await two.here.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at is None

    two.pass_time()

    assert (await two.here.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at == NOW + 1


async def test_what_another_process_rotates_or_forgets_is_seen_half_a_second_later(two: TwoProcesses) -> None:
    await two.there.update_device_token(
        device_id="3f2a", app_id="com.example.app", device_token="e5f6", platform="ios", sandbox=False, now=NOW + 1
    )
    await two.there.forget_device(OTHER_PUSH_TOKEN)

    two.pass_time()

    found = await two.here.devices([PUSH_TOKEN, OTHER_PUSH_TOKEN])
    assert {token: device.device_token for token, device in found.items()} == {PUSH_TOKEN: "e5f6"}


async def test_a_project_that_becomes_real_elsewhere_is_seen_half_a_second_later(two: TwoProcesses) -> None:
    real = replace(PROJECT, kind=ProjectKind.REAL)
    await two.there.configure(ConfiguredProject(project=real))

    two.pass_time()

    assert (await two.here.devices([PUSH_TOKEN]))[PUSH_TOKEN].project == real


async def test_a_project_that_is_removed_elsewhere_takes_its_devices_along(two: TwoProcesses) -> None:
    await two.there.remove_project(PROJECT.project_id)

    two.pass_time()

    assert await two.here.devices([PUSH_TOKEN, OTHER_PUSH_TOKEN]) == {}


async def test_who_asks_while_another_looks_is_not_answered_with_what_is_old(two: TwoProcesses) -> None:
    await two.there.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW + 1)
    two.pass_time()

    answers = await asyncio.gather(*(two.here.devices([PUSH_TOKEN]) for _ in range(3)))

    assert [answer[PUSH_TOKEN].gone_at for answer in answers] == [NOW + 1] * 3


async def test_who_looks_and_goes_away_keeps_nobody_from_looking(two: TwoProcesses) -> None:
    await two.there.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW + 1)
    two.pass_time()
    gone, stays = (asyncio.create_task(two.here.devices([PUSH_TOKEN])) for _ in range(2))
    await asyncio.sleep(0)

    gone.cancel()

    assert (await stays)[PUSH_TOKEN].gone_at == NOW + 1
    assert gone.cancelled()


async def test_after_a_look_that_failed_the_next_one_looks_again(two: TwoProcesses, tmp_path: Path) -> None:
    await two.there.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW + 1)
    two.pass_time()
    with sqlite3.connect(tmp_path / "gateway.db") as outsider:
        outsider.execute("ALTER TABLE device_changes RENAME TO hidden")
        outsider.commit()
        for looked in await asyncio.gather(*(two.here.devices([PUSH_TOKEN]) for _ in range(3)), return_exceptions=True):
            assert isinstance(looked, StoreUnavailable)
        outsider.execute("ALTER TABLE hidden RENAME TO device_changes")
    outsider.close()

    assert (await two.here.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at == NOW + 1


async def test_more_changes_than_are_kept_are_not_missed(two: TwoProcesses) -> None:
    other = replace(PROJECT, project_id=project_id_of("@owner/other"), full_name="@owner/other")
    await two.there.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW + 1)
    await two.there.enrol(
        [replace(VIRTUAL, push_token=f"ExponentPushToken[{i:022}]", project=other) for i in range(5000)]
    )
    assert await two.there.remove_project(other.project_id) == 5000

    two.pass_time()

    assert (await two.here.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at == NOW + 1


async def test_devices_are_there_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        async with SqliteFile(tmp_path / "gateway.db", durability="power") as file:
            registry = SqliteRegistry(file)
            await registry.open()
            assert await registry.enrol([VIRTUAL]) == {PUSH_TOKEN: VIRTUAL}


async def test_both_stores_live_in_one_file(file: SqliteFile, registry: Registry) -> None:
    outbox = SqliteOutbox(file)
    await outbox.open()

    assert await outbox.pending_batches() == 0
    assert await registry.projects() == []


async def test_tables_of_a_newer_program_are_refused(file: SqliteFile, registry: Registry) -> None:
    await file.write(lambda connection: connection.execute("INSERT INTO migrations VALUES ('registry', 9)").rowcount)

    with pytest.raises(SettingsError, match="registry tables have version 9"):
        await SqliteRegistry(file).open()
