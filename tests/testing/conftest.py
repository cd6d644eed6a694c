"""A gateway for the tests of `expo_gateway.testing`, and a run in it for each."""

from collections.abc import Iterator

import pytest

from expo_gateway.testing import Gateway, Run, gateway


@pytest.fixture(scope="session")
def started() -> Iterator[Gateway]:
    with gateway() as running:
        yield running


@pytest.fixture
def run(started: Gateway) -> Iterator[Run]:
    with started.run() as new:
        yield new
