"""Calls of Home Assistant's notify and persistent_notification actions."""

import orjson
import pytest

from expo_gateway.protocol.home_assistant.registration import Malformed
from expo_gateway.protocol.home_assistant.services import (
    MAX_DATA_BYTES,
    MAX_TARGETS,
    read_dismissal,
    read_note,
    read_notification,
    services,
)


def test_a_notification_becomes_the_event_that_a_channel_gets() -> None:
    read = read_notification({"message": "Hello", "title": "T", "data": {"tag": "x"}})

    assert read.event() == {"message": "Hello", "title": "T", "data": {"tag": "x"}}


def test_a_message_that_is_a_number_is_text() -> None:
    assert read_notification({"message": 123}).event() == {"message": "123"}


def test_an_empty_message_is_one() -> None:
    assert read_notification({"message": ""}).event() == {"message": ""}


@pytest.mark.parametrize("title", ["", "Home Assistant"])
def test_the_title_of_who_says_none_is_left_out(title: str) -> None:
    """Apprise always sends one."""
    assert read_notification({"message": "m", "title": title}).title is None


@pytest.mark.parametrize("given", ["a", ["a"]])
@pytest.mark.parametrize("key", ["target", "targets"])
def test_a_target_is_one_or_a_list_under_either_name(key: str, given: object) -> None:
    assert read_notification({"message": "m", key: given}).targets == ("a",)


def test_targets_that_are_named_twice_count_once() -> None:
    assert read_notification({"message": "m", "target": ["a", "b", "a"], "targets": ["b"]}).targets == ("a", "b")


@pytest.mark.parametrize(
    "wrong",
    [
        {"message": None},
        {"message": []},
        {"title": {}},
        {"data": None},
        {"data": "x"},
        {"data": []},
        {"data": {"x": "y" * MAX_DATA_BYTES}},
        {"data": orjson.loads('{"x":' * 500 + "1" + "}" * 500)},
        {"target": None},
        {"target": [{}]},
        {"targets": ["x"] * (MAX_TARGETS + 1)},
        {"extra": 1},
    ],
)
def test_a_notification_is_taken_strictly(wrong: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        read_notification({"message": "m", **wrong})


@pytest.mark.parametrize("value", [{}, {"title": "T"}, [], None, "m"])
def test_a_notification_without_a_message_is_none(value: object) -> None:
    with pytest.raises(Malformed):
        read_notification(value)


def test_a_note_may_come_without_an_id() -> None:
    assert read_note({"message": "m", "title": ""}).notification_id is None


@pytest.mark.parametrize("wrong", [{"message": None}, {"notification_id": []}, {"data": {}}])
def test_a_note_is_taken_strictly(wrong: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        read_note({"message": "m", **wrong})


def test_a_dismissal_names_a_note() -> None:
    assert read_dismissal({"notification_id": 5}) == "5"
    with pytest.raises(Malformed):
        read_dismissal({})


def test_every_device_has_a_service_of_its_own() -> None:
    notify, persistent = services(["phone", "tablet", "phone"])

    assert list(dict(notify["services"]).keys()) == ["notify", "mobile_app_phone", "mobile_app_tablet"]  # type: ignore[call-overload]
    assert persistent["domain"] == "persistent_notification"
