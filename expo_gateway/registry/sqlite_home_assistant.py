"""What is kept for Home Assistant, in the registry's SQLite file. Its tables are the registry's fourth migration."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Final

import orjson

from expo_gateway.registry.home_assistant import (
    HaRegistration,
    LongLivedToken,
    PersistentNotification,
    RelayCounts,
    Taken,
)
from expo_gateway.sqlite_file import SqliteFile

# Our choices: more than one home has of each, and no more than a few megabytes.
MAX_REGISTRATIONS: Final = 10_000
MAX_DELETED: Final = 10_000
MAX_TOKENS: Final = 1_000
MAX_NOTIFICATIONS: Final = 1_000

_COLUMNS: Final = (
    "registration_id, webhook_id, user_id, push_token, app_id, app_name, app_version, device_name, slug, manufacturer,"
    " model, os_name, os_version, device_id, app_data, registered_at, deleted_at"
)
_GET = f"SELECT {_COLUMNS} FROM ha_registrations WHERE registration_id = ?"
_ALIVE = f"SELECT {_COLUMNS} FROM ha_registrations WHERE deleted_at IS NULL ORDER BY registered_at, registration_id"
_OLDER = f"SELECT {_COLUMNS} FROM ha_registrations WHERE app_id = ? AND device_id = ? AND deleted_at IS NULL"
_PUT = f"INSERT OR REPLACE INTO ha_registrations ({_COLUMNS}) VALUES ({', '.join('?' * 17)})"
_DELETE = "UPDATE ha_registrations SET deleted_at = ? WHERE registration_id = ? AND deleted_at IS NULL"
# What is secret, or could be, goes at once; of the rest the id is enough for an answer.
_EMPTY = "UPDATE ha_registrations SET app_data = '{}', webhook_id = '' WHERE registration_id = ?"
_FORGET = f"""
DELETE FROM ha_registrations WHERE registration_id IN (
  SELECT registration_id FROM ha_registrations WHERE deleted_at IS NOT NULL
  ORDER BY deleted_at DESC LIMIT -1 OFFSET {MAX_DELETED}
)
"""
_COUNT = "SELECT count(*) FROM ha_registrations WHERE deleted_at IS NULL"
_COUNTS = "SELECT attempts, successful, errors, total, noticed FROM ha_relay_counts WHERE day = ? AND key = ?"
_TAKE = """
INSERT INTO ha_relay_counts (day, key, attempts, successful, total) VALUES (:day, :key, 1, :taken, :taken)
ON CONFLICT (day, key) DO UPDATE SET attempts = attempts + 1, successful = successful + :taken, total = total + :taken
"""
_NOTICED = "UPDATE ha_relay_counts SET noticed = 1 WHERE day = ? AND key = ?"
_FAILED = """
UPDATE ha_relay_counts SET successful = successful - 1, errors = errors + 1 WHERE day = ? AND key = ? AND successful > 0
"""
_PUT_NOTIFICATION = """
INSERT OR REPLACE INTO ha_notifications (notification_id, message, title, created_at) VALUES (?, ?, ?, ?)
"""
_FORGET_NOTIFICATIONS = f"""
DELETE FROM ha_notifications WHERE notification_id IN (
  SELECT notification_id FROM ha_notifications ORDER BY created_at DESC LIMIT -1 OFFSET {MAX_NOTIFICATIONS}
)
"""
_NOTIFICATIONS = "SELECT notification_id, message, title, created_at FROM ha_notifications ORDER BY created_at DESC"


class SqliteHomeAssistant:
    """Implements HomeAssistantStore. The registry of the same file has to be open."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    # -- registrations ----------------------------------------------------------------------------------------------

    async def add_registration(self, registration: HaRegistration) -> Sequence[HaRegistration]:
        return await self._file.write(partial(_add, registration=registration))

    async def registration(self, registration_id: str) -> HaRegistration | None:
        return await self._file.read(partial(_registration, registration_id=registration_id))

    async def update_registration(self, registration: HaRegistration) -> bool:
        return await self._file.write(partial(_update, registration=registration))

    async def delete_registration(self, registration_id: str, *, now: float) -> bool:
        return await self._file.write(partial(_delete, registration_id=registration_id, now=now))

    async def registrations(self) -> Sequence[HaRegistration]:
        return await self._file.read(lambda connection: [_read(row) for row in connection.execute(_ALIVE).fetchall()])

    # -- long-lived access tokens -----------------------------------------------------------------------------------

    async def add_token(self, token: LongLivedToken) -> bool:
        return await self._file.write(partial(_add_token, token=token))

    async def token(self, *, sha256: bytes) -> LongLivedToken | None:
        return await self._file.read(partial(_token, sha256=sha256))

    async def tokens(self) -> Sequence[LongLivedToken]:
        return await self._file.read(_tokens)

    async def revoke_token(self, name: str) -> bool:
        op = "DELETE FROM ha_tokens WHERE name = ?"
        return await self._file.write(lambda connection: connection.execute(op, (name,)).rowcount > 0)

    # -- the relay's counts -----------------------------------------------------------------------------------------

    async def take(self, key: bytes, *, day: int, maximum: int, exempt: bool) -> Taken:
        return await self._file.write(partial(_take, key=key, day=day, maximum=maximum, exempt=exempt))

    async def failed(self, key: bytes, *, day: int) -> RelayCounts:
        return await self._file.write(partial(_failed, key=key, day=day))

    async def counts(self, key: bytes, *, day: int) -> RelayCounts:
        return await self._file.read(lambda connection: _counts(connection, key=key, day=day)[0])

    # -- persistent notifications -----------------------------------------------------------------------------------

    async def put_notification(self, notification: PersistentNotification) -> None:
        await self._file.write(partial(_put_notification, notification=notification))

    async def notifications(self) -> Sequence[PersistentNotification]:
        return await self._file.read(_notifications)

    async def dismiss_notification(self, notification_id: str) -> bool:
        op = "DELETE FROM ha_notifications WHERE notification_id = ?"
        return await self._file.write(lambda connection: connection.execute(op, (notification_id,)).rowcount > 0)


