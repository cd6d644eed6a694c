"""Running the unmodified Node SDKs: each call is made in a Node process, as a user's server would make it."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from tests.missing import missing, program

NODE = Path(__file__).parent / "node"
SDKS = ("expo_sdk_7", "expo_sdk_3_15")
DEADLINE_S = 60.0

Given = dict[str, Any]


def drive(
    sdk: str, base_url: str, *calls: Given, options: Given | None = None, env: dict[str, str] | None = None
) -> list[Given]:
    """What each call gave: its value, or `{"error": properties of the Error}`. `options` are those of `new Expo()`."""
    done = subprocess.run(
        _command("drive_expo_sdk.mjs", sdk),
        input=json.dumps({"options": options or {}, "calls": calls}).encode(),
        capture_output=True,
        timeout=DEADLINE_S,
        env={**os.environ, "NODE_NO_WARNINGS": "1", "EXPO_BASE_URL": base_url, **(env or {})},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    given: list[Given] = json.loads(done.stdout)
    assert len(given) == len(calls)
    return given


class KeptSdk:
    """The same in a Node process that stays for many calls; `kept_sdk` makes it."""

    def __init__(self, process: "subprocess.Popen[str]", *, options: Given) -> None:
        self._process = process
        self._options = options

    def call(self, call: str, **parameters: Any) -> Given:
        """What one call gave, as `drive` has it."""
        into, out = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        into.write(json.dumps({"call": call, "options": self._options, **parameters}) + "\n")
        into.flush()
        given: Given = json.loads(out.readline())
        return given


@contextmanager
def kept_sdk(sdk: str, base_url: str, *, options: Given | None = None) -> Iterator[KeptSdk]:
    with subprocess.Popen(
        _command("keep_expo_sdk.mjs", sdk),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "NODE_NO_WARNINGS": "1", "EXPO_BASE_URL": base_url},
    ) as process:
        yield KeptSdk(process, options=options or {})


def _command(script: str, sdk: str) -> list[str]:
    node = program("node")
    if not (NODE / sdk / "node_modules").is_dir():
        missing(f"{sdk} is not installed: run `npm ci` in tests/compat/node/{sdk}, or `make test`")
    return [node, str(NODE / script), str(NODE / sdk)]


def receipts_through(sdk: str, base_url: str, ids: list[str]) -> dict[str, Any]:
    """Ask as often as needed until all are there."""
    give_up_at = time.monotonic() + DEADLINE_S
    while True:
        (given,) = drive(sdk, base_url, {"call": "receipts", "ids": ids})
        found: dict[str, Any] = given["receipts"]
        if len(found) == len(set(ids)) or time.monotonic() > give_up_at:
            return found
