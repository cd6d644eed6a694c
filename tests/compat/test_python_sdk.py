"""The unmodified Python SDK, exponent_server_sdk 2.2.0, against a running server; only `host` is set."""

import time
import uuid
from collections.abc import Iterator, Sequence

import httpx
import pytest
import requests
from exponent_server_sdk import (
    DeviceNotRegisteredError,
    PushClient,
    PushMessage,
    PushReceipt,
    PushServerError,
    PushTicket,
)

from tests import evidence
from tests.conftest import Server

# What the SDK's messages call otherwise than the wire does.
RENAMED = {"channelId": "channel_id", "categoryId": "category", "mutableContent": "mutable_content"}


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """As the SDK makes its own; ours is closed at the end."""
    with requests.Session() as made:
        made.headers.update({"accept": "application/json", "accept-encoding": "gzip, deflate"})
        made.headers.update({"content-type": "application/json"})
        yield made


@pytest.fixture
def push(server: Server, session: requests.Session) -> PushClient:
    return PushClient(host=server.url, session=session)


def token() -> str:
    return f"ExponentPushToken[{uuid.uuid4().hex[:22]}]"


def receipts(push: PushClient, tickets: Sequence[PushTicket]) -> list[PushReceipt]:
    """Ask as often as needed until all are there."""
    give_up_at = time.monotonic() + 20.0
    while True:
        found: list[PushReceipt] = push.check_receipts_multiple(tickets)
        if len(found) == len(tickets) or time.monotonic() > give_up_at:
            return found
        time.sleep(0.05)


def register(server: Server, project: str) -> str:
    device = {"type": "fcm", "deviceId": str(uuid.uuid4()), "development": False, "appId": "com.example.app"}
    device |= {"deviceToken": f"x:APA91b{uuid.uuid4().hex}", "experienceId": project}
    answer = httpx.post(f"{server.url}/--/api/v2/push/getExpoPushToken", json=device, timeout=10.0)
    registered: str = answer.raise_for_status().json()["data"]["expoPushToken"]
    return registered


def test_a_single_message_gets_its_ticket_and_receipt(push: PushClient) -> None:
    ticket = push.publish(PushMessage(to=token(), title="Hi", body="x", data={"a": [1]}, badge=1, sound="default"))

    ticket.validate_response()
    (receipt,) = receipts(push, [ticket])
    assert (receipt.id, receipt.is_success()) == (ticket.id, True)


@pytest.mark.parametrize("count", [2, 100, 250])
def test_a_batch_gets_its_tickets_and_receipts_in_order(count: int, push: PushClient) -> None:
    messages = [PushMessage(to=token(), body="x") for _ in range(count)]

    tickets = push.publish_multiple(messages)

    assert [ticket.push_message.to for ticket in tickets] == [message.to for message in messages]
    assert [receipt.id for receipt in receipts(push, tickets)] == [ticket.id for ticket in tickets]


def test_point_16_a_thousand_receipts_are_asked_at_once(push: PushClient) -> None:
    tickets = push.publish_multiple([PushMessage(to=token()) for _ in range(1000)])

    assert {receipt.status for receipt in receipts(push, tickets)} == {"ok"}


@pytest.mark.parametrize("name", evidence.names("messages"))
def test_a_real_looking_batch_is_delivered(name: str, push: PushClient) -> None:
    """As far as this SDK can say it: it knows neither `to` arrays nor newer fields, nor other forms of tokens."""
    messages = [
        PushMessage(to=to, **{RENAMED.get(field, field): value for field, value in message.items() if field in known})
        for message in evidence.load("messages", name)["messages"]
        for to in (message["to"] if isinstance(message["to"], list) else [message["to"]])
        for known in [{*PushMessage._fields, *RENAMED} - {"to"}]
        if PushClient.is_exponent_push_token(to)
    ]

    tickets = push.publish_multiple(messages)

    assert {receipt.status for receipt in receipts(push, tickets)} == {"ok"}


def test_legacy_fields_are_ignored(push: PushClient) -> None:
    """Point 11: it writes `_displayInForeground`."""
    assert push.publish(PushMessage(to=token(), body="x", display_in_foreground=True)).is_success()


@pytest.mark.parametrize("force_fcm_v1", [True, False])
def test_point_12_its_query_is_ignored(force_fcm_v1: bool, server: Server, session: requests.Session) -> None:
    push = PushClient(host=server.url, session=session, force_fcm_v1=force_fcm_v1)

    assert push.publish(PushMessage(to=token(), body="x")).is_success()


