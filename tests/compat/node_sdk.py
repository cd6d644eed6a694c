"""Running the unmodified Node SDKs: each call is made in a Node process, as a user's server would make it."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.missing import missing, program

NODE = Path(__file__).parent / "node"
SDKS = ("expo_sdk_7", "expo_sdk_3_15")
DEADLINE_S = 60.0

Given = dict[str, Any]


def drive(
    sdk: str, base_url: str, *calls: Given, options: Given | None = None, env: dict[str, str] | None = None
) -> list[Given]:
    """What each call gave: its value, or `{"error": properties of the Error}`. `options` are those of `new Expo()`."""
    node = program("node")
    if not (NODE / sdk / "node_modules").is_dir():
        missing(f"{sdk} is not installed: run `npm ci` in tests/compat/node/{sdk}, or `make test`")
    done = subprocess.run(
        [node, str(NODE / "drive_expo_sdk.mjs"), str(NODE / sdk)],
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


def receipts_through(sdk: str, base_url: str, ids: list[str]) -> dict[str, Any]:
    """Ask as often as needed until all are there."""
    give_up_at = time.monotonic() + DEADLINE_S
    while True:
        (given,) = drive(sdk, base_url, {"call": "receipts", "ids": ids})
        found: dict[str, Any] = given["receipts"]
        if len(found) == len(set(ids)) or time.monotonic() > give_up_at:
            return found
