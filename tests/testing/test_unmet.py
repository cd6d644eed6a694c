from typing import Any

from expo_gateway.testing.unmet import not_sent

URL = "http://127.0.0.1:8080/r/x"
NEAR: dict[str, Any] = {
    "delivery": {
        "title": "Hallo",
        "body": None,
        "push_token": "ExponentPushToken[abcdefghijklmnopqrstuv]",
        "state": "failed",
        "receipt": {"status": "error", "message": "gone", "details": {"error": "DeviceNotRegistered"}},
        "ticket_error": None,
    },
    "misses": [{"why": 'title is "Hallo", wanted "Hello"'}],
}


def test_the_nearest_miss_stands_in_the_message() -> None:
    error = not_sent({"title": "Hello"}, count=1, timeout_s=5.0, url=URL, answer={"nearest": [NEAR], "deliveries": []})

    assert str(error).splitlines() == [
        "no delivery with title='Hello' within 5 s",
        "  nearest: 'Hallo' to ExponentPushToken[abcd…uv], failed: DeviceNotRegistered",
        '    title is "Hallo", wanted "Hello"',
    ]


def test_when_nothing_was_sent_the_message_asks_where_to() -> None:
    error = not_sent({"title": "Hello"}, count=1, timeout_s=5.0, url=URL, answer={"nearest": [], "deliveries": []})

    assert f"nothing at all was sent to {URL}" in str(error)


def test_too_few_are_shown_as_found() -> None:
    answer = {"nearest": [], "deliveries": [NEAR["delivery"]]}

    error = not_sent({}, count=2, timeout_s=0.5, url=URL, answer=answer)

    assert str(error).splitlines() == [
        "1 of 2 deliveries within 0.5 s",
        "  found: 'Hallo' to ExponentPushToken[abcd…uv], failed: DeviceNotRegistered",
    ]


def test_a_push_token_that_is_wanted_is_not_shown_whole() -> None:
    token = "ExponentPushToken[abcdefghijklmnopqrstuv]"

    error = not_sent({"to": token}, count=1, timeout_s=5.0, url=URL, answer={"nearest": [NEAR], "deliveries": []})

    assert token not in str(error)
