"""What is kept for Home Assistant in the registry's file."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from expo_gateway.registry import sqlite_home_assistant
from expo_gateway.registry.home_assistant import (
    HaRegistration,
    HomeAssistantStore,
    LongLivedToken,
    PersistentNotification,
    RelayCounts,
    registration_id,
)
from expo_gateway.registry.sqlite import MIGRATIONS, SqliteRegistry
from expo_gateway.registry.sqlite_home_assistant import SqliteHomeAssistant
from expo_gateway.sqlite_connection import migration_scripts
from expo_gateway.sqlite_file import SqliteFile
from tests.registry.contract import NOW, REGISTRATION, VIRTUAL

WEBHOOK_ID = "ab" * 32
PHONE = HaRegistration(
    registration_id=registration_id(WEBHOOK_ID),
    webhook_id=WEBHOOK_ID,
    user_id="1" * 32,
    push_token="ExponentPushToken[local]",
    app_id="io.example.app",
    app_name="Example",
    app_version="1.0",
    device_name="My Phone",
    slug="my_phone",
    manufacturer="Acme",
    model="One",
    os_name="Android",
    device_id="a-device",
    app_data={"push_websocket_channel": True, "push_token": "abc:ok201"},
    registered_at=NOW,
)
KEY, DAY = b"k" * 32, 20_000


def another(number: int, **changed: object) -> HaRegistration:
    webhook_id = f"{number:064x}"
    made = replace(PHONE, registration_id=registration_id(webhook_id), webhook_id=webhook_id, device_id=str(number))
    return replace(made, **changed)  # type: ignore[arg-type]


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SqliteFile]:
    async with SqliteFile(tmp_path / "gateway.db", durability="process") as file:
        await SqliteRegistry(file).open()
        yield file


@pytest.fixture
def store(file: SqliteFile) -> HomeAssistantStore:
    return SqliteHomeAssistant(file)


# -- registrations ----------------------------------------------------------------------------------------------------


async def test_a_registration_is_found_as_it_was_added(store: HomeAssistantStore) -> None:
    assert await store.add_registration(PHONE) == []

    assert await store.registration(PHONE.registration_id) == PHONE
    assert await store.registrations() == [PHONE]
    assert await store.registration("nobody's") is None


def test_neither_the_webhook_nor_what_the_app_said_stands_in_repr() -> None:
    assert WEBHOOK_ID not in repr(PHONE)
    assert "abc:ok201" not in repr(PHONE)


async def test_the_same_app_on_the_same_device_takes_the_place_of_the_older_one(store: HomeAssistantStore) -> None:
    newer = another(1, device_id=PHONE.device_id, registered_at=NOW + 5)
    await store.add_registration(PHONE)

    assert await store.add_registration(newer) == [PHONE]

    older = await store.registration(PHONE.registration_id)
    assert older is not None
    assert (older.deleted_at, older.webhook_id, older.app_data) == (NOW + 5, "", {})
    assert await store.registrations() == [newer]


async def test_apps_that_give_no_device_id_stand_side_by_side(store: HomeAssistantStore) -> None:
    for number in range(2):
        await store.add_registration(another(number, device_id=None))

    assert len(await store.registrations()) == 2


async def test_an_update_takes_the_place_of_what_was_there(store: HomeAssistantStore) -> None:
    await store.add_registration(PHONE)

    assert await store.update_registration(replace(PHONE, app_data={"push_url": "http://example.com"}))
    assert await store.registrations() == [replace(PHONE, app_data={"push_url": "http://example.com"})]


async def test_what_is_deleted_is_not_updated_nor_deleted_again(store: HomeAssistantStore) -> None:
    await store.add_registration(PHONE)

    assert await store.delete_registration(PHONE.registration_id, now=NOW)
    assert not await store.delete_registration(PHONE.registration_id, now=NOW)
    assert not await store.update_registration(PHONE)
    assert await store.registrations() == []


async def test_of_deleted_registrations_the_last_are_remembered(
    store: HomeAssistantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = sqlite_home_assistant._FORGET.replace(str(sqlite_home_assistant.MAX_DELETED), "1")
    monkeypatch.setattr(sqlite_home_assistant, "_FORGET", kept)
    phones = [another(number) for number in range(2)]
    for number, phone in enumerate(phones):
        await store.add_registration(phone)
        await store.delete_registration(phone.registration_id, now=NOW + number)

    assert [await store.registration(one.registration_id) is not None for one in phones] == [False, True]


async def test_a_registration_too_many_is_refused(store: HomeAssistantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_home_assistant, "MAX_REGISTRATIONS", 1)
    await store.add_registration(PHONE)

    with pytest.raises(ValueError, match="no room for more"):
        await store.add_registration(another(1))
    assert await store.registrations() == [PHONE]


# -- long-lived access tokens -----------------------------------------------------------------------------------------


async def test_a_token_is_known_by_its_hash_until_it_is_revoked(store: HomeAssistantStore) -> None:
    token = LongLivedToken(id="1" * 32, name="phone", sha256=b"s" * 32, created_at=NOW)

    assert await store.add_token(token)
    assert await store.token(sha256=b"s" * 32) == token
    assert await store.tokens() == [token]
    assert await store.revoke_token("phone")
    assert await store.token(sha256=b"s" * 32) is None
    assert not await store.revoke_token("phone")


async def test_a_token_of_a_name_that_is_taken_is_not_added(store: HomeAssistantStore) -> None:
    token = LongLivedToken(id="1" * 32, name="phone", sha256=b"s" * 32, created_at=NOW)
    await store.add_token(token)

    assert not await store.add_token(LongLivedToken(id="2" * 32, name="phone", sha256=b"t" * 32, created_at=NOW))
    assert await store.tokens() == [token]


# -- the relay's counts -----------------------------------------------------------------------------------------------


async def test_of_many_at_once_no_more_than_the_maximum_pass(store: HomeAssistantStore) -> None:
    taken = await asyncio.gather(*[store.take(KEY, day=DAY, maximum=3, exempt=False) for _ in range(10)])

    assert sum(not one.is_limited for one in taken) == 3
    assert sum(one.is_first_notice for one in taken) == 1
    assert await store.counts(KEY, day=DAY) == RelayCounts(attempts=10, successful=3, errors=0, total=3)


async def test_what_is_exempt_passes_and_counts_as_an_attempt_only(store: HomeAssistantStore) -> None:
    await store.take(KEY, day=DAY, maximum=1, exempt=False)

    taken = await store.take(KEY, day=DAY, maximum=1, exempt=True)

    assert not taken.is_limited
    assert taken.counts == RelayCounts(attempts=2, successful=1, errors=0, total=1)


async def test_what_failed_does_not_use_up_the_day(store: HomeAssistantStore) -> None:
    await store.take(KEY, day=DAY, maximum=1, exempt=False)

    assert await store.failed(KEY, day=DAY) == RelayCounts(attempts=1, successful=0, errors=1, total=1)
    assert not (await store.take(KEY, day=DAY, maximum=1, exempt=False)).is_limited


async def test_days_before_yesterday_are_forgotten(store: HomeAssistantStore) -> None:
    for day in (DAY, DAY + 1, DAY + 2):
        await store.take(KEY, day=day, maximum=1, exempt=False)

    assert [(await store.counts(KEY, day=DAY + n)).attempts for n in range(3)] == [0, 1, 1]


async def test_counts_survive_a_restart(file: SqliteFile, store: HomeAssistantStore) -> None:
    await store.take(KEY, day=DAY, maximum=1, exempt=False)
    await file.close()
    await file.open()

    assert (await SqliteHomeAssistant(file).take(KEY, day=DAY, maximum=1, exempt=False)).is_limited


# -- persistent notifications -----------------------------------------------------------------------------------------


async def test_a_notification_of_the_same_id_takes_the_place_of_the_older_one(store: HomeAssistantStore) -> None:
    newer = PersistentNotification(notification_id="a", message="second", title="T", created_at=NOW + 1)
    await store.put_notification(PersistentNotification(notification_id="a", message="first", created_at=NOW))
    await store.put_notification(newer)

    assert await store.notifications() == [newer]
    assert await store.dismiss_notification("a")
    assert not await store.dismiss_notification("a")
    assert await store.notifications() == []


# -- older files ------------------------------------------------------------------------------------------------------


async def test_devices_of_an_older_file_are_kept_with_what_watches_them(tmp_path: Path) -> None:
    async with SqliteFile(tmp_path / "old.db", durability="process") as file:
        await file.migrate("registry", migration_scripts(MIGRATIONS)[:3])
        old = SqliteRegistry(file)
        await old.enrol([VIRTUAL])
        device = await old.register(REGISTRATION, push_token="ExponentPushToken[phone]", now=NOW)

        registry = SqliteRegistry(file)
        await registry.open()

        assert await registry.devices([VIRTUAL.push_token, device.push_token]) == {
            VIRTUAL.push_token: VIRTUAL,
            device.push_token: device,
        }
        assert await registry.register(REGISTRATION, push_token="ExponentPushToken[other]", now=NOW) == device
        assert await registry.mark_gone(device.push_token, device_token=device.device_token, gone_at=NOW)
        assert (await registry.devices([device.push_token]))[device.push_token].gone_at == NOW
