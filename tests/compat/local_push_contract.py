"""What an app with local push sees, through the unmodified home-assistant-js-websocket: of the gateway, and the same of
Home Assistant core. A test module subclasses this and gives the fixture `home`.
"""

import uuid
from collections.abc import Iterator
from typing import Any, Protocol

import httpx
import pytest

from tests.compat.home_assistant_js import ERR_INVALID_AUTH, JsClient, js_client
from tests.compat.posted import Posted, eventually, posted


class Home(Protocol):
    """What apps register with, and what senders notify through."""

    @property
    def url(self) -> str: ...

    @property
    def access_token(self) -> str: ...

    def register(self, device_name: str, **app_data: object) -> str: ...

    def notify(self, action: str, message: str, **more: object) -> httpx.Response: ...


def new_name() -> str:
    """Of a device, as its notify action spells it."""
    return f"phone_{uuid.uuid4().hex[:8]}"


def registered(home: Home, cloud: Posted) -> tuple[str, str]:
    """The name of a device that local push and the cloud reach, and its webhook id."""
    name = new_name()
    return name, home.register(name, push_token=f"token-of-{name}", push_url=f"{cloud.url}/push")


def notify(home: Home, name: str, message: str, **more: object) -> None:
    answer = home.notify(f"mobile_app_{name}", message, **more)
    assert (answer.status_code, answer.text) == (200, "[]")


def messages(posts: Posted, count: int) -> list[str]:
    """What came to the cloud, once there is so much."""
    return [post.json["message"] for post in posts.wait(count)]


