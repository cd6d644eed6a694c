"""When to try to connect again."""

import pytest

from expo_gateway.providers.apns_circuit import Circuit, pause_s


@pytest.fixture
def circuit() -> Circuit:
    return Circuit(first_pause_s=1.0, max_pause_s=60.0)


@pytest.mark.parametrize(("failures", "longest_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (7, 60.0), (5000, 60.0)])
def test_the_pause_doubles_up_to_the_longest_and_half_of_it_is_drawn_by_lot(failures: int, longest_s: float) -> None:
    assert pause_s(failures, first_s=1.0, max_s=60.0, jitter=0.0) == longest_s / 2
    assert pause_s(failures, first_s=1.0, max_s=60.0, jitter=1.0) == longest_s


def test_a_circuit_that_never_failed_allows_everything(circuit: Circuit) -> None:
    assert circuit.allows(10, now=0.0)


def test_a_failure_opens_the_circuit_for_its_pause_and_keeps_the_cause(circuit: Circuit) -> None:
    circuit.failed("refused", now=100.0, jitter=1.0)

    assert circuit.is_open(now=100.9)
    assert not circuit.allows(0, now=100.9)
    assert circuit.cause == "refused"
    assert not circuit.is_open(now=101.0)


def test_after_the_pause_one_connection_at_a_time_is_tried(circuit: Circuit) -> None:
    circuit.failed("refused", now=100.0, jitter=1.0)

    assert circuit.allows(0, now=101.0)
    assert not circuit.allows(1, now=101.0)


def test_success_closes_the_circuit(circuit: Circuit) -> None:
    circuit.failed("refused", now=100.0, jitter=1.0)

    circuit.worked()

    assert circuit.allows(3, now=100.0)
    assert circuit.cause == ""
