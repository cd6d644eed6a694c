"""What 30 clients in 12 languages need of every answer, by the numbers of the facts about clients.

Points 12 and 18 to 27 are in tests/e2e/test_http.py; 10, 13, 15 to 18, 24, 27 and 28 also in the SDKs' own tests.
"""

import re
import uuid
from typing import Any

import httpx
import pytest

from tests import evidence
from tests.conftest import Server
from tests.waiting import receipts

SEND = "/--/api/v2/push/send"
GET_RECEIPTS = "/--/api/v2/push/getReceipts"
T = "ExponentPushToken[J58oHWJwFIfCiY1ZAUd8tI]"
BAD = 'no "token"'

# Requests whose answers are 200, with good tickets and with bad ones.
GOOD_BODIES: list[Any] = [
    {"to": T},
    {"to": [T]},
    {"to": [T, BAD]},
    {"to": BAD},
    [{"to": T}],
    [{"to": [T, BAD]}, {"to": T}],
    [],
]


@pytest.fixture
def strict_client(strict_server: Server) -> Any:
    with httpx.Client(base_url=strict_server.url, timeout=10.0) as opened:
        yield opened


def error_tickets(client: httpx.Client) -> list[dict[str, Any]]:
    body = [{"to": ["ExponentPushToken[xd]", "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]", BAD, "x"]}]
    tickets: list[dict[str, Any]] = client.post(SEND, json=body).json()["data"]
    assert {ticket["status"] for ticket in tickets} == {"error"}
    return tickets


def test_point_01_an_object_with_a_string_to_is_answered_by_an_object(client: httpx.Client) -> None:
    assert client.post(SEND, json={"to": T, "body": "x"}).json()["data"].keys() == {"status", "id"}


@pytest.mark.parametrize("to", [[T], [T, T]])
def test_point_02_an_object_with_an_array_to_is_answered_by_an_array(to: list[str], client: httpx.Client) -> None:
    assert len(client.post(SEND, json={"to": to}).json()["data"]) == len(to)


def test_point_03_an_array_is_answered_by_one_ticket_per_recipient_in_order(client: httpx.Client) -> None:
    body = [{"to": "a"}, {"to": ["b", T, "c"]}, {"to": T}]

    tickets = client.post(SEND, json=body).json()["data"]

    assert [ticket.get("details", {}).get("expoPushToken") for ticket in tickets] == ["a", "b", None, "c", None]


@pytest.mark.parametrize("body", GOOD_BODIES)
def test_points_04_05_14_success_is_200_with_data_and_nothing_else(body: Any, client: httpx.Client) -> None:
    answer = client.post(SEND, json=body)

    assert (answer.status_code, list(answer.json())) == (200, ["data"])


def test_points_04_05_14_receipts_are_200_with_data_and_nothing_else(client: httpx.Client) -> None:
    answer = client.post(GET_RECEIPTS, json={"ids": ["x"]})

    assert (answer.status_code, answer.json()) == (200, {"data": {}})


def test_point_06_an_error_ticket_names_its_token_in_double_quotes(strict_client: httpx.Client) -> None:
    """expo-community's Ruby finds the token only there."""
    for ticket in error_tickets(strict_client):
        assert ticket["message"].startswith(f'"{ticket["details"]["expoPushToken"]}" is not a ')


def test_point_07_ticket_details_have_known_keys_and_string_values(strict_client: httpx.Client) -> None:
    """Go decodes them as map[string]string; hlspablo's Java refuses unknown keys."""
    for ticket in error_tickets(strict_client):
        assert ticket.keys() == {"status", "message", "details"}
        assert ticket["details"].keys() <= {"error", "expoPushToken", "fault"}
        assert {type(value) for value in ticket["details"].values()} == {str}


def test_point_08_tickets_know_one_error_code(strict_client: httpx.Client) -> None:
    assert {ticket["details"]["error"] for ticket in error_tickets(strict_client)} == {"DeviceNotRegistered"}


def test_point_09_ids_are_uuids_as_strings_and_never_repeat(client: httpx.Client) -> None:
    ids = [ticket["id"] for _ in range(5) for ticket in client.post(SEND, json=[{"to": [T] * 100}]).json()["data"]]

    assert {str(uuid.UUID(id_)) for id_ in ids} == set(ids)
    assert len(set(ids)) == 500


