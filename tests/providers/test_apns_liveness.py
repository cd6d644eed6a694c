"""When a connection is asked for a sign of life, and when it is given up."""

import pytest

from expo_gateway.providers.apns_limits import ApnsLimits
from expo_gateway.providers.apns_liveness import Liveness


@pytest.fixture
def liveness() -> Liveness:
    limits = ApnsLimits(keepalive_s=3600, probe_after_s=300, ping_timeout_s=5)
    return Liveness(limits=limits, heard_at=1000.0)


def test_a_connection_is_doubtful_after_five_silent_minutes(liveness: Liveness) -> None:
    assert not liveness.is_doubtful(now=1300.0)
    assert liveness.is_doubtful(now=1300.1)


def test_an_idle_connection_is_asked_after_an_hour(liveness: Liveness) -> None:
    assert liveness.due_at == 4600.0
    assert not liveness.is_idle(now=4599.0)
    assert liveness.is_idle(now=4600.0)


def test_a_connection_that_is_not_asked_is_not_dead(liveness: Liveness) -> None:
    assert not liveness.is_dead(now=1e9)


def test_a_connection_that_does_not_answer_in_time_is_dead(liveness: Liveness) -> None:
    liveness.pinged_at = 2000.0

    assert liveness.is_asked
    assert liveness.due_at == 2005.0
    assert not liveness.is_dead(now=2004.0)
    assert liveness.is_dead(now=2005.0)