def test_a_bad_token_inside_a_batch_raises_for_its_ticket_only(
    strict_server: Server, session: requests.Session
) -> None:
    push = PushClient(host=strict_server.url, session=session)
    registered = register(strict_server, "@emulator/app")

    good, bad, unknown = push.publish_multiple(
        [PushMessage(to=registered), PushMessage(to="ExponentPushToken[xd]"), PushMessage(to=token())]
    )

    good.validate_response()
    for ticket, why in ((bad, "is not a valid Expo push token"), (unknown, "is not a registered push notification")):
        with pytest.raises(DeviceNotRegisteredError):
            ticket.validate_response()
        assert why in ticket.message
        assert ticket.details["expoPushToken"] == ticket.push_message.to


def test_a_token_without_brackets_is_refused_by_its_ticket(push: PushClient) -> None:
    """The SDK looks at the prefix only."""
    ticket = push.publish(PushMessage(to="ExponentPushToken"))

    with pytest.raises(DeviceNotRegisteredError):
        ticket.validate_response()


def test_point_13_two_projects_raise_a_push_server_error(push: PushClient, server: Server) -> None:
    messages = [PushMessage(to=register(server, project)) for project in ("@owner/slug-a", "@owner/slug-b")]

    with pytest.raises(PushServerError) as raised:
        push.publish_multiple(messages)

    (error,) = raised.value.errors
    assert error["code"] == "PUSH_TOO_MANY_EXPERIENCE_IDS"
    assert error["details"] == {"@owner/slug-a": [messages[0].to], "@owner/slug-b": [messages[1].to]}
    assert raised.value.response.status_code == 400


def test_point_13_more_than_100_at_once_raise_a_push_server_error(server: Server, session: requests.Session) -> None:
    push = PushClient(host=server.url, session=session, max_message_count=101)

    with pytest.raises(PushServerError) as raised:
        push.publish_multiple([PushMessage(to=token()) for _ in range(101)])

    assert [error["code"] for error in raised.value.errors] == ["PUSH_TOO_MANY_NOTIFICATIONS"]


def test_point_13_more_than_1000_receipts_at_once_raise_a_push_server_error(
    server: Server, session: requests.Session
) -> None:
    push = PushClient(host=server.url, session=session, max_receipt_count=1001)
    tickets = [PushTicket(push_message=None, status="ok", message="", details=None, id="x")] * 1001

    with pytest.raises(PushServerError) as raised:
        push.check_receipts_multiple(tickets)

    assert [error["code"] for error in raised.value.errors] == ["PUSH_TOO_MANY_RECEIPTS"]


def test_a_wrong_field_raises_a_push_server_error(push: PushClient) -> None:
    with pytest.raises(PushServerError) as raised:
        push.publish(PushMessage(to=token(), priority="urgent"))

    assert "Invalid enum value" in raised.value.errors[0]["message"]


def test_point_15_unknown_receipts_are_left_out(push: PushClient) -> None:
    unknown = PushTicket(push_message=None, status="ok", message="", details=None, id=str(uuid.uuid4()))

    assert push.check_receipts_multiple([unknown]) == []


def test_point_17_check_receipts_works_without_the_session(push: PushClient) -> None:
    """It posts without the session, so without its access token."""
    ticket = push.publish(PushMessage(to=token(), body="x"))
    receipts(push, [ticket])

    (receipt,) = push.check_receipts([ticket])

    assert receipt.is_success()


def test_point_21_a_host_with_a_slash_at_the_end_works(server: Server, session: requests.Session) -> None:
    push = PushClient(host=f"{server.url}/", session=session)

    ticket = push.publish(PushMessage(to=token(), body="x"))

    assert (len(receipts(push, [ticket])), len(push.check_receipts([ticket]))) == (1, 1)


def test_point_27_an_access_token_is_ignored(push: PushClient, session: requests.Session) -> None:
    session.headers["authorization"] = "Bearer anything"

    assert push.publish(PushMessage(to=token(), body="x")).is_success()


def test_it_reaches_a_server_with_tls_by_the_emulators_authority(
    tls_server: Server, session: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is how its users name an authority; it beats `session.verify`."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_server.ca_path))

    assert PushClient(host=tls_server.url, session=session).publish(PushMessage(to=token())).is_success()
