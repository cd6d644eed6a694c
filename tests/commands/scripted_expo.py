"""A server of Expo's push API that answers by a script, for what a real gateway rarely does."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

Messages = list[Any]
"""The messages of a request, or its ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """An answer. `status` 0: the connection ends without one."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


def tickets(messages: Messages) -> Scripted:
    """Ok for everyone; the id tells whose it is."""
    return Scripted(status=200, body={"data": [{"status": "ok", "id": f"id of {one['to']}"} for one in messages]})


def refused(status: int, code: str, **rest: object) -> Scripted:
    return Scripted(status=status, body={"errors": [{"code": code, "message": f"{code} it is.", **rest}]})


@dataclass(slots=True)
class ScriptedExpo:
    """`answer` decides, given the messages (or the ids) of a request and how many came before it."""

    answer: Callable[[Messages, int], Scripted]
    requests: list[Messages] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def take(self, body: bytes, headers: dict[str, str]) -> Scripted:
        decoded = orjson.loads(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
        messages: Messages = decoded["ids"] if isinstance(decoded, dict) else decoded
        with self.lock:
            number = len(self.requests)
            self.requests.append(messages)
            self.headers.append(headers)
        return self.answer(messages, number)


@contextmanager
def scripted(answer: Callable[[Messages, int], Scripted]) -> Iterator[ScriptedExpo]:
    expo = ScriptedExpo(answer)

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found = expo.take(body, {name.lower(): value for name, value in self.headers.items()})
            if not found.status:
                self.close_connection = True
                return
            text = orjson.dumps(found.body)
            self.send_response(found.status)
            for name, value in {**found.headers, "content-length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that are killed leave broken pipes behind."""

    server = Server(("127.0.0.1", 0), Door)
    expo.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield expo
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
