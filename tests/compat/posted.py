"""A server on this machine that somebody posts to: it keeps what came, and gives the answer that it was told."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Our choice: what is awaited comes within milliseconds; the rest is for a busy machine.
WAIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer on the wire, byte for byte. Content-Length and Date come by themselves."""

    status: int = 201
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    body: bytes = b"{}"

    @classmethod
    def of(cls, status: int, told: object) -> "Answer":
        return cls(status=status, body=json.dumps(told).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Posted:
    """What was posted so far, and what the next posts are answered."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.url = ""
        self._posts: list[Post] = []
        self._came = threading.Condition()

    def add(self, post: Post) -> None:
        with self._came:
            self._posts.append(post)
            self._came.notify_all()

    def wait(self, count: int) -> list[Post]:
        """The posts, in order, once there are `count` of them, or those that there are after `WAIT_S`."""
        with self._came:
            self._came.wait_for(lambda: len(self._posts) >= count, timeout=WAIT_S)
            return list(self._posts)

    def forget(self) -> None:
        with self._came:
            self._posts.clear()

    def __len__(self) -> int:
        return len(self._posts)


@contextmanager
def posted() -> Iterator[Posted]:
    posts = Posted()

    class Recorder(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = WAIT_S

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = posts.answer
            posts.add(Post(path=self.path, headers=headers, body=body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        posts.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield posts
        finally:
            server.shutdown()
            thread.join()


def eventually(ask: Any, *, timeout_s: float = WAIT_S, pause_s: float = 0.05) -> Any:
    """What `ask` gives as soon as it is true, or what it gave last: for what can only be asked again and again."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        found = ask()
        if found or time.monotonic() > give_up_at:
            return found
        time.sleep(pause_s)
