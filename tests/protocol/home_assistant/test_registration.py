"""What apps say of themselves."""

from typing import Any

import orjson
import pytest

from expo_gateway.protocol.home_assistant.registration import (
    MAX_APP_DATA_BYTES,
    Malformed,
    read_change,
    read_registration,
    read_webhook,
    slug_of,
)

REGISTRATION: dict[str, Any] = {
    "app_id": "io.robbie.HomeAssistant",
    "app_name": "Home Assistant",
    "app_version": "2026.11",
    "device_name": "Bob's iPhone",
    "manufacturer": "Apple",
    "model": "iPhone17,1",
    "os_name": "iOS",
}
CHANGE: dict[str, Any] = {
    "app_version": "2026.12",
    "device_name": "Bob's phone",
    "manufacturer": "Apple",
    "model": "iPhone17,1",
}


def test_a_registration_is_read_with_what_is_required_only() -> None:
    read = read_registration(REGISTRATION)

    assert (read.app_id, read.slug, read.os_version, read.device_id) == (
        "io.robbie.HomeAssistant",
        "bob_s_iphone",
        None,
        None,
    )
    assert read.app_data == {}


@pytest.mark.parametrize("key", sorted(REGISTRATION))
def test_each_required_key_is_asked_for_by_name(key: str) -> None:
    with pytest.raises(Malformed, match=f"required key not provided @ data\\['{key}'\\]"):
        read_registration({name: value for name, value in REGISTRATION.items() if name != key})


def test_keys_of_later_apps_are_dropped() -> None:
    assert read_registration({**REGISTRATION, "new": {"a": 1}}) == read_registration(REGISTRATION)


def test_numbers_are_text() -> None:
    assert read_registration({**REGISTRATION, "os_version": 17.5}).os_version == "17.5"


@pytest.mark.parametrize("value", [None, [], {}, "x" * 256])
def test_what_is_no_string_of_a_sane_length_is_refused(value: object) -> None:
    with pytest.raises(Malformed, match="device_name"):
        read_registration({**REGISTRATION, "device_name": value})


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(Malformed, match="expected a dictionary"):
        read_registration(body)


@pytest.mark.parametrize("key", ["push_token", "push_url"])
def test_push_token_and_push_url_come_together(key: str) -> None:
    pair = {"push_token": "abc:ok201", "push_url": "https://relay.example/push"}

    with pytest.raises(Malformed, match="push_cloud"):
        read_registration({**REGISTRATION, "app_data": {key: pair[key]}})


@pytest.mark.parametrize("url", ["ftp://a/b", "relay.example", "http://", "https://a:0/", "https://a:x/", "http://[/"])
def test_a_push_url_is_one_of_http(url: str) -> None:
    with pytest.raises(Malformed, match="invalid url"):
        read_registration({**REGISTRATION, "app_data": {"push_token": "t", "push_url": url}})


def test_app_data_keeps_what_the_app_put_there() -> None:
    app_data = {"push_token": "t", "push_url": "http://127.0.0.1:1/x", "start_live_activity_token": "s", "n": [1]}

    assert read_registration({**REGISTRATION, "app_data": app_data}).app_data == app_data


@pytest.mark.parametrize(("given", "read"), [(True, True), (False, False), ("yes", True), ("off", False), (1, True)])
def test_a_boolean_is_read_as_home_assistant_does(given: object, read: bool) -> None:
    found = read_registration({**REGISTRATION, "app_data": {"push_websocket_channel": given}}).app_data

    assert found["push_websocket_channel"] is read


def test_a_boolean_that_is_none_is_refused() -> None:
    with pytest.raises(Malformed, match="invalid boolean"):
        read_registration({**REGISTRATION, "supports_encryption": "perhaps"})


def test_app_data_is_bounded() -> None:
    with pytest.raises(Malformed, match="bytes"):
        read_registration({**REGISTRATION, "app_data": {"x": "y" * MAX_APP_DATA_BYTES}})


def test_app_data_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(Malformed, match="too deeply"):
        read_registration({**REGISTRATION, "app_data": {"x": orjson.loads("[" * 500 + "]" * 500)}})


def test_no_value_is_repeated_in_an_error() -> None:
    with pytest.raises(Malformed) as raised:
        read_registration({**REGISTRATION, "app_data": {"push_token": "secret", "push_url": "secret"}})

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Bob's iPhone", "bob_s_iphone"),
        ("  Pixel 9 (Pro)  ", "pixel_9_pro"),
        ("Büro-Tablet", "buro_tablet"),
        ("Straße Ø", "strasse_o"),
        ("手机", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_slug_is_what_home_assistant_makes_of_a_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug


def test_a_change_leaves_out_what_stays() -> None:
    read = read_change(CHANGE)

    assert (read.slug, read.os_version, read.app_data) == ("bob_s_phone", None, None)


@pytest.mark.parametrize("wrong", [{"app_id": "x"}, {"model": None}, {"app_data": []}])
def test_a_change_is_taken_strictly(wrong: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        read_change({**CHANGE, **wrong})


def test_a_webhook_without_data_has_an_empty_one() -> None:
    assert read_webhook({"type": "get_config"}).body == {}


@pytest.mark.parametrize("value", [[], {}, {"type": None}, {"type": "x", "more": 1}])
def test_a_webhook_has_a_type_and_nothing_unknown(value: object) -> None:
    with pytest.raises(Malformed):
        read_webhook(value)
