"""What the Python clients share: run the checks, print what passed as one line of JSON."""

import json
import os
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TypeVar

T = TypeVar("T")

GATEWAY_URL = os.environ["GATEWAY_URL"]
TOKEN_IOS = os.environ["TOKEN_IOS"]
TOKEN_ANDROID = os.environ["TOKEN_ANDROID"]
TOKEN_UNKNOWN = os.environ["TOKEN_UNKNOWN"]


def expect(what: str, wanted: object, got: object) -> None:
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def until(found: Callable[[], T | None], what: str) -> T:
    """Ask until there is something; a receipt takes a moment."""
    for _ in range(100):
        value = found()
        if value is not None:
            return value
        time.sleep(0.1)
    raise AssertionError(f"no {what} after 10 seconds")


def run(package: str, checks: Mapping[str, Callable[[], None]]) -> None:
    passed = {"version": version(package)}
    for name, check in checks.items():
        try:
            check()
            passed[name] = "ok"
        except Exception as error:
            passed[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(passed))
