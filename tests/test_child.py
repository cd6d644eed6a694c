"""A forked process and its parent, on the wire between them."""

import os
import time

import pytest

from expo_gateway.child import Child, Wire, fork, heard, last_word
from expo_gateway.errors import (
    BearerRefused,
    CannotStart,
    ExpoGatewayError,
    RequestRefused,
    SettingsError,
    StoreUnavailable,
)

END_S = 10.0


def forked(error: Exception) -> Child:
    """One that fails so at its start."""

    def life(_: Wire) -> None:
        raise error

    return fork("it", life, now=0.0, not_its=())


def reaped(child: Child) -> int:
    """Its exit code."""
    give_up_at = time.monotonic() + END_S
    while (ended := os.waitpid(child.pid, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < give_up_at
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1])


@pytest.mark.parametrize("error", [SettingsError("a wrong port"), CannotStart("a taken port")])
def test_what_a_child_can_not_start_for_is_raised_by_its_parent(error: ExpoGatewayError) -> None:
    child = forked(error)
    try:
        with pytest.raises(type(error), match=str(error)):
            heard(child.wire, child.name)
    finally:
        assert reaped(child) == 1
        child.wire.close()


@pytest.mark.parametrize(
    "error",
    [
        RequestRefused("PUSH_TOO_MANY", "too many messages", details={"limit": 100}),
        BearerRefused(),
        StoreUnavailable("the disk is full"),
    ],
)
def test_errors_of_other_kinds_arrive_as_what_keeps_it_from_starting(error: ExpoGatewayError) -> None:
    """More than their text, they can't be made anew on the other side of the wire."""
    child = forked(error)
    try:
        with pytest.raises(CannotStart, match=str(error)):
            heard(child.wire, child.name)
    finally:
        reaped(child)
        child.wire.close()


def test_the_last_word_of_a_child_that_has_ended_can_be_read_whatever_it_was() -> None:
    child = forked(RequestRefused("PUSH_TOO_MANY", "too many messages"))
    try:
        reaped(child)

        assert str(last_word(child.wire)) == "PUSH_TOO_MANY: too many messages"
    finally:
        child.wire.close()


def test_a_bug_is_no_word_and_the_log_has_it() -> None:
    child = forked(ZeroDivisionError("a bug"))
    try:
        with pytest.raises(CannotStart, match="ended at its start"):
            heard(child.wire, child.name)
    finally:
        reaped(child)
        child.wire.close()
