"""The SQLite registry: the contract, in memory and in a file, and what only it does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from expo_gateway.errors import SettingsError
from expo_gateway.outbox.sqlite import SqliteOutbox
from expo_gateway.registry.base import Registry
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.sqlite_file import SqliteFile
from tests.registry.contract import NOW, OTHER_PUSH_TOKEN, PUSH_TOKEN, REGISTRATION, VIRTUAL, RegistryContract
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


async def test_devices_are_there_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        async with SqliteFile(tmp_path / "gateway.db", durability="power") as file:
            registry = SqliteRegistry(file)
            await registry.open()
            assert await registry.enrol([VIRTUAL]) == {PUSH_TOKEN: VIRTUAL}


async def test_the_push_token_of_another_device_is_not_given_away(registry: Registry) -> None:
    await registry.enrol([VIRTUAL])

    with pytest.raises(ValueError, match="another device's"):
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)


async def test_a_platform_that_does_not_exist_is_a_mistake(registry: Registry) -> None:
    await registry.register(REGISTRATION, push_token=OTHER_PUSH_TOKEN, now=NOW)

    with pytest.raises(ValueError, match="windows"):
        await registry.update_device_token(
            device_id="3f2a", app_id="com.example.app", device_token="x", platform="windows", sandbox=False, now=NOW
        )


async def test_both_stores_live_in_one_file(file: SqliteFile, registry: Registry) -> None:
    outbox = SqliteOutbox(file)
    await outbox.open()

    assert await outbox.pending_batches() == 0
    assert await registry.projects() == []


async def test_tables_of_a_newer_program_are_refused(file: SqliteFile, registry: Registry) -> None:
    await file.write(lambda connection: connection.execute("INSERT INTO migrations VALUES ('registry', 9)").rowcount)

    with pytest.raises(SettingsError, match="registry tables have version 9"):
        await SqliteRegistry(file).open()
