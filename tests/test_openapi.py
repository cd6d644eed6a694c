"""The OpenAPI document: valid, true of the code, and true of what exp.host and our server send."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from expo_gateway import __version__
from expo_gateway.doors.device_tokens import MAX_FIELD_CHARS, PLATFORMS
from expo_gateway.emulators.fault_acts import APNS_REASONS, FCM_ERRORS, FaultAct
from expo_gateway.emulators.fault_json import decode_rule, encode_rule
from expo_gateway.emulators.fault_rules import Match
from expo_gateway.journal import views
from expo_gateway.journal.entry import EventName, State
from expo_gateway.journal.journal import Journal
from expo_gateway.protocol.apns import build_apns_request
from expo_gateway.protocol.device import Platform, Project, project_id_of, virtual_device
from expo_gateway.protocol.message import PushMessage, decode_send_request
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON, ReceiptError
from expo_gateway.protocol.ticket import BATCH_RANDOM_BYTES, batch_id, not_a_push_token, ticket_id
from expo_gateway.providers.base import Accepted
from tests import evidence
from tests.contract import CONTROL, Contract, values_of
from tests.waiting import receipts

ROOT = Path(__file__).parent.parent
PUSH_TOKEN = "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"
CONTRACT = Contract()
FIXTURES = {name: evidence.load("expo", name) for name in evidence.names("expo")}

# What the placeholders of fixtures stand for, as values that a schema can judge.
FILLED = {
    "<uuid7>": "019b909b-e55c-7e7e-84ac-840ee072e57e",
    "<uuid4>": "9763c6fd-faba-4ee9-9de9-07f84840e362",
    "<unix s>": "1782424694",
    "<push token>": PUSH_TOKEN,
    "<anything>": "anything",
    "<fcm>": "",
    "<ticket 0>": "019b909b-e55c-7e7e-84ac-840ee072e57e",
    "<ticket 1>": "019b909b-e55c-7e7e-84ac-840ee072e57f",
    "<device id>": "0f0e2a4c-5d4b-4f5a-9a55-1f2d3c4b5a69",
}


# -- the document -----------------------------------------------------------------------------------------------------


def test_the_document_is_that_of_its_sources() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "openapi.py"), "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_it_is_valid_openapi_3_1() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(CONTRACT.document).iter_errors()] == []


def test_every_example_matches_its_schema() -> None:
    wrong = [(place, CONTRACT.about(schema, value)) for place, schema, value in examples(CONTRACT.document, "#")]

    assert len(wrong) > 20
    assert [one for one in wrong if one[1]] == []


def test_every_component_is_used() -> None:
    components = CONTRACT.document["components"]
    used = set(references(CONTRACT.document))

    unused = [
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "parameters", "responses")
        for name in components[kind]
        if not any(
            one == f"#/components/{kind}/{name}" or one.startswith(f"#/components/{kind}/{name}/") for one in used
        )
    ]

    assert unused == []


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    names = [one.definition["operationId"] for one in CONTRACT.operations]

    assert len(set(names)) == len(names)
    assert [one.template for one in CONTRACT.operations if not one.definition.get("summary")] == []


def test_every_operation_of_the_control_api_says_how_it_refuses() -> None:
    control = [one for one in CONTRACT.operations if one.template.startswith(CONTROL)]

    assert control
    assert [one.template for one in control if "default" not in one.definition["responses"]] == []


# -- against the code -------------------------------------------------------------------------------------------------


def test_its_version_is_ours() -> None:
    assert CONTRACT.document["info"]["version"] == __version__


def test_it_has_every_field_of_a_message() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(PushMessage)}

    assert set(CONTRACT.schema("Message")["properties"]) == fields


def test_it_has_every_word_of_the_code() -> None:
    schema = CONTRACT.schema

    assert schema("DeliveryState")["enum"] == [state.value for state in State]
    assert schema("Event")["properties"]["event"]["enum"] == list(get_args(EventName))
    assert schema("ReceiptError")["properties"]["details"]["properties"]["error"]["enum"] == list(ReceiptError)
    assert schema("ApnsReasonAct")["properties"]["reason"]["enum"] == list(APNS_REASONS)
    assert schema("FcmErrorAct")["properties"]["code"]["enum"] == list(FCM_ERRORS)
    assert schema("Platform")["enum"] == list(Platform)
    assert schema("PhoneDevice")["properties"]["type"]["enum"] == list(PLATFORMS)
    assert schema("PhoneDevice")["properties"]["deviceToken"]["maxLength"] == MAX_FIELD_CHARS


def test_every_act_and_its_keys_are_documented() -> None:
    documented = {
        act: set(CONTRACT.resolved({"$ref": ref})["properties"])
        for act, ref in CONTRACT.schema("FaultAct")["discriminator"]["mapping"].items()
    }

    assert documented == {
        act.__struct_config__.tag: {"type", *(field.encode_name for field in msgspec.structs.fields(act))}
        for act in get_args(FaultAct)
    }


def test_every_key_of_a_match_is_documented() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(Match)}

    assert set(CONTRACT.schema("FaultMatch")["properties"]) == fields


def test_every_example_of_a_fault_can_be_added() -> None:
    operation = CONTRACT.operation("POST", f"{CONTROL}/faults")
    assert operation is not None
    faults = values_of(operation.definition["requestBody"]["content"]["application/json"])

    added = [encode_rule(decode_rule(fault, now=1767657694.5)) for fault in faults]

    assert len(added) == 5
    for fault in added:
        assert CONTRACT.about(CONTRACT.schema("Fault"), {**fault, "seen": 0, "acted": 0, "is_used_up": False}) == []
        # What is exported can be imported.
        assert CONTRACT.about(CONTRACT.schema("NewFault"), fault) == []


def test_deliveries_are_shown_as_documented() -> None:
    entries = list(a_journal())

    lists, lives = [views.summary(entry) for entry in entries], [views.life(entry) for entry in entries]

    assert len(entries) == 2
    for shown in lists:
        assert CONTRACT.about(CONTRACT.schema("Delivery"), shown) == []
        assert set(shown) == set(CONTRACT.schema("Delivery")["properties"])
    for shown in lives:
        # The emulators' captures are joined by the door.
        assert CONTRACT.about(CONTRACT.schema("DeliveryLife"), {**shown, "captures": []}) == []


def a_journal() -> Journal:
    """A delivery that arrived, and a refused place."""
    journal, batch = (
        Journal(clock=lambda: 1767657694.5),
        batch_id(now=1767657694.5, random_bytes=bytes(BATCH_RANDOM_BYTES)),
    )
    body = json.dumps([{"to": [PUSH_TOKEN, "ExponentPushToken[xd]"], "title": "Hello", "data": {"order": 7}}]).encode()
    request = decode_send_request(body)
    project = Project(project_id=project_id_of("@acme/shop"), full_name="@acme/shop")
    device = virtual_device(PUSH_TOKEN, project=project, platform=Platform.IOS, now=1767657694.5)
    refused = [None, not_a_push_token("ExponentPushToken[xd]")]
    journal.accepted(batch, request=request, body=body, devices={PUSH_TOKEN: device}, refused=refused)
    ticket = ticket_id(batch, 0)
    sent = build_apns_request(request.messages[0], device, apns_id=ticket, accepted_at=1767657694.5)
    journal.attempt_started(ticket, n=1, request=sent)
    journal.attempt_ended(ticket, n=1, outcome=Accepted())
    journal.settled(batch, {0: RECEIPT_OK_JSON})
    return journal


# -- against what exp.host was seen to do -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, one in FIXTURES.items() if one["response"]["status"] == 200])
def test_a_request_that_was_accepted_is_valid(name: str) -> None:
    request = FIXTURES[name]["request"]
    body = json.loads(evidence.filled(request["body"], FILLED))

    assert CONTRACT.about_request(request["method"], request["path"], body) == []


def is_documented(request: dict[str, Any]) -> bool:
    """Some fixtures ask for what there is not."""
    return CONTRACT.operation(request["method"], request["path"]) is not None


ANSWERS = [
    (name, whose)
    for name, fixture in FIXTURES.items()
    for whose in ("response", "ours")
    if whose in fixture and is_documented(fixture["request"])
]


@pytest.mark.parametrize(("name", "whose"), ANSWERS)
def test_every_answer_is_valid(name: str, whose: str) -> None:
    """`response` was seen of exp.host, `ours` is what we answer where we differ."""
    request, answer = FIXTURES[name]["request"], FIXTURES[name][whose]
    text = evidence.filled(answer["body"], FILLED)
    media_type = answer.get("headers", {}).get("content-type", "application/json").partition(";")[0]
    if text[:1] not in ("{", "<"):
        media_type = "text/plain"  # of load balancers, whose headers were not noted

    complaints = CONTRACT.about_answer(
        request["method"], request["path"], status=answer["status"], media_type=media_type, text=text
    )

    assert complaints == []


@pytest.mark.parametrize(
    "body",
    [
        {"to": [PUSH_TOKEN]},
        {"to": 1},
        {"body": "x"},
        [{"to": PUSH_TOKEN, "data": "x"}],
        [{"to": PUSH_TOKEN, "priority": "urgent"}],
        [{"to": ["x"] * 101}],
        [{"to": "x"}] * 101,
        "x",
    ],
)
def test_it_refuses_what_the_server_refuses(body: object, client: httpx.Client) -> None:
    answer = client.post("/--/api/v2/push/send", json=body)

    is_valid = not CONTRACT.about_request("POST", "/--/api/v2/push/send", body)
    assert is_valid == (answer.status_code == 200)


# -- against the running server ---------------------------------------------------------------------------------------


@pytest.fixture
def judged_client(client: httpx.Client) -> Iterator[httpx.Client]:
    """Every answer is held against the document."""

    def judge(answer: httpx.Response) -> None:
        answer.read()
        media_type = answer.headers["content-type"].partition(";")[0]
        method, path = answer.request.method, answer.request.url.path
        status, text = answer.status_code, answer.text
        assert CONTRACT.about_answer(method, path, status=status, media_type=media_type, text=text) == []

    client.event_hooks = {"response": [judge]}
    yield client
    client.event_hooks = {}


def test_what_is_sent_and_answered_is_as_documented(judged_client: httpx.Client) -> None:
    one = judged_client.post("/--/api/v2/push/send", json={"to": PUSH_TOKEN, "body": "x"}).json()["data"]["id"]
    two = judged_client.post("/--/api/v2/push/send", json=[{"to": [PUSH_TOKEN, "ExponentPushToken[xd"]}]).json()["data"]

    found = receipts(judged_client, [one, two[0]["id"]])

    assert set(found) == {one, two[0]["id"]}
    assert two[1]["status"] == "error"


def test_what_phones_ask_is_answered_as_documented(judged_client: httpx.Client) -> None:
    device = {"type": "apns", "deviceId": str(uuid.uuid4()), "development": False, "appId": "com.example.app"}
    device |= {"deviceToken": uuid.uuid4().hex * 2}

    registered = judged_client.post("/--/api/v2/push/getExpoPushToken", json={**device, "experienceId": "@acme/shop"})
    updated = judged_client.post("/--/api/v2/push/updateDeviceToken", json=device)
    refused = judged_client.post("/--/api/v2/push/getExpoPushToken", json=device)

    assert [one.status_code for one in (registered, updated, refused)] == [200, 200, 400]


def test_health_is_answered_as_documented(judged_client: httpx.Client) -> None:
    assert judged_client.get("/health/live").status_code == 200
    assert judged_client.get("/health/ready").status_code == 200


# -- reading the document ---------------------------------------------------------------------------------------------


def examples(value: Any, place: str) -> Iterator[tuple[str, dict[str, Any], object]]:
    """(where it stands, its schema, the example), of media types, parameters and schemas."""
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from examples(inner, f"{place}/{index}")
    if not isinstance(value, dict):
        return
    if isinstance(value.get("schema"), dict):
        for example in values_of(value):
            yield place, value["schema"], example
    elif isinstance(value.get("examples"), list):
        for example in value["examples"]:
            yield place, value, example
    for key, inner in value.items():
        if key not in ("example", "examples", "default", "const"):
            yield from examples(inner, f"{place}/{key}")


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
