"""The registry in a SQLite file: projects, and their devices by push token.

Devices that were asked for before are answered from memory (`device_cache.py`). What this registry changes is right
there as soon as its call returns; what others change in the file, another process of the gateway or of the command
line, within LOOK_EVERY_S.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from sys import intern
from typing import Final, TypeVar

from expo_gateway.protocol.device import Device, Platform, Project, ProjectKind, Registration
from expo_gateway.protocol.project import AccessToken, ConfiguredProject
from expo_gateway.registry import sqlite_projects
from expo_gateway.registry.device_cache import Change, DeviceCache
from expo_gateway.registry.sqlite_projects import add_project, project_of
from expo_gateway.sqlite_connection import migration_scripts
from expo_gateway.sqlite_file import SqliteFile
from expo_gateway.sqlite_group import Op

T = TypeVar("T")

MIGRATIONS: Final = Path(__file__).with_name("migrations")
# Below the 999 that SQLite allowed before 3.32.
MAX_PARAMETERS: Final = 500
# Our choice: a device that another process calls dead is refused within a second, and looking costs some 0.1 ms.
LOOK_EVERY_S: Final = 0.5

_COLUMNS: Final = (
    "push_token, project_id, full_name, kind, platform, device_token, app_id, registered_at, sandbox, virtual, gone_at"
)
_DEVICES = f"SELECT {_COLUMNS} FROM devices JOIN projects USING (project_id) WHERE push_token IN ({{}})"
_LIST = f"""
SELECT {_COLUMNS} FROM devices JOIN projects USING (project_id)
WHERE push_token > :after AND (:project_id IS NULL OR project_id = :project_id) ORDER BY push_token LIMIT :limit
"""
_WITH_TOKEN = f"""
SELECT {_COLUMNS} FROM devices JOIN projects USING (project_id) WHERE device_token = ? AND platform <> 'local'
ORDER BY gone_at IS NULL DESC, registered_at DESC LIMIT 1
"""
_CHANGES = "SELECT number, push_token FROM device_changes WHERE number > ? ORDER BY number"
_ENROL = """
INSERT INTO devices (push_token, project_id, app_id, platform, device_token, sandbox, virtual, registered_at, gone_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (push_token) DO NOTHING
"""
_KNOWN = "SELECT push_token FROM devices WHERE device_id = ? AND app_id = ? AND project_id = ?"
_REFRESH = """
UPDATE devices SET platform = ?, device_token = ?, sandbox = ?, registered_at = ?, gone_at = NULL WHERE push_token = ?
"""
_REGISTER = """
INSERT INTO devices (push_token, project_id, device_id, app_id, platform, device_token, sandbox, virtual, registered_at)
VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)
"""
_ROTATE = """
UPDATE devices SET platform = ?, device_token = ?, sandbox = ?, registered_at = ?, gone_at = NULL
WHERE device_id = ? AND app_id = ?
"""
_GONE = """
UPDATE devices SET gone_at = min(coalesce(gone_at, :gone_at), :gone_at)
WHERE push_token = :push_token AND device_token = :device_token AND registered_at <= :gone_at
"""


class SqliteRegistry:
    """Implements Registry. Any number of them, in any number of processes, may share a file."""

    def __init__(self, file: SqliteFile, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._cache = DeviceCache()
        self._look_at = float("-inf")
        """When the changes that others made are due to be looked at."""
        self._looking: asyncio.Task[dict[str, Device]] | None = None
        """The look that is under way: whoever comes meanwhile waits for it, and answers from nothing older."""

    async def open(self) -> None:
        """Make or update the tables. SettingsError: they were made by a newer program."""
        await self._file.migrate("registry", migration_scripts(MIGRATIONS))

    async def devices(self, push_tokens: Sequence[str]) -> Mapping[str, Device]:
        if self._clock() >= self._look_at:
            await self._look()
        found = self._cache.known(push_tokens)
        if len(found) < len(push_tokens):
            missing = [push_token for push_token in push_tokens if push_token not in found]
            found.update(await self._look_up(missing) if missing else {})
        return found

    async def device_with_token(self, device_token: str) -> Device | None:
        return await self._file.read(partial(_device_with_token, device_token=device_token))

    async def enrol(self, devices: Sequence[Device]) -> Mapping[str, Device]:
        return await self._write(partial(_enrol, devices=devices)) if devices else {}

    async def register(self, registration: Registration, *, push_token: str, now: float) -> Device:
        """ValueError: the push token is another device's."""
        return await self._write(partial(_register, registration=registration, push_token=push_token, now=now))

    async def update_device_token(
        self, *, device_id: str, app_id: str, device_token: str, platform: str, sandbox: bool, now: float
    ) -> int:
        """ValueError: no such platform."""
        parameters = (Platform(platform).value, device_token, sandbox, now, device_id, app_id)
        return await self._write(lambda connection: connection.execute(_ROTATE, parameters).rowcount)

    async def mark_gone(self, push_token: str, *, device_token: str, gone_at: float) -> bool:
        """A device that is gone already stays so, since the earlier of the two instants; that is True as well."""
        parameters = {"push_token": push_token, "device_token": device_token, "gone_at": gone_at}
        return await self._write(lambda connection: connection.execute(_GONE, parameters).rowcount > 0)

    async def projects(self) -> Sequence[Project]:
        """By full name."""
        return await self._file.read(sqlite_projects.projects)

    async def project(self, *, project_id: str) -> Project | None:
        return await self._file.read(partial(project_of, where="project_id", value=project_id))

    async def project_named(self, full_name: str) -> Project | None:
        return await self._file.read(partial(project_of, where="full_name", value=full_name))

    async def add_project(self, project: Project) -> Project:
        return await self._file.write(partial(add_project, project=project))

    async def configured_projects(self) -> Sequence[ConfiguredProject]:
        return await self._file.read(sqlite_projects.configured_projects)

    async def projects_version(self) -> int:
        return await self._file.read(sqlite_projects.version)

    async def configure(self, configured: ConfiguredProject) -> None:
        await self._write(partial(sqlite_projects.configure, configured=configured))

    async def remove_project(self, project_id: str) -> int:
        return await self._write(partial(sqlite_projects.remove, project_id=project_id))

    async def add_access_token(self, project_id: str, token: AccessToken) -> bool:
        return await self._file.write(partial(sqlite_projects.add_token, project_id=project_id, token=token))

    async def revoke_access_token(self, project_id: str, name: str) -> bool:
        return await self._file.write(partial(sqlite_projects.revoke_token, project_id=project_id, name=name))

    async def list_devices(
        self, *, project_id: str | None = None, after: str = "", limit: int = 100
    ) -> Sequence[Device]:
        return await self._file.read(partial(_list_devices, project_id=project_id, after=after, limit=limit))

    async def count_devices(self) -> int:
        return await self._file.read(_count_devices)

    async def forget_device(self, push_token: str) -> bool:
        op = "DELETE FROM devices WHERE push_token = ?"
        return await self._write(lambda connection: connection.execute(op, (push_token,)).rowcount > 0)

    async def _look(self) -> None:
        """See what has changed about any device. StoreUnavailable for all who wait."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_up(()), name="registry-look")
            self._looking.add_done_callback(self._looked)
        await asyncio.shield(self._looking)

    def _looked(self, _: object) -> None:
        self._looking = None

    async def _look_up(self, push_tokens: Sequence[str]) -> dict[str, Device]:
        """Read these devices, and what has changed about any."""
        seen, began_at = self._cache.seen, self._clock()
        changes, devices = await self._file.read(partial(_changes_and_devices, after=seen, push_tokens=push_tokens))
        self._cache.see(changes)
        self._cache.keep(devices, read_at=changes[-1][0] if changes else seen)
        self._look_at = max(self._look_at, began_at + LOOK_EVERY_S)
        return devices

    async def _write(self, op: Op[T]) -> T:
        """What it changes about devices is known when this returns."""
        value, changes = await self._file.write(partial(_value_and_changes, op=op, after=self._cache.seen))
        self._cache.see(changes)
        return value


def _changes(connection: sqlite3.Connection, *, after: int) -> list[Change]:
    return connection.execute(_CHANGES, (after,)).fetchall()


def _value_and_changes(connection: sqlite3.Connection, *, op: Op[T], after: int) -> tuple[T, list[Change]]:
    value = op(connection)
    return value, _changes(connection, after=after)


def _changes_and_devices(
    connection: sqlite3.Connection, *, after: int, push_tokens: Sequence[str]
) -> tuple[list[Change], dict[str, Device]]:
    """In this order: a change that comes in between is then seen later, and not missed."""
    return _changes(connection, after=after), _devices(connection, push_tokens=push_tokens)


def _devices(connection: sqlite3.Connection, *, push_tokens: Sequence[str]) -> dict[str, Device]:
    found = {}
    projects: dict[str, Project] = {}
    for chunk in _chunks(push_tokens):
        for row in connection.execute(_DEVICES.format(",".join("?" * len(chunk))), chunk).fetchall():
            found[row[0]] = _device(row, projects)
    return found


def _device_with_token(connection: sqlite3.Connection, *, device_token: str) -> Device | None:
    row = connection.execute(_WITH_TOKEN, (device_token,)).fetchone()
    return None if row is None else _device(row, {})


def _list_devices(connection: sqlite3.Connection, *, project_id: str | None, after: str, limit: int) -> list[Device]:
    projects: dict[str, Project] = {}
    parameters = {"project_id": project_id, "after": after, "limit": limit}
    return [_device(row, projects) for row in connection.execute(_LIST, parameters).fetchall()]


def _count_devices(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM devices").fetchone()[0]
    return count


def _chunks(push_tokens: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(dict.fromkeys(push_tokens))
    while chunk := list(islice(rest, MAX_PARAMETERS)):
        yield chunk


# The columns of _COLUMNS.
_Row = tuple[str, str, str, str, str, str, str, float, int, int, float | None]


def _device(row: _Row, projects: dict[str, Project]) -> Device:
    """`projects` are those of the rows before, so that devices share them."""
    push_token, project_id, full_name, kind, platform, device_token, app_id, registered_at, *flags, gone_at = row
    project = projects.get(project_id)
    if project is None:
        project = Project(project_id=project_id, full_name=full_name, kind=ProjectKind(kind))
        projects[project_id] = project
    return Device(
        push_token=push_token,
        project=project,
        platform=Platform(platform),
        device_token=device_token,
        app_id=intern(app_id),
        registered_at=registered_at,
        sandbox=bool(flags[0]),
        virtual=bool(flags[1]),
        gone_at=gone_at,
    )


def _enrol(connection: sqlite3.Connection, *, devices: Sequence[Device]) -> dict[str, Device]:
    stored = {project: add_project(connection, project=project) for project in {one.project for one in devices}}
    connection.executemany(_ENROL, [_enrolled(one, stored[one.project]) for one in devices])
    return _devices(connection, push_tokens=[one.push_token for one in devices])


def _enrolled(device: Device, project: Project) -> tuple[object, ...]:
    """The parameters of _ENROL."""
    return (
        device.push_token,
        project.project_id,
        device.app_id,
        device.platform.value,
        device.device_token,
        device.sandbox,
        device.virtual,
        device.registered_at,
        device.gone_at,
    )


def _register(connection: sqlite3.Connection, *, registration: Registration, push_token: str, now: float) -> Device:
    project = add_project(connection, project=registration.project)
    key = (registration.device_id, registration.app_id, project.project_id)
    device = (registration.platform.value, registration.device_token, registration.sandbox, now)
    known = connection.execute(_KNOWN, key).fetchone()
    if known is not None:
        push_token = known[0]
        connection.execute(_REFRESH, (*device, push_token))
    elif _devices(connection, push_tokens=[push_token]):
        raise ValueError("the push token for a new device is another device's")
    else:
        connection.execute(_REGISTER, (push_token, project.project_id, *key[:2], *device))
    return _devices(connection, push_tokens=[push_token])[push_token]
