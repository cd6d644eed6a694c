"""Questions to the control API of one run, as `openapi.json` describes it: JSON there and back."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from expo_gateway.errors import ExpoGatewayError

# Our choice: the gateway answers at once; the rest is for a machine that is busy with tests.
ANSWER_S = 30.0
# As the document has it.
MAX_PAGE = 1000

Json = dict[str, Any]
Query = Iterable[tuple[str, str]]


class ControlRefused(ExpoGatewayError):
    """The control API said no. `code`, `message` and `field` are its words; `answer` is the whole of them."""

    def __init__(self, status: int, answer: Json) -> None:
        error = answer.get("error")
        error = error if isinstance(error, dict) else {}
        self.status = status
        self.code = str(error.get("code", "UNKNOWN"))
        self.message = str(error.get("message", "no answer of a control API; it may be off there"))
        self.field: str | None = error.get("field")
        self.answer = answer
        super().__init__(f"{status} {self.code}: {self.message}")


class GatewayGone(ExpoGatewayError):
    """Nobody answers at the gateway's address, or it was no gateway that did."""


class Control:
    """The control API below `base_url`, which is a gateway's or a run's and has no slash at its end.

    Every question has a connection of its own: on one machine it costs a tenth of a millisecond, threads and forks may
    ask as they like, and none was closed by the other side meanwhile.
    """

    def __init__(self, base_url: str, *, token: str | None = None, last_words: Callable[[], str] = str) -> None:
        """`token`: the control token. `last_words`: what a gateway that does not answer had to say."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"a gateway's address is like http://127.0.0.1:8080, not {base_url!r}")
        self._base_url, self._parts = base_url, parts
        self._token, self._last_words = token, last_words

    def at(self, base_url: str) -> "Control":
        """The same for another run of the gateway."""
        return Control(base_url, token=self._token, last_words=self._last_words)

    def get(self, path: str, query: Query = (), *, patience_s: float = 0.0) -> Json:
        """`patience_s`: how long it is asked to wait. Raises ControlRefused, GatewayGone."""
        return self._ask("GET", path, query=query, timeout_s=ANSWER_S + patience_s)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Json:
        return self._ask("POST", path, body=body or {})

    def put(self, path: str, body: Mapping[str, object]) -> Json:
        return self._ask("PUT", path, body=body)

    def delete(self, path: str, query: Query = ()) -> int:
        """How many there were."""
        return int(self._ask("DELETE", path, query=query)["deleted"])

    def pages(self, path: str, query: Query, *, of: str) -> Iterator[Json]:
        """Each member of a list, over all its pages."""
        after: str | None = None
        while True:
            cursor = () if after is None else (("after", after),)
            page = self.get(path, [*query, ("limit", str(MAX_PAGE)), *cursor])
            yield from page[of]
            after = page["next"]
            if after is None:
                return

    def ask(self, method: str, path: str, query: Query = (), *, body: Mapping[str, object] | None = None) -> Json:
        """Any question at all. What it may wait for, by its `timeout_s`, is waited for."""
        patience_s = next((float(value) for name, value in query if name == "timeout_s"), 0.0)
        return self._ask(method, path, query=query, body=body, timeout_s=ANSWER_S + patience_s)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Mapping[str, object] | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Json:
        target = f"{self._parts.path}/_gateway/v1{path}"
        if asked := urlencode(list(query), quote_via=quote):
            target = f"{target}?{asked}"
        try:
            status, answer = self._exchange(method, target, body, timeout_s)
        except (OSError, HTTPException, ValueError) as error:
            raise GatewayGone(self._gone(error)) from error
        if status >= 400:
            raise ControlRefused(status, answer)
        return answer

    def _exchange(
        self, method: str, target: str, body: Mapping[str, object] | None, timeout_s: float
    ) -> tuple[int, Json]:
        headers = {"accept": "application/json", "connection": "close"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["content-type"] = "application/json"
        connection = self._connection(timeout_s)
        try:
            connection.request(method, target, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        return response.status, answer if isinstance(answer, dict) else {}

    def _connection(self, timeout_s: float) -> HTTPConnection:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        return kind(str(self._parts.hostname), self._parts.port, timeout=timeout_s)

    def _gone(self, error: Exception) -> str:
        said = self._last_words()
        return f"no gateway answers at {self._base_url}: {error or type(error).__name__}{said and f'; it said: {said}'}"


def path_of(*pieces: str) -> str:
    """A path whose pieces may hold anything, slashes too."""
    return "".join(f"/{quote(piece, safe='')}" for piece in pieces)
