import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.providers.fcm_credentials import read_service_account
from expo_gateway.providers.fcm_message import FcmMessages
from tests.providers.scripted_fcm import DEVICE_TOKEN, service_account

DATA = {"title": "Hi", "message": "there", "body": '{"a":"ü 🎉"}'}


@pytest.fixture(scope="module")
def messages() -> FcmMessages:
    credentials = read_service_account(service_account("http://127.0.0.1:1/token"))
    return FcmMessages(credentials=credentials, endpoint="https://fcm.googleapis.com/")


def request(notification: Mapping[str, str] | None, **changed: Any) -> FcmRequest:
    given: dict[str, Any] = {"data": DATA, "android": {"priority": "HIGH"}, **changed}
    return FcmRequest(device_token=DEVICE_TOKEN, notification=notification, **given)


def message_in(body: bytes) -> Any:
    document = json.loads(body)
    assert document.keys() == {"message", "validate_only"}
    assert document["validate_only"] is False
    return document["message"]


def test_the_url_is_the_projects(messages: FcmMessages) -> None:
    assert messages.url == "https://fcm.googleapis.com/v1/projects/demo-project/messages:send"


@pytest.mark.parametrize(
    "notification",
    [
        {"title": "Hi", "body": "there", "image": "https://e.x/i.png"},
        {"title": "Hi"},
        {"body": "there"},
        # parse_payload drops these three.
        {"image": "https://e.x/i.png"},
        {"title": "", "body": ""},
        {},
    ],
)
def test_a_notification_arrives_as_it_stands(messages: FcmMessages, notification: dict[str, str]) -> None:
    body = messages.body(request(notification))

    assert message_in(body) == {
        "token": DEVICE_TOKEN,
        "notification": notification,
        "data": DATA,
        "android": {"priority": "HIGH"},
    }


def test_a_message_of_data_has_no_notification(messages: FcmMessages) -> None:
    body = messages.body(request(None))

    assert "notification" not in message_in(body)


def test_a_message_without_data_has_no_notification_either(messages: FcmMessages) -> None:
    """parse_payload adds an empty one, which Android would show."""
    body = messages.body(request(None, data={}))

    assert message_in(body) == {"token": DEVICE_TOKEN, "android": {"priority": "HIGH"}}


def test_the_android_part_arrives_as_it_stands(messages: FcmMessages) -> None:
    android = {
        "priority": "NORMAL",
        "ttl": "0s",
        "collapse_key": "c",
        "notification": {"channel_id": "default", "icon": "i", "sound": "s.wav", "tag": "t", "image": "https://e.x/i"},
    }
    body = messages.body(request({"title": "Hi"}, android=android))

    assert message_in(body)["android"] == android


def test_text_is_written_as_utf_8(messages: FcmMessages) -> None:
    assert "ü 🎉".encode() in messages.body(request(None))


def test_text_that_is_not_unicode_is_an_error_that_does_not_quote_it(messages: FcmMessages) -> None:
    with pytest.raises(orjson.JSONEncodeError) as caught:
        messages.body(request({"title": "secret \ud800"}))

    assert "secret" not in str(caught.value)
