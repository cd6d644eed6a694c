"""The pytest plugin: the fixture `expo_gateway` is a run of its own for each test. Nothing is loaded before it is used.

All tests of a session, and all workers of pytest-xdist on one machine, share one server. EXPO_GATEWAY_URL names one
that runs already. For a server with options, have a fixture `expo_gateway_server` of your own in conftest.py.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from expo_gateway.testing import Gateway, Run


@pytest.fixture(scope="session")
def expo_gateway_server(pytestconfig: pytest.Config) -> Iterator["Gateway"]:
    """The server of the session, as its default run."""
    from expo_gateway.testing import gateway

    # xdist gives all its workers the same one.
    session = getattr(pytestconfig, "workerinput", {}).get("testrunuid")
    with gateway(shared=session) as started:
        yield started


@pytest.fixture
def expo_gateway(expo_gateway_server: "Gateway", request: pytest.FixtureRequest) -> Iterator["Run"]:
    """A run of the test's own: `.url` to send to, `.devices`, `.sent()`, `.wait_for()`, `.fail()`, `.clock`, …"""
    with expo_gateway_server.run(label=request.node.name) as run:
        yield run
