"""FCM's own rules for a message whose names and types are right."""

import json

import pytest

from expo_gateway.emulators.fcm_rules import is_condition, judge_message, payload_bytes, target_of

TOKEN = {"token": "t"}


def refused_text(message: dict[str, object]) -> str:
    answer = judge_message(message)
    assert answer is not None
    text = json.loads(answer.body or b"")["error"]["message"]
    assert isinstance(text, str)
    return text


def test_the_size_counts_keys_and_values_of_data_and_notification_in_bytes() -> None:
    message = {"data": {"ab": "é"}, "notification": {"title": "xyz"}, "apns": {"payload": {"aps": {}}}}

    assert payload_bytes(message) == len("ab") + len("é".encode()) + len("title") + len("xyz")


def test_android_data_replaces_the_common_data_in_the_size() -> None:
    assert payload_bytes({"data": {"k": "x" * 100}, "android": {"data": {"k": "y"}}}) == 2


def test_android_notification_overrides_fields_of_the_common_one_in_the_size() -> None:
    notification: dict[str, object] = {"title": "long title", "body": "b"}
    message = {"notification": notification, "android": {"notification": {"title": "t"}}}

    assert payload_bytes(message) == len("title" + "t" + "body" + "b")


def test_a_device_takes_4096_bytes_and_not_one_more() -> None:
    assert judge_message({**TOKEN, "data": {"k": "x" * 4095}}) is None
    assert refused_text({**TOKEN, "data": {"k": "x" * 4096}}) == (
        "Message is too large. The maximum is 4K (4096 bytes)."
    )


def test_a_topic_takes_2048_bytes_and_not_one_more() -> None:
    assert judge_message({"topic": "news", "data": {"k": "x" * 2047}}) is None
    assert refused_text({"topic": "news", "data": {"k": "x" * 2048}}) == (
        "Message is too large. The maximum is 2K (2048 bytes)."
    )


@pytest.mark.parametrize("ttl", ["0s", "0.5s", "2419200s"])
def test_a_ttl_up_to_four_weeks_is_taken(ttl: str) -> None:
    assert judge_message({**TOKEN, "android": {"ttl": ttl}}) is None


@pytest.mark.parametrize("key", ["from", "message_type", "google.c.a", "gcm.notification.title"])
def test_a_reserved_data_key_is_refused_by_name(key: str) -> None:
    assert refused_text({**TOKEN, "data": {key: "x"}}) == f"Invalid data payload key: {key}"


@pytest.mark.parametrize("key", ["fromUser", "google", "gcm.other", "message"])
def test_a_data_key_that_only_resembles_a_reserved_one_is_taken(key: str) -> None:
    assert judge_message({**TOKEN, "data": {key: "x"}}) is None


@pytest.mark.parametrize("token", ["fcm-token-1", "a" * 22 + ":APA91b" + "b" * 134, "x"])
def test_any_token_of_a_tokens_characters_is_well_formed(token: str) -> None:
    assert judge_message({"token": token}) is None


@pytest.mark.parametrize("token", ["not a token", "ExponentPushToken[xxxx]", "ünïcode", "a\n"])
def test_a_token_of_other_characters_is_no_registration_token(token: str) -> None:
    assert refused_text({"token": token}) == "The registration token is not a valid FCM registration token"


@pytest.mark.parametrize(
    "condition",
    ["'a' in topics", "'a' in topics && 'b' in topics", "!('a' in topics) || ('b' in topics && 'c' in topics)"],
)
def test_a_condition_of_topics_is_understood(condition: str) -> None:
    assert is_condition(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "news",
        "'a' in topics &&",
        "'a' in topics 'b' in topics",
        "('a' in topics",
        "a in topics",
        " || ".join(f"'{topic}' in topics" for topic in "abcdef"),
    ],
)
def test_anything_else_is_no_condition(condition: str) -> None:
    assert not is_condition(condition)


def test_an_empty_target_is_none() -> None:
    assert target_of({"token": ""}) == ("", "")
