"""Bytes on a socket, for what no HTTP client would send."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import parse_headers
from typing import Any

from tests.conftest import Server

SEND = "/--/api/v2/push/send"
GET_RECEIPTS = "/--/api/v2/push/getReceipts"
TOKEN = "ExponentPushToken[J58oHWJwFIfCiY1ZAUd8tI]"
MESSAGE = json.dumps([{"to": TOKEN, "body": "Grüße"}], ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The one error of a refused request, without its request id."""
        (error,) = self.json()["errors"]
        return {name: value for name, value in error.items() if name != "requestId"}


class Wire:
    """One HTTP/1.1 connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        # One for all answers: it may hold more than one of them.
        self._file = connection.makefile("rb")

    def write(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def request(self, path: str = SEND, body: bytes = MESSAGE, *, method: str = "POST", **headers: str) -> Reply:
        """Underscores in the names of headers are hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.write(head(path, method=method, **{"content-length": str(len(body)), **named}), body)
        return self.read()

    def read(self) -> Reply:
        """The next answer; an interim one (100) is passed over. Ours always have a length."""
        status_line = self._file.readline()
        assert status_line, "the connection was closed without an answer"
        headers = {name.lower(): value for name, value in parse_headers(self._file).items()}
        status = int(status_line.split()[1])
        if status == 100:
            return self.read()
        return Reply(status=status, headers=headers, body=self._file.read(int(headers["content-length"])))

    def close(self) -> None:
        self._file.close()

    def is_closed(self) -> bool:
        """Whether the server ends the connection, within the socket's timeout, without another byte."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True


def head(path: str = SEND, *, method: str = "POST", version: str = "1.1", **headers: str) -> bytes:
    named = {"host": "127.0.0.1", **headers}
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@contextmanager
def connected(server: Server, *, timeout_s: float = 10.0) -> Iterator[Wire]:
    with socket.create_connection((server.host, server.port), timeout=timeout_s) as connection:
        wire = Wire(connection)
        try:
            yield wire
        finally:
            wire.close()


def post(server: Server, body: bytes | object, path: str = SEND, **headers: str) -> Reply:
    with connected(server, timeout_s=30.0) as wire:
        return wire.request(path, body if isinstance(body, bytes) else json.dumps(body).encode(), **headers)


def receipt(server: Server, reply: Reply) -> dict[str, Any]:
    """The receipt of the one ticket; waits for it."""
    (ticket,) = reply.json()["data"]
    give_up_at = time.monotonic() + 20.0
    while time.monotonic() < give_up_at:
        if found := post(server, {"ids": [ticket["id"]]}, GET_RECEIPTS).json()["data"]:
            only: dict[str, Any] = found[ticket["id"]]
            return only
        time.sleep(0.02)
    raise AssertionError("the ticket has no receipt")


def still_serves(server: Server) -> None:
    """A message sent on a new connection gets its ticket, and nothing of ours has failed so far."""
    with connected(server) as wire:
        reply = wire.request()
    assert (reply.status, reply.json()["data"][0]["status"]) == (200, "ok")
    assert "Traceback" not in server.stderr(), server.stderr()