class LocalPushContract:
    @pytest.fixture
    def cloud(self) -> Iterator[Posted]:
        """Where the app has its pushes sent when it is not there."""
        with posted() as posts:
            yield posts

    @pytest.fixture
    def app(self, home: Home) -> Iterator[JsClient]:
        with js_client(home.url, home.access_token) as client:
            client.hear("connected")
            yield client

    def test_it_connects_and_is_answered(self, app: JsClient) -> None:
        app.ping()

    def test_a_wrong_access_token_is_final(self, home: Home) -> None:
        with js_client(home.url, "wrong") as client:
            assert client.hear("failed")["error"] == ERR_INVALID_AUTH

    def test_an_app_that_nobody_registered_has_no_channel(self, app: JsClient) -> None:
        app.ask_for_channel("0" * 64)

        assert app.hear("failed")["error"]["code"] == "not_found"

    def test_the_notification_comes_as_it_was_sent(self, home: Home, app: JsClient) -> None:
        name = new_name()
        app.subscribe(home.register(name, push_websocket_channel=True), support_confirm=False)
        sent: dict[str, Any] = {
            "message": "Hello",
            "title": "T",
            "data": {"tag": "door", "nested": {"a": [1, None, "ä"]}},
        }

        notify(home, name, **sent)

        assert app.events(1) == [sent]

    def test_what_is_confirmed_does_not_go_to_the_cloud(self, home: Home, app: JsClient, cloud: Posted) -> None:
        name, webhook_id = registered(home, cloud)
        app.subscribe(webhook_id)

        notify(home, name, "Hello")
        [event] = app.events(1)
        app.confirm(webhook_id, event["hass_confirm_id"])

        assert app.hear("ask done")["result"] is None
        # The next one goes to the cloud, so the first would have come before.
        app.tell("unsubscribe", channel="main")
        app.hear("unsubscribe done")
        notify(home, name, "later")
        assert messages(cloud, 1) == ["later"]

    def test_any_connection_may_confirm(self, home: Home, app: JsClient, cloud: Posted) -> None:
        name, webhook_id = registered(home, cloud)
        app.subscribe(webhook_id)
        notify(home, name, "Hello")
        [event] = app.events(1)

        with js_client(home.url, home.access_token) as other:
            other.confirm(webhook_id, event["hass_confirm_id"])

            assert other.hear("ask done")["result"] is None

    def test_a_second_confirmation_is_not_found(self, home: Home, app: JsClient, cloud: Posted) -> None:
        name, webhook_id = registered(home, cloud)
        app.subscribe(webhook_id)
        notify(home, name, "Hello")
        [event] = app.events(1)

        for _ in range(2):
            app.confirm(webhook_id, event["hass_confirm_id"])

        app.hear("ask done")
        assert app.hear("failed")["error"]["code"] == "not_found"

    def test_what_is_pending_when_the_app_goes_is_in_the_cloud_at_once(self, home: Home, cloud: Posted) -> None:
        name, webhook_id = registered(home, cloud)
        with js_client(home.url, home.access_token) as app:
            app.subscribe(webhook_id)
            notify(home, name, "Hello")
            app.events(1)

        assert messages(cloud, 1) == ["Hello"]

    def test_what_is_pending_when_the_app_unsubscribes_is_in_the_cloud_at_once(
        self, home: Home, app: JsClient, cloud: Posted
    ) -> None:
        name, webhook_id = registered(home, cloud)
        app.subscribe(webhook_id)
        notify(home, name, "Hello")
        app.events(1)

        app.tell("unsubscribe", channel="main")

        assert app.hear("unsubscribe done")["result"] is None
        assert messages(cloud, 1) == ["Hello"]

    def test_without_a_channel_it_is_in_the_cloud_at_once(self, home: Home, cloud: Posted) -> None:
        name, webhook_id = registered(home, cloud)

        notify(home, name, "Hello", title="T", data={"a": 1})

        [post] = cloud.wait(1)
        assert (post.path, post.headers["content-type"]) == ("/push", "application/json")
        assert post.json == {
            "message": "Hello",
            "title": "T",
            "data": {"a": 1},
            "push_token": f"token-of-{name}",
            "registration_info": {
                "app_id": "org.example.companion",
                "app_version": "1.0",
                "os_version": "17.0",
                "webhook_id": webhook_id,
            },
        }

    def test_without_a_channel_and_without_the_cloud_the_sender_is_told(self, home: Home) -> None:
        name = new_name()
        home.register(name, push_websocket_channel=True)

        assert home.notify(f"mobile_app_{name}", "Hello").status_code == 500

    def test_the_newest_channel_wins(self, home: Home, app: JsClient, cloud: Posted) -> None:
        name, webhook_id = registered(home, cloud)
        with js_client(home.url, home.access_token) as newer:
            app.subscribe(webhook_id)
            newer.subscribe(webhook_id, support_confirm=False)

            notify(home, name, "Hello")

            assert [event["message"] for event in newer.events(1)] == ["Hello"]
            app.ping()
            assert app.unheard("event") == []

    def test_one_connection_listens_for_two_apps(self, home: Home, app: JsClient) -> None:
        names = [new_name(), new_name()]
        for name in names:
            app.subscribe(home.register(name, push_websocket_channel=True), support_confirm=False, channel=name)

        for name in names:
            notify(home, name, f"for {name}")
            assert [event["message"] for event in app.events(1, channel=name)] == [f"for {name}"]

    def test_many_arrive_in_order(self, home: Home, app: JsClient) -> None:
        name = new_name()
        app.subscribe(home.register(name, push_websocket_channel=True), support_confirm=False)
        wanted = [f"message {n}" for n in range(30)]

        for message in wanted:
            notify(home, name, message)

        assert [event["message"] for event in app.events(len(wanted))] == wanted

    def test_after_a_lost_connection_it_listens_again(self, home: Home, app: JsClient) -> None:
        name = new_name()
        app.subscribe(home.register(name, push_websocket_channel=True), support_confirm=False)

        app.tell("reconnect")
        app.hear("ready")

        # The library subscribes again by itself and says nothing of it; until then there is no way to reach the app.
        assert eventually(lambda: home.notify(f"mobile_app_{name}", "Hello again").status_code == 200)
        assert [event["message"] for event in app.events(1)] == ["Hello again"]


def lose_the_channel_by_one_missed_confirmation(home: Home, cloud: Posted) -> None:
    """Home Assistant's way, which the gateway has in exact mode: without a word to the app."""
    name, webhook_id = registered(home, cloud)
    with js_client(home.url, home.access_token) as app:
        app.subscribe(webhook_id)
        notify(home, name, "missed")
        app.events(1)
        assert messages(cloud, 1) == ["missed"]

        notify(home, name, "not even tried")

        assert messages(cloud, 2) == ["missed", "not even tried"]
        app.ping()
        assert app.unheard("event") == []
    # Home Assistant posts the very notification that it handed to the channel.
    assert ["hass_confirm_id" in post.json for post in cloud.wait(2)] == [True, False]