def _add(connection: sqlite3.Connection, *, registration: HaRegistration) -> list[HaRegistration]:
    older = []
    if registration.device_id is not None:
        rows = connection.execute(_OLDER, (registration.app_id, registration.device_id)).fetchall()
        older = [_read(row) for row in rows]
    for one in older:
        _delete(connection, registration_id=one.registration_id, now=registration.registered_at)
    if connection.execute(_COUNT).fetchone()[0] >= MAX_REGISTRATIONS:
        raise ValueError(f"there are {MAX_REGISTRATIONS} registrations, and no room for more")
    connection.execute(_PUT, _row(registration))
    return older


def _registration(connection: sqlite3.Connection, *, registration_id: str) -> HaRegistration | None:
    row = connection.execute(_GET, (registration_id,)).fetchone()
    return None if row is None else _read(row)


def _update(connection: sqlite3.Connection, *, registration: HaRegistration) -> bool:
    before = _registration(connection, registration_id=registration.registration_id)
    if before is None or before.deleted_at is not None:
        return False
    connection.execute(_PUT, _row(registration))
    return True


def _delete(connection: sqlite3.Connection, *, registration_id: str, now: float) -> bool:
    is_deleted = connection.execute(_DELETE, (now, registration_id)).rowcount > 0
    if is_deleted:
        connection.execute(_EMPTY, (registration_id,))
        connection.execute(_FORGET)
    return is_deleted


def _row(registration: HaRegistration) -> tuple[object, ...]:
    """The columns of _COLUMNS."""
    return (
        registration.registration_id,
        registration.webhook_id,
        registration.user_id,
        registration.push_token,
        registration.app_id,
        registration.app_name,
        registration.app_version,
        registration.device_name,
        registration.slug,
        registration.manufacturer,
        registration.model,
        registration.os_name,
        registration.os_version,
        registration.device_id,
        orjson.dumps(registration.app_data).decode(),
        registration.registered_at,
        registration.deleted_at,
    )


def _read(row: tuple[object, ...]) -> HaRegistration:
    members = dict(zip(_COLUMNS.replace(" ", "").split(","), row, strict=True))
    return HaRegistration(**{**members, "app_data": orjson.loads(str(members["app_data"]))})


def _add_token(connection: sqlite3.Connection, *, token: LongLivedToken) -> bool:
    """ValueError: there are too many."""
    if connection.execute("SELECT count(*) FROM ha_tokens").fetchone()[0] >= MAX_TOKENS:
        raise ValueError(f"there are {MAX_TOKENS} long-lived access tokens, and no room for more")
    op = "INSERT INTO ha_tokens (id, name, sha256, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING"
    return connection.execute(op, (token.id, token.name, token.sha256, token.created_at)).rowcount > 0


def _token(connection: sqlite3.Connection, *, sha256: bytes) -> LongLivedToken | None:
    op = "SELECT id, name, sha256, created_at FROM ha_tokens WHERE sha256 = ?"
    row = connection.execute(op, (sha256,)).fetchone()
    return None if row is None else _as_token(row)


def _tokens(connection: sqlite3.Connection) -> list[LongLivedToken]:
    op = "SELECT id, name, sha256, created_at FROM ha_tokens ORDER BY name"
    return [_as_token(row) for row in connection.execute(op).fetchall()]


def _as_token(row: tuple[str, str, bytes, float]) -> LongLivedToken:
    return LongLivedToken(id=row[0], name=row[1], sha256=row[2], created_at=row[3])


def _take(connection: sqlite3.Connection, *, key: bytes, day: int, maximum: int, exempt: bool) -> Taken:
    before, noticed = _counts(connection, key=key, day=day)
    if before.attempts == 0:
        # Yesterday's are for what was sent just before midnight, and failed after it.
        connection.execute("DELETE FROM ha_relay_counts WHERE day < ?", (day - 1,))
    is_limited = before.successful >= maximum and not exempt
    is_taken = not is_limited and not exempt
    connection.execute(_TAKE, {"day": day, "key": key, "taken": int(is_taken)})
    if is_limited and not noticed:
        connection.execute(_NOTICED, (day, key))
    counts, _ = _counts(connection, key=key, day=day)
    return Taken(counts=counts, is_limited=is_limited, is_first_notice=is_limited and not noticed)


def _failed(connection: sqlite3.Connection, *, key: bytes, day: int) -> RelayCounts:
    connection.execute(_FAILED, (day, key))
    return _counts(connection, key=key, day=day)[0]


def _counts(connection: sqlite3.Connection, *, key: bytes, day: int) -> tuple[RelayCounts, bool]:
    """And whether the phone was told that there is no more."""
    row = connection.execute(_COUNTS, (day, key)).fetchone()
    if row is None:
        return RelayCounts(), False
    return RelayCounts(attempts=row[0], successful=row[1], errors=row[2], total=row[3]), bool(row[4])


def _put_notification(connection: sqlite3.Connection, *, notification: PersistentNotification) -> None:
    one = notification
    connection.execute(_PUT_NOTIFICATION, (one.notification_id, one.message, one.title, one.created_at))
    connection.execute(_FORGET_NOTIFICATIONS)


def _notifications(connection: sqlite3.Connection) -> list[PersistentNotification]:
    return [
        PersistentNotification(notification_id=row[0], message=row[1], title=row[2], created_at=row[3])
        for row in connection.execute(_NOTIFICATIONS).fetchall()
    ]
