"""The unmodified home-assistant-js-websocket as an app with local push: first the WebSocket, then the cloud."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.compat.home_assistant_gateway import HomeGateway, free_port, running_home_gateway
from tests.compat.home_assistant_js import CLIENT, JsClient, js_client, node
from tests.compat.local_push_contract import (
    LocalPushContract,
    lose_the_channel_by_one_missed_confirmation,
    new_name,
    notify,
    registered,
)
from tests.compat.posted import WAIT_S, Posted, eventually, posted

# As long as a test can wait for a confirmation that doesn't come.
HASTY = {"EXPO_GATEWAY_HOME_ASSISTANT__CONFIRM_S": "0.3"}
EXACT = {"EXPO_GATEWAY_HOME_ASSISTANT__EXACT": "true"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeGateway]:
    with running_home_gateway(tmp_path_factory.mktemp("home")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def hasty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeGateway]:
    with running_home_gateway(tmp_path_factory.mktemp("hasty"), **HASTY) as gateway:
        yield gateway


@pytest.fixture
def cloud() -> Iterator[Posted]:
    with posted() as posts:
        yield posts


class TestLocalPush(LocalPushContract):
    """The gateway is to its apps what Home Assistant is; test_home_assistant_core.py has it stand the same tests."""

    def test_the_status_counts_what_came_since_the_connection_began(self, home: HomeGateway, app: JsClient) -> None:
        name = new_name()
        webhook_id = home.register(name, push_websocket_channel=True)
        assert home.registration(name)["status"] != "available"

        app.subscribe(webhook_id, support_confirm=False)
        for n in range(3):
            notify(home, name, f"message {n}")
        app.events(3)

        assert home.channel_status(name, "available") == "available"
        assert eventually(lambda: home.registration(name)["messages"] == 3)

    def test_what_comes_at_once_comes_in_one_frame(self, home: HomeGateway, app: JsClient) -> None:
        """As the library said that it supports."""
        names = [new_name() for _ in range(5)]
        webhook_ids = [home.register(name, push_websocket_channel=True) for name in names]
        for name, webhook_id in zip(names, webhook_ids, strict=True):
            app.subscribe(webhook_id, support_confirm=False, channel=name)

        for _ in range(3):
            assert home.notify("notify", "Hello", target=webhook_ids).status_code == 200
            assert {app.hear("event")["channel"] for _ in names} == set(names)

        app.ping()
        assert app.unheard("coalesced")

    def test_after_the_server_was_gone_the_app_listens_again(self, tmp_path: Path, cloud: Posted) -> None:
        port = str(free_port())
        with ExitStack() as stack:
            with running_home_gateway(tmp_path, "--port", port) as home:
                name, webhook_id = registered(home, cloud)
                app = stack.enter_context(js_client(home.url, home.access_token))
                app.subscribe(webhook_id, support_confirm=False)
                notify(home, name, "before")
                assert [event["message"] for event in app.events(1)] == ["before"]
            app.hear("disconnected")

            with running_home_gateway(tmp_path, "--port", port) as again:
                app.hear("ready")
                assert again.channel_status(name, "available") == "available"
                notify(again, name, "after")

                assert [event["message"] for event in app.events(1)] == ["after"]
                assert len(cloud) == 0


def test_what_is_not_confirmed_goes_to_the_cloud_once_and_the_channel_stays(
    hasty_home: HomeGateway, cloud: Posted
) -> None:
    home = hasty_home
    with js_client(home.url, home.access_token) as app:
        name, webhook_id = registered(home, cloud)
        app.subscribe(webhook_id)

        notify(home, name, "missed", data={"a": 1})
        [missed] = app.events(1)
        [post] = cloud.wait(1)
        notify(home, name, "heard")
        [heard] = app.events(1)
        app.confirm(webhook_id, heard["hass_confirm_id"])
        app.hear("ask done")

    assert (missed["message"], heard["message"]) == ("missed", "heard")
    assert (post.json["message"], post.json["data"]) == ("missed", {"a": 1})
    assert (post.json["push_token"], "hass_confirm_id" in post.json) == (f"token-of-{name}", False)
    assert len(cloud) == 1


def test_an_app_that_never_confirms_is_told_to_connect_again(hasty_home: HomeGateway, cloud: Posted) -> None:
    """After three in a row. Nothing is lost, and it gets its channel back by itself."""
    home = hasty_home
    with js_client(home.url, home.access_token) as app:
        name, webhook_id = registered(home, cloud)
        app.subscribe(webhook_id)

        for n in range(3):
            notify(home, name, f"message {n}")
            app.events(1)
            cloud.wait(n + 1)

        app.hear("disconnected")
        app.hear("ready")
        assert home.channel_status(name, "available") == "available"
        assert [post.json["message"] for post in cloud.wait(3)] == ["message 0", "message 1", "message 2"]


def test_the_cloud_may_be_the_gateways_own_relay(home: HomeGateway) -> None:
    name, push_token = new_name(), f"ExponentPushToken[{new_name():x<22}]"
    webhook_id = home.register(name, push_token=push_token, push_url=f"{home.url}/api/sendPushNotification")
    with js_client(home.url, home.access_token) as app:
        app.subscribe(webhook_id, support_confirm=False)
        notify(home, name, "heard")
        app.events(1)
        app.tell("unsubscribe", channel="main")
        app.hear("unsubscribe done")

        notify(home, name, "unheard", data={"url": "/lovelace"})

        [delivery] = home.deliveries(to=push_token)
        assert (delivery["body"], delivery["data"]) == ("unheard", {"url": "/lovelace"})
        local = home.registration(name)["push_token"]
        assert [one["body"] for one in home.deliveries(to=local, count=2)] == ["heard", "unheard"]


def test_in_exact_mode_one_missed_confirmation_ends_the_channel_silently(tmp_path: Path, cloud: Posted) -> None:
    with running_home_gateway(tmp_path, **HASTY, **EXACT) as home:
        lose_the_channel_by_one_missed_confirmation(home, cloud)


def test_the_client_in_the_docs_works(home: HomeGateway, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "home-assistant.md").read_text()
    (tmp_path / "client.mjs").write_text(page.split("```js\n")[1].split("```")[0])
    (tmp_path / "node_modules").symlink_to(CLIENT / "node_modules")
    name = new_name()
    webhook_id = home.register(name, push_websocket_channel=True)
    env = {"GATEWAY_URL": home.url, "ACCESS_TOKEN": home.access_token, "WEBHOOK_ID": webhook_id}
    with node("client.mjs", cwd=tmp_path, env=env) as client:
        assert home.channel_status(name, "available") == "available"

        notify(home, name, "Somebody rang", title="Door")

        # It says so before it confirms.
        assert home.deliveries(title="Door")
        client.terminate()
        assert client.communicate(timeout=WAIT_S)[0] == "Door Somebody rang\n"
