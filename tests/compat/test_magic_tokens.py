"""Every magic push token of docs/magic-tokens.md, through the unmodified Node and Python SDKs.

The page's table says what is to come, so it can't say anything else.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import requests
from exponent_server_sdk import PushClient, PushMessage, PushServerError, PushTicket

from expo_gateway.protocol.magic import words
from expo_gateway.protocol.ticket import accepted_at, parse_ticket_id
from tests.compat.node_sdk import SDKS, drive
from tests.conftest import Server

PAGE = Path(__file__).parents[2] / "docs" / "magic-tokens.md"
WAIT_S = 20.0
# Our choice: the page's 30 seconds are too long for a test.
AFTER_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table."""

    token: str
    ticket: str
    receipt: str
    remark: str

    @property
    def word(self) -> str:
        return self.token.split("-")[1]


def rows() -> dict[str, Row]:
    lines = re.findall(r"^\| `(Expo.*?)` \| (.*?) ?\| (.*?) ?\| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    cells = [[cell.strip("`") for cell in line[:3]] + [line[3]] for line in lines]
    made = [Row(token=token, ticket=ticket, receipt=receipt, remark=remark) for token, ticket, receipt, remark in cells]
    return {row.word: row for row in made}


ROWS = rows()
REFUSED = [word for word, row in ROWS.items() if row.receipt.endswith(("Error", "Registered", "Big", "Exceeded", "Id"))]
REFUSED += ["credentials"]

Outcome: TypeAlias = tuple[str, str]
"""Status of the ticket or receipt, and `details.error` or ""."""


class Sdk:
    """What both SDKs can do: send to push tokens, and ask for receipts."""

    def send(self, *tokens: str) -> tuple[list[Outcome], list[str]]:
        """What came of each, and the ids of the tickets that are ok. RequestError: the whole request was refused."""
        raise NotImplementedError

    def receipts(self, ids: list[str]) -> dict[str, Outcome]:
        raise NotImplementedError

    def wait(self, ids: list[str]) -> dict[str, Outcome]:
        give_up_at = time.monotonic() + WAIT_S
        while len(found := self.receipts(ids)) < len(ids) and time.monotonic() < give_up_at:
            time.sleep(0.1)
        return found

    def receipt(self, token: str) -> Outcome:
        """Of a push to the device, whose ticket is ok."""
        tickets, ids = self.send(token)
        assert tickets == [("ok", "")]
        return self.wait(ids)[ids[0]]


@dataclass(frozen=True, slots=True)
class RequestError(Exception):
    code: str
    status: int
    details: Any


class NodeSdk(Sdk):
    def __init__(self, sdk: str, url: str) -> None:
        self._sdk, self._url = sdk, url

    def send(self, *tokens: str) -> tuple[list[Outcome], list[str]]:
        # Without retries of its own, so that a 429 can be seen.
        (given,) = drive(
            self._sdk,
            self._url,
            {"call": "sendUnchunked", "messages": [{"to": token, "body": "x"} for token in tokens]},
            options={"retryMinTimeout": 1},
        )
        if "error" in given:
            error = given["error"]
            raise RequestError(error["code"], error["statusCode"], error.get("details"))
        tickets = given["tickets"]
        return [_outcome(ticket) for ticket in tickets], [ticket["id"] for ticket in tickets if "id" in ticket]

    def receipts(self, ids: list[str]) -> dict[str, Outcome]:
        (given,) = drive(self._sdk, self._url, {"call": "receipts", "ids": ids})
        return {id_: _outcome(receipt) for id_, receipt in given["receipts"].items()}


class PythonSdk(Sdk):
    def __init__(self, url: str, session: requests.Session) -> None:
        self._push = PushClient(host=url, session=session)

    def send(self, *tokens: str) -> tuple[list[Outcome], list[str]]:
        try:
            tickets = self._push.publish_multiple([PushMessage(to=token, body="x") for token in tokens])
        except PushServerError as error:
            (first,) = error.errors
            raise RequestError(first["code"], error.response.status_code, first.get("details")) from error
        return [_outcome(ticket._asdict()) for ticket in tickets], [ticket.id for ticket in tickets if ticket.id]

    def receipts(self, ids: list[str]) -> dict[str, Outcome]:
        tickets = [PushTicket(push_message=None, status="ok", message="", details=None, id=id_) for id_ in ids]
        return {one.id: _outcome(one._asdict()) for one in self._push.check_receipts_multiple(tickets)}


def _outcome(said: dict[str, Any]) -> Outcome:
    return said["status"], (said.get("details") or {}).get("error", "")


@pytest.fixture(params=[*SDKS, "python"])
def sdk(request: pytest.FixtureRequest, server: Server) -> Iterator[Sdk]:
    if request.param != "python":
        yield NodeSdk(request.param, server.url)
        return
    with requests.Session() as session:
        session.headers.update({"content-type": "application/json"})
        yield PythonSdk(server.url, session)


_numbers = count(1)


@pytest.fixture
def fresh() -> Callable[[str], str]:
    """Another push token of a kind, which no test has used."""

    def made(word: str) -> str:
        head = f"magic-{word}-"
        return f"ExponentPushToken[{head}{next(_numbers):0{22 - len(head)}}]"

    return made


def test_the_table_has_every_kind() -> None:
    assert list(ROWS) == [word.replace("<n>", "30") for word in words()]
    assert {len(row.token) for row in ROWS.values()} == {len("ExponentPushToken[]") + 22}


def test_gone_is_a_ticket_error(sdk: Sdk) -> None:
    assert sdk.send(ROWS["gone"].token) == ([("error", ROWS["gone"].ticket)], [])


@pytest.mark.parametrize("word", dict.fromkeys(REFUSED))
def test_a_refusal_is_the_receipt_of_the_table_each_time_and_on_both_platforms(
    word: str, sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    tokens = [ROWS[word].token, *(fresh(word) for _ in range(8))]

    for _ in range(2):
        tickets, ids = sdk.send(*tokens)

        assert tickets == [("ok", "")] * len(tokens)
        assert list(sdk.wait(ids).values()) == [("error", ROWS[word].receipt)] * len(tokens)


def test_ordinary_devices_go_on_beside_all_refusals(sdk: Sdk, fresh: Callable[[str], str]) -> None:
    """Whatever the providers said of credentials and quotas holds nobody else back."""
    refused = [fresh(word) for word in REFUSED for _ in range(4)]
    sdk.wait(sdk.send(*refused)[1])
    ordinary = [f"ExponentPushToken[beside-{next(_numbers):015}]" for _ in range(12)]

    _, ids = sdk.send(*ordinary)

    assert list(sdk.wait(ids).values()) == [("ok", "")] * len(ordinary)


def test_pending_has_no_receipt_when_the_others_have_theirs(sdk: Sdk, fresh: Callable[[str], str]) -> None:
    assert ROWS["pending"].receipt == "never"
    tickets, ids = sdk.send(fresh("pending"), f"ExponentPushToken[beside-{next(_numbers):015}]", fresh("pending"))

    assert tickets == [("ok", "")] * 3
    assert sdk.wait([ids[1]]) == {ids[1]: ("ok", "")}
    assert sdk.receipts(ids) == {ids[1]: ("ok", "")}


def test_after_has_its_receipt_later(sdk: Sdk, fresh: Callable[[str], str]) -> None:
    assert ROWS["after30s"].receipt == "ok, 30 seconds later"
    _, (id_,) = sdk.send(fresh(f"after{AFTER_S}s"))

    assert sdk.wait([id_]) == {id_: ("ok", "")}
    batch = parse_ticket_id(id_)
    assert batch is not None
    assert time.time() >= accepted_at(batch[0]) + AFTER_S


def test_another_project_is_taken_alone_and_refused_among_others(sdk: Sdk, fresh: Callable[[str], str]) -> None:
    other, ordinary = fresh("otherproject"), f"ExponentPushToken[beside-{next(_numbers):015}]"

    assert sdk.receipt(other) == ("ok", "")
    with pytest.raises(RequestError) as raised:
        sdk.send(ordinary, other)

    assert raised.value.code in ROWS["otherproject"].remark
    assert (raised.value.status, raised.value.details) == (
        400,
        {"@emulator/app": [ordinary], "@emulator/other": [other]},
    )


def test_busy_is_refused_first_and_then_fine(sdk: Sdk, fresh: Callable[[str], str]) -> None:
    busy = fresh("busy")

    if isinstance(sdk, NodeSdk):  # it tries again by itself
        assert sdk.receipt(busy) == ("ok", "")
        return
    with pytest.raises(RequestError) as raised:
        sdk.send(busy)

    assert (raised.value.status, raised.value.code) == (429, "TOO_MANY_REQUESTS")
    assert raised.value.code in ROWS["busy"].remark
    assert [sdk.receipt(busy) for _ in range(2)] == [("ok", "")] * 2


def test_a_kind_that_does_not_exist_is_an_error(sdk: Sdk) -> None:
    with pytest.raises(RequestError) as raised:
        sdk.send("ExponentPushToken[magic-gnoe-00000000001]")

    assert (raised.value.status, raised.value.code) == (400, "VALIDATION_ERROR")