def test_point_10_a_minted_token_suits_every_client(client: httpx.Client) -> None:
    minted = [client.post("/--/api/v2/push/getExpoPushToken", json=device()).json()["data"] for _ in range(20)]

    assert all(re.fullmatch(r"ExponentPushToken\[[A-Za-z0-9_-]{22}\]", given["expoPushToken"]) for given in minted)


def device() -> dict[str, Any]:
    return {
        "type": "apns",
        "deviceId": str(uuid.uuid4()),
        "development": False,
        "appId": "com.example.app",
        "deviceToken": uuid.uuid4().hex * 2,
        "projectId": "51092087-87a4-4b12-8008-145625477434",
    }


@pytest.mark.parametrize("token", [T, T.replace("Exponent", "Expo"), "0f0e2a4c-5d4b-4f5a-9a55-1f2d3c4b5a69"])
def test_point_10_every_form_of_token_is_taken(token: str, client: httpx.Client) -> None:
    assert client.post(SEND, json=[{"to": token}]).json()["data"][0]["status"] == "ok"


def test_point_11_what_old_clients_write_is_taken_and_delivered(client: httpx.Client) -> None:
    messages = evidence.load("messages", "zero_values")["messages"]

    ids = [ticket["id"] for ticket in client.post(SEND, json=messages).json()["data"]]

    assert list(receipts(client, ids).values()) == [{"status": "ok"}] * len(messages)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (SEND, [{"to": T, "title": 1}], "VALIDATION_ERROR"),
        (SEND, [{"to": T}] * 101, "PUSH_TOO_MANY_NOTIFICATIONS"),
        (SEND, "x", "VALIDATION_ERROR"),
        (GET_RECEIPTS, {"ids": ["x"] * 1001}, "PUSH_TOO_MANY_RECEIPTS"),
        (GET_RECEIPTS, [], "VALIDATION_ERROR"),
    ],
)
def test_point_13_a_refused_request_is_json_with_errors_and_no_data(
    path: str, body: Any, code: str, client: httpx.Client
) -> None:
    """Elixir and Erlang crash when an error is not JSON."""
    answer = client.post(path, json=body)

    (error,) = answer.json()["errors"]
    assert (answer.status_code, list(answer.json()), error["code"]) == (400, ["errors"], code)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert list(error) == ["code", "type", "message", "isTransient", "requestId"]


def test_point_13_every_refused_request_has_an_id_of_its_own(client: httpx.Client) -> None:
    ids = [client.post(SEND, json=1).json()["errors"][0]["requestId"] for _ in range(5)]

    assert {uuid.UUID(id_).version for id_ in ids} == {4}
    assert len(set(ids)) == 5


def test_point_15_receipts_are_an_object_by_id_without_what_is_unknown(client: httpx.Client) -> None:
    (ticket,) = client.post(SEND, json=[{"to": T}]).json()["data"]
    receipts(client, [ticket["id"]])

    found = client.post(GET_RECEIPTS, json={"ids": [str(uuid.uuid4()), ticket["id"], "x"]}).json()["data"]

    assert found == {ticket["id"]: {"status": "ok"}}


@pytest.mark.parametrize("count", [1, 100, 300, 1000])
def test_point_16_chunks_of_every_client_are_taken(count: int, client: httpx.Client) -> None:
    sent = [client.post(SEND, json=[{"to": [T] * 100}]).json()["data"] for _ in range(-(-count // 100))]
    ids = [ticket["id"] for tickets in sent for ticket in tickets][:count]

    assert len(receipts(client, ids)) == count


def test_point_16_an_id_asked_twice_is_answered_once(client: httpx.Client) -> None:
    (ticket,) = client.post(SEND, json=[{"to": T}]).json()["data"]
    receipts(client, [ticket["id"]])

    answer = client.post(GET_RECEIPTS, json={"ids": [ticket["id"]] * 3})

    assert answer.text == f'{{"data":{{"{ticket["id"]}":{{"status":"ok"}}}}}}'
