"""The unmodified Node SDKs 7.2 and 3.15 against a running server; only EXPO_BASE_URL is set."""

import uuid
from typing import Any

import httpx
import pytest

from tests import evidence
from tests.compat.node_sdk import SDKS, drive, receipts_through
from tests.compat.scripted_answer import scripted_answer
from tests.conftest import Server

pytestmark = pytest.mark.parametrize("sdk", SDKS)

SCRIPTED = [name for name in evidence.names("expo") if evidence.load("expo", name)["replay"] == "sdk"]


def tokens(count: int) -> list[str]:
    return [f"ExponentPushToken[{uuid.uuid4().hex[:22]}]" for _ in range(count)]


def register(server: Server, project: str) -> str:
    device = {"type": "apns", "deviceId": str(uuid.uuid4()), "development": False, "appId": "com.example.app"}
    device |= {"deviceToken": uuid.uuid4().hex * 2, "experienceId": project}
    answer = httpx.post(f"{server.url}/--/api/v2/push/getExpoPushToken", json=device, timeout=10.0)
    token: str = answer.raise_for_status().json()["data"]["expoPushToken"]
    return token


def send(sdk: str, server: Server, messages: list[dict[str, Any]], **options: object) -> dict[str, Any]:
    (given,) = drive(sdk, server.url, {"call": "send", "messages": messages}, options=options)
    assert "error" not in given, given
    return given


def ids_of(given: dict[str, Any]) -> list[str]:
    assert {ticket["status"] for ticket in given["tickets"]} == {"ok"}
    return [ticket["id"] for ticket in given["tickets"]]


@pytest.mark.parametrize("count", [1, 2, 99, 100])
def test_a_batch_gets_a_ticket_for_each_message_and_its_receipts(count: int, sdk: str, server: Server) -> None:
    given = send(sdk, server, [{"to": token, "title": "Hi", "body": "x"} for token in tokens(count)])

    found = receipts_through(sdk, server.url, ids_of(given))

    assert (given["chunks"], len(given["tickets"])) == (1, count)
    assert list(found.values()) == [{"status": "ok"}] * count


def test_point_16_more_than_100_are_chunked_and_300_receipts_asked_at_a_time(sdk: str, server: Server) -> None:
    given = send(sdk, server, [{"to": token, "body": "x"} for token in tokens(450)])

    found = receipts_through(sdk, server.url, ids_of(given))

    assert (given["chunks"], len(given["tickets"]), len(found)) == (5, 450, 450)


@pytest.mark.parametrize("counts", [[1], [3, 1, 2], [100], [60, 60, 5]])
def test_a_to_array_gets_a_ticket_for_each_recipient(counts: list[int], sdk: str, server: Server) -> None:
    given = send(sdk, server, [{"to": tokens(count), "body": "x"} for count in counts])

    assert len(receipts_through(sdk, server.url, ids_of(given))) == sum(counts)


