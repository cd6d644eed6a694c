"""Driving the unmodified home-assistant-js-websocket, the client of Home Assistant's frontend and of many others."""

import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.compat.posted import WAIT_S
from tests.missing import missing, program

CLIENT = Path(__file__).parent / "node" / "home_assistant_js"
CHANNEL = "mobile_app/push_notification_channel"
CONFIRM = "mobile_app/push_notification_confirm"
# The library's own error.
ERR_INVALID_AUTH = 2

Said = dict[str, Any]


class JsClient:
    """A client in a Node process. What it says is kept until somebody waits for it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._lines: queue.Queue[Said | None] = queue.Queue()
        self._kept: list[Said] = []
        threading.Thread(target=self._read, daemon=True).start()

    def tell(self, deed: str, **told: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": deed, **told}) + "\n")
        self._process.stdin.flush()

    def hear(self, said: str) -> Said:
        """The first of this kind that nobody has waited for yet."""
        for kept in self._kept:
            if kept["said"] == said:
                self._kept.remove(kept)
                return kept
        while True:
            line = self._next(said)
            if line["said"] == said:
                return line
            self._kept.append(line)

    def events(self, count: int, *, channel: str = "main") -> list[dict[str, Any]]:
        heard = [self.hear("event") for _ in range(count)]
        assert {one["channel"] for one in heard} <= {channel}, heard
        return [one["event"] for one in heard]

    def subscribe(self, webhook_id: str, *, support_confirm: bool = True, channel: str = "main") -> None:
        self.ask_for_channel(webhook_id, support_confirm=support_confirm, channel=channel)
        self.hear("subscribe done")

    def ask_for_channel(self, webhook_id: str, *, support_confirm: bool = True, channel: str = "main") -> None:
        message = {"type": CHANNEL, "webhook_id": webhook_id, "support_confirm": support_confirm}
        self.tell("subscribe", channel=channel, message=message)

    def confirm(self, webhook_id: str, confirm_id: str) -> None:
        self.tell("ask", message={"type": CONFIRM, "webhook_id": webhook_id, "confirm_id": confirm_id})

    def ping(self) -> None:
        """Everything that was on its way before has arrived when this returns."""
        self.tell("ping")
        self.hear("ping done")

    def unheard(self, said: str) -> list[Said]:
        """What it has said of this kind so far, and nobody waited for."""
        return [kept for kept in self._kept if kept["said"] == said]

    def _next(self, wanted: str) -> Said:
        try:
            line = self._lines.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError(f"wanted {wanted!r}, heard {self._kept}") from None
        assert line is not None, f"the client ended; wanted {wanted!r}, heard {self._kept}"
        return line

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)


@contextmanager
def js_client(url: str, access_token: str) -> Iterator[JsClient]:
    with node("push_client.mjs", url, access_token, cwd=CLIENT) as process:
        yield JsClient(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=WAIT_S)
        assert process.stderr is not None
        assert process.stderr.read() == ""


@contextmanager
def node(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A Node process; whatever happens, it is gone at the end."""
    command = [program("node"), *arguments]
    if not (CLIENT / "node_modules").is_dir():
        missing("home-assistant-js-websocket is not installed: run `make test`")
    pipe, all_env = subprocess.PIPE, {**os.environ, **(env or {})}
    with subprocess.Popen(command, cwd=cwd, env=all_env, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
