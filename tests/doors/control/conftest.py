"""A run of its own for each test, over HTTP; every answer is held against the shipped OpenAPI document."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Server
from tests.contract import CONTROL, Contract

SEND = "/--/api/v2/push/send"
IOS = "ExponentPushToken[iiiiiiiiiiiiiiiiiiiiii]"
ANDROID = "ExponentPushToken[dddddddddddddddddddddd]"

CONTRACT = Contract()


class Run:
    """The control API of one run."""

    def __init__(self, http: httpx.Client, base_url: str) -> None:
        self.http = http
        self.base_url = base_url
        self.url = f"{base_url}{CONTROL}"

    def __call__(self, method: str, path: str, *, json: Any = None, **options: Any) -> httpx.Response:
        body = {} if json is None else {"json": json}
        answer = self.http.request(method, f"{self.url}{path}", **body, **options)
        about = CONTRACT.about_answer(
            method,
            f"{CONTROL}{path}",
            status=answer.status_code,
            media_type=answer.headers["content-type"],
            text=answer.text,
        )
        assert about == [] or "is not documented" in about[0], about
        return answer

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of an answer that must be 200."""
        answer = self("GET", path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, json: Any = None) -> Any:
        answer = self("POST", path, json=json)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def refusal(self, method: str, path: str, *, json: Any = None, **options: Any) -> tuple[int, str, str | None]:
        """Status, message and field of an answer that must be an error."""
        answer = self(method, path, json=json, **options)
        error = answer.json()["error"]
        return answer.status_code, error["message"], error.get("field")

    def send(self, *messages: dict[str, Any]) -> list[str]:
        """Ticket ids; "" of a ticket that is an error."""
        answer = self.http.post(f"{self.base_url}{SEND}", json=list(messages))
        assert answer.status_code == 200, answer.text
        return [ticket.get("id", "") for ticket in answer.json()["data"]]

    def delivered(self, *messages: dict[str, Any]) -> list[str]:
        """The same, once every receipt is there."""
        ids = self.send(*messages)
        self.get("/idle/wait", timeout_s=20)
        return ids


@pytest.fixture
def new_run(server: Server) -> Iterator[Callable[[], Run]]:
    with httpx.Client(timeout=30) as http:
        yield lambda: Run(http, f"{server.url}/r/{uuid.uuid4().hex}")


@pytest.fixture
def run(new_run: Callable[[], Run]) -> Run:
    return new_run()


@pytest.fixture
def default(server: Server) -> Iterator[Run]:
    """The default run, which other tests use too."""
    with httpx.Client(timeout=30) as http:
        yield Run(http, server.url)