@pytest.mark.parametrize("size_chars", [10, 1000, 4000])
def test_point_18_bodies_over_1024_characters_are_compressed(size_chars: int, sdk: str, server: Server) -> None:
    """Both sides of the SDK's limit; text that takes two and four bytes a character."""
    given = send(sdk, server, [{"to": tokens(1)[0], "data": {"text": "é\U0001f600" * (size_chars // 8)}}])

    assert len(receipts_through(sdk, server.url, ids_of(given))) == 1


@pytest.mark.parametrize("name", evidence.names("messages"))
def test_a_real_looking_batch_is_delivered(name: str, sdk: str, server: Server) -> None:
    fixture = evidence.load("messages", name)

    given = send(sdk, server, fixture["messages"])

    found = receipts_through(sdk, server.url, ids_of(given))
    assert [found[id_] for id_ in ids_of(given)] == [{"status": "ok"}] * fixture["recipients"]


def test_point_28_ten_full_batches_at_a_time_are_taken(sdk: str, server: Server) -> None:
    messages = [{"to": token, "body": "x" * 100} for token in tokens(1000)]

    assert len(ids_of(send(sdk, server, messages, maxConcurrentRequests=6))) == 1000


def test_a_bad_token_inside_a_batch_has_an_error_ticket(sdk: str, server: Server) -> None:
    first, last = tokens(2)

    given = send(sdk, server, [{"to": first}, {"to": 'not"a token'}, {"to": last}])

    assert [ticket["status"] for ticket in given["tickets"]] == ["ok", "error", "ok"]
    assert given["tickets"][1] == {
        "status": "error",
        "message": '"not"a token" is not a valid Expo push token',
        "details": {"error": "DeviceNotRegistered", "expoPushToken": 'not"a token'},
    }


def test_point_10_the_server_enrols_what_the_sdk_takes_for_a_token_and_mints_such(sdk: str, server: Server) -> None:
    taken = ["ExpoPushToken[x]", "ExponentPushToken[]", str(uuid.uuid4()), register(server, "@emulator/app")]
    refused = ["ExponentPushToken[", "x", "", "exponentpushtoken[x]"]

    checked, sent = drive(
        sdk,
        server.url,
        {"call": "isExpoPushToken", "tokens": [*taken, *refused]},
        {"call": "send", "messages": [{"to": token} for token in [*taken, *refused]]},
    )

    assert checked["passes"] == [ticket["status"] == "ok" for ticket in sent["tickets"]]


def test_point_15_receipts_of_unknown_ids_are_an_empty_object(sdk: str, server: Server) -> None:
    (given,) = drive(sdk, server.url, {"call": "receipts", "ids": [str(uuid.uuid4()), "no uuid"]})

    assert given["receipts"] == {}


# -- errors -----------------------------------------------------------------------------------------------------------


def failed(given: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = given
    error: dict[str, Any] = only["error"]
    return {name: value for name, value in error.items() if value is not None}


def test_point_13_101_recipients_are_an_error_with_code_and_status(sdk: str, server: Server) -> None:
    error = failed(drive(sdk, server.url, {"call": "sendUnchunked", "messages": [{"to": t} for t in tokens(101)]}))

    assert error == {
        "message": "You can send a maximum of 100 notifications per request (received 101); divide your requests.",
        "code": "PUSH_TOO_MANY_NOTIFICATIONS",
        "statusCode": 400,
    }


def test_point_13_two_projects_in_one_request_are_an_error_with_details(sdk: str, server: Server) -> None:
    a1, a2, b1 = (register(server, project) for project in ("@owner/slug-a", "@owner/slug-a", "@owner/slug-b"))

    error = failed(drive(sdk, server.url, {"call": "send", "messages": [{"to": [a1, b1]}, {"to": a2}]}))

    assert error == {
        "message": "All push notification messages in the same request must be for the same project; "
        "check the details field to investigate conflicting tokens.",
        "code": "PUSH_TOO_MANY_EXPERIENCE_IDS",
        "details": {"@owner/slug-a": [a1, a2], "@owner/slug-b": [b1]},
        "statusCode": 400,
    }


@pytest.mark.parametrize("call", ["send", "sendUnchunked"])
def test_point_13_a_wrong_field_is_an_error_that_names_it(call: str, sdk: str, server: Server) -> None:
    error = failed(drive(sdk, server.url, {"call": call, "messages": [{"to": tokens(1)[0], "data": "x" * 2000}]}))

    assert error == {
        "message": '"0.data": Expected object, received string.',
        "code": "VALIDATION_ERROR",
        "statusCode": 400,
    }


def test_point_13_1001_ids_are_an_error(sdk: str, server: Server) -> None:
    error = failed(drive(sdk, server.url, {"call": "receiptsUnchunked", "ids": ["x"] * 1001}))

    assert (error["code"], error["statusCode"]) == ("PUSH_TOO_MANY_RECEIPTS", 400)


def test_a_connection_is_good_after_an_error(sdk: str, server: Server) -> None:
    good = {"call": "send", "messages": [{"to": tokens(1)[0]}]}
    bad = {"call": "sendUnchunked", "messages": [{"to": 1}]}

    given = drive(sdk, server.url, good, bad, good, bad, good)

    assert ["tickets" in one for one in given] == [True, False, True, False, True]


# -- where it is ------------------------------------------------------------------------------------------------------


def test_point_27_an_access_token_is_ignored(sdk: str, server: Server) -> None:
    assert len(ids_of(send(sdk, server, [{"to": tokens(1)[0]}], accessToken="anything"))) == 1


def test_the_sdk_reaches_a_server_with_tls_by_the_emulators_authority(sdk: str, tls_server: Server) -> None:
    (given,) = drive(
        sdk,
        tls_server.url,
        {"call": "send", "messages": [{"to": token} for token in tokens(100)]},
        env={"NODE_EXTRA_CA_CERTS": str(tls_server.ca_path)},
    )

    assert len(ids_of(given)) == 100


# -- recorded answers that this server does not give ------------------------------------------------------------------


@pytest.mark.parametrize("name", SCRIPTED)
def test_the_sdk_reads_a_recorded_answer_of_the_real_service(name: str, sdk: str) -> None:
    fixture = evidence.load("expo", name)

    with scripted_answer(fixture["response"]) as base_url:
        error = failed(drive(sdk, base_url, {"call": "send", "messages": [{"to": tokens(1)[0]}]}))

    assert {key: error.get(key) for key in fixture["sdk"]} == fixture["sdk"]
