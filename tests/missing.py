"""What a test needs and the machine lacks."""

import os
import shutil
from importlib import import_module
from types import ModuleType
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skips on a laptop, fails in CI, where the set-up installs everything."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str) -> str:
    """Where it is installed."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not installed")
    return path


def module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError:
        missing(f"{name} is not installed; `make test` installs it")
