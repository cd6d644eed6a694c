"""Stock FCM clients against the emulator: pyfcm 2.1.1 with google-auth's service-account credentials.

Nothing of theirs is changed but the addresses: `FCM_END_POINT_BASE` of pyfcm, `token_uri` of the service account.
Both block, hence the threads.
"""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.oauth2 import service_account
from pyfcm import FCMNotification
from pyfcm.errors import (
    AuthenticationError,
    FCMError,
    FCMNotRegisteredError,
    FCMSenderIdMismatchError,
    FCMServerError,
    InvalidDataError,
)

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Answer
from tests.emulators.fcm_fixtures import (
    CLIENT_EMAIL,
    DEVICE_TOKEN,
    KEY_ID,
    MESSAGING_SCOPE,
    PROJECT,
    SigningKey,
    World,
    make_signing_key,
    running_world,
)


@pytest.fixture(scope="module")
def signing_key() -> SigningKey:
    return make_signing_key()


@pytest.fixture
async def world(signing_key: SigningKey) -> AsyncIterator[World]:
    """An emulator that takes no credentials but the test's own, at the true time (google-auth knows no other)."""
    async with running_world() as running:
        running.clock.now = time.time()
        running.oauth.known_accounts_only = running.oauth.known_tokens_only = True
        running.oauth.trust_service_account(
            client_email=CLIENT_EMAIL,
            private_key_id=KEY_ID,
            public_key_pem=signing_key.public_pem,
            project_id=PROJECT,
        )
        yield running


def service_account_info(world: World, signing_key: SigningKey) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": KEY_ID,
        "private_key": signing_key.private_pem,
        "client_email": CLIENT_EMAIL,
        "client_id": "100000000000000000000",
        "token_uri": world.fcm.token_url,
    }


def stock_client(world: World, **arguments: object) -> Any:
    class Client(FCMNotification):  # type: ignore[misc]
        FCM_END_POINT_BASE = f"{world.fcm.url}/v1/projects"

    return Client(**arguments)


@pytest.fixture
def client(world: World, signing_key: SigningKey) -> Any:
    info = service_account_info(world, signing_key)
    return stock_client(world, credentials=credentials_of(info))


def credentials_of(info: dict[str, str]) -> object:
    make: Callable[..., object] = service_account.Credentials.from_service_account_info
    return make(info, scopes=[MESSAGING_SCOPE])


async def notify(client: Any, **arguments: Any) -> Any:
    chosen = {"fcm_token": DEVICE_TOKEN, "notification_title": "Hi", "timeout": 5, **arguments}
    async with asyncio.timeout(20):
        return await asyncio.to_thread(client.notify, **chosen)


async def test_pyfcm_with_a_service_account_delivers(client: Any, world: World) -> None:
    answer = await notify(client, notification_body="there")

    [capture] = world.inbox.accepted()
    assert answer == {"name": capture.answer_id}
    assert json.loads(capture.body)["message"] == {
        "token": DEVICE_TOKEN,
        "notification": {"title": "Hi", "body": "there"},
    }
    assert len(world.oauth) == 1


async def test_pyfcm_reads_the_service_account_from_a_file(
    world: World, signing_key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("google") / "service_account.json"
    path.write_text(json.dumps(service_account_info(world, signing_key)))

    answer = await notify(stock_client(world, service_account_file=str(path), project_id=PROJECT))

    assert answer["name"].startswith(f"projects/{PROJECT}/messages/0:")


async def test_pyfcm_asks_for_a_new_token_when_its_own_was_revoked(client: Any, world: World) -> None:
    def twice() -> None:
        # In one thread: pyfcm keeps a token for each.
        client.notify(fcm_token=DEVICE_TOKEN, notification_title="Hi", timeout=5)
        world.oauth.revoke_all()
        client.notify(fcm_token=DEVICE_TOKEN, notification_title="Hi", timeout=5)

    async with asyncio.timeout(20):
        await asyncio.to_thread(twice)

    assert [capture.reason for capture in world.inbox] == ["", "ACCESS_TOKEN_EXPIRED", ""]
    assert len(world.oauth) == 2


# pyfcm makes an event loop for every call and never closes it.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_pyfcm_sends_many_messages_asynchronously(client: Any, world: World) -> None:
    pushes = [{"fcm_token": f"token-{number}", "notification_title": "Hi"} for number in range(5)]

    answers = await asyncio.to_thread(client.async_notify_multiple_devices, pushes)
    gc.collect()

    assert {answer["name"] for answer in answers} == {capture.answer_id for capture in world.inbox}
    assert {capture.device_token for capture in world.inbox} == {push["fcm_token"] for push in pushes}


async def test_pyfcm_validates_only(client: Any, world: World) -> None:
    answer = await notify(client, dry_run=True)

    assert answer == {"name": f"projects/{PROJECT}/messages/fake_message_id"}
    assert len(world.inbox) == 0


@pytest.mark.parametrize(
    ("forced", "raised"),
    [
        (fcm_errors.unregistered(), FCMNotRegisteredError),
        (fcm_errors.not_found(), FCMNotRegisteredError),
        (fcm_errors.sender_id_mismatch(), FCMSenderIdMismatchError),
        (fcm_errors.permission_denied(PROJECT), FCMSenderIdMismatchError),
        (fcm_errors.third_party_auth_error(), AuthenticationError),
        (fcm_errors.access_token_invalid(), AuthenticationError),
        (fcm_errors.invalid_registration_token(), InvalidDataError),
        (fcm_errors.too_big(), InvalidDataError),
        (fcm_errors.quota_exceeded("1234567890"), FCMServerError),
        (fcm_errors.internal(), FCMServerError),
    ],
    ids=lambda value: value.reason if isinstance(value, Answer) else "",
)
async def test_pyfcm_raises_what_it_makes_of_an_error(
    client: Any, world: World, forced: Answer, raised: type[FCMError]
) -> None:
    world.faults.force(forced)

    with pytest.raises(raised):
        await notify(client)


async def test_pyfcm_tries_again_after_an_unavailable_answer(client: Any, world: World) -> None:
    world.faults.force(fcm_errors.unavailable(), times=1)

    await notify(client)

    assert [capture.status for capture in world.inbox] == [503, 200]


async def test_pyfcm_waits_as_long_as_retry_after_says(client: Any, world: World) -> None:
    world.faults.force(fcm_errors.quota_exceeded("1", retry_after_s=1), times=1)

    await notify(client)

    assert [capture.status for capture in world.inbox] == [429, 200]


async def test_pyfcm_gets_googles_text_for_data_that_is_no_text(client: Any) -> None:
    with pytest.raises(InvalidDataError, match=r"Invalid value at 'message.data\[0\].value' \(TYPE_STRING\), 12"):
        await notify(client, data_payload={"k": 12})


async def test_an_account_that_google_does_not_know_gets_no_token(world: World, signing_key: SigningKey) -> None:
    info = {**service_account_info(world, signing_key), "client_email": "nobody@nowhere.iam.gserviceaccount.com"}

    with pytest.raises(InvalidDataError, match="account not found"):
        await notify(stock_client(world, credentials=credentials_of(info)))


async def test_a_fake_credentials_object_works_by_default() -> None:
    class FakeCredentials:
        token = "anything"
        project_id = PROJECT

        def refresh(self, _request: object) -> None:
            """Nothing to fetch."""

    async with running_world() as world:
        await notify(stock_client(world, credentials=FakeCredentials()))

        assert len(world.inbox.accepted()) == 1
