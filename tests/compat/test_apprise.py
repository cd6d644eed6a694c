"""The unmodified Apprise from PyPI as a sender: `hassio://` to the services, `json://` to Expo's API and to the relay.

Which request each form of URL becomes is in docs/home-assistant.md; some of them are surprising.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.home_assistant_gateway import HomeGateway, running_home_gateway
from tests.compat.posted import Posted, posted
from tests.missing import module

# Apprise imports `imghdr` for its e-mails.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
EXPO_MAPPING = ":message=body&:version=&:attachments=&:type="
RELAY_MAPPING = ":version=&:attachments=&:type="


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeGateway]:
    with running_home_gateway(tmp_path_factory.mktemp("apprise")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def phones() -> Iterator[Posted]:
    """Where the registered apps have their pushes sent."""
    with posted() as posts:
        yield posts


@pytest.fixture(scope="module")
def webhook_ids(home: HomeGateway, phones: Posted) -> dict[str, str]:
    """Of the registered apps, by the name of their device."""
    return {
        name: home.register(name, push_token=f"token-of-{name}", push_url=f"{phones.url}/push")
        for name in ("phone", "tablet")
    }


@pytest.fixture(autouse=True)
def forget(phones: Posted) -> None:
    phones.forget()


def send(url: str, body: str, title: str = "T") -> bool:
    """Whether Apprise says that it was sent."""
    apprise = module("apprise").Apprise()
    assert apprise.add(url)
    for plugin in apprise:
        # Its own setting, without which it waits for 5.5 s between two posts.
        plugin.request_rate_per_sec = 0
    return bool(apprise.notify(title=title, body=body))


def new_body() -> str:
    return f"body {uuid.uuid4().hex}"


def shown(home: HomeGateway, body: str) -> list[dict[str, str]]:
    return [one for one in home.notifications() if one["message"] == body]


@pytest.mark.parametrize(
    "url", ["hassio://{host}/{token}", "hassio:///{host}/{token}", "hassio://{host}/?token={token}"]
)
def test_without_a_target_it_makes_a_persistent_notification(url: str, home: HomeGateway) -> None:
    body = new_body()

    assert send(url.format(host=home.host, token=home.access_token), body)

    [notification] = shown(home, body)
    assert notification["title"] == "T"


def test_two_without_an_id_are_two_notifications(home: HomeGateway) -> None:
    body = new_body()

    assert all(send(f"hassio://{home.host}/{home.access_token}", body) for _ in range(2))

    assert len({one["notification_id"] for one in shown(home, body)}) == 2


def test_one_with_the_id_of_another_takes_its_place(home: HomeGateway) -> None:
    first, second = new_body(), new_body()
    url = f"hassio://{home.host}/{home.access_token}?nid=my-id"

    assert send(url, first)
    assert send(url, second)

    assert [one["message"] for one in home.notifications() if one["notification_id"] == "my-id"] == [second]


def test_a_title_may_be_empty(home: HomeGateway) -> None:
    body = new_body()

    assert send(f"hassio://{home.host}/{home.access_token}", body, title="")

    assert len(shown(home, body)) == 1


@pytest.mark.parametrize(
    "path",
    [
        "{token}/mobile_app_phone",
        "{token}/notify.mobile_app_phone",
        "{token}?to=mobile_app_phone",
        "{token}/notify:mobile_app_phone",
        "?token={token}&to=mobile_app_phone",
    ],
)
@pytest.mark.usefixtures("webhook_ids")
def test_a_device_is_a_target(path: str, home: HomeGateway, phones: Posted) -> None:
    body = new_body()

    assert send(f"hassio://{home.host}/{path.format(token=home.access_token)}", body)

    [post] = phones.wait(1)
    assert (post.json["push_token"], post.json["title"], post.json["message"]) == ("token-of-phone", "T", body)


@pytest.mark.usefixtures("webhook_ids")
def test_several_devices_are_targets(home: HomeGateway, phones: Posted) -> None:
    assert send(f"hassio://{home.host}/{home.access_token}/mobile_app_phone/mobile_app_tablet", new_body())

    assert sorted(post.json["push_token"] for post in phones.wait(2)) == ["token-of-phone", "token-of-tablet"]


@pytest.mark.parametrize("query", ["", "?batch=yes"], ids=["one by one", "at once"])
def test_targets_of_notify_are_webhook_ids(
    query: str, home: HomeGateway, phones: Posted, webhook_ids: dict[str, str]
) -> None:
    """Apprise says `targets` where Home Assistant wants `target`, and has only 400 from it."""
    targets = ",".join(webhook_ids.values())

    assert send(f"hassio://{home.host}/{home.access_token}/notify:{targets}{query}", new_body())

    assert sorted(post.json["push_token"] for post in phones.wait(2)) == ["token-of-phone", "token-of-tablet"]


def test_a_third_target_is_taken_for_a_device(home: HomeGateway, phones: Posted, webhook_ids: dict[str, str]) -> None:
    """Apprise splits `notify:a,b,c` into `notify:a,b` and `c`."""
    targets = ",".join([*webhook_ids.values(), "mobile_app_phone"])

    assert send(f"hassio://{home.host}/{home.access_token}/notify:{targets}", new_body())

    tokens = sorted(post.json["push_token"] for post in phones.wait(3))
    assert tokens == ["token-of-phone", "token-of-phone", "token-of-tablet"]


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("hassio://{host}/not-a-token", id="another token"),
        pytest.param("hassio://user:pass@{host}/{token}", id="Basic takes the place of the token"),
        pytest.param("hassio://{host}/not-a-jwt/mobile_app_phone", id="the last of the path taken for the token"),
        pytest.param("hassio://{host}/{token}/mobile_app_nobody", id="an unknown device"),
        pytest.param("hassio://{host}/{token}/script.foo", id="a service that is not ours"),
        pytest.param("hassio://{host}/{token}/mobile_app_phone?prefix=/pre", id="a prefix that is not ours"),
    ],
)
@pytest.mark.usefixtures("webhook_ids")
def test_what_is_not_delivered_apprise_calls_failed(url: str, home: HomeGateway, phones: Posted) -> None:
    body = new_body()

    assert not send(url.format(host=home.host, token=home.access_token), body)

    assert (shown(home, body), len(phones)) == ([], 0)


def test_it_speaks_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_home_gateway(tmp_path, "--tls") as home:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(home.server.ca_path))
        body = new_body()

        assert send(f"hassios://{home.host}/{home.access_token}", body)

        assert len(shown(home, body)) == 1


def test_json_reaches_expos_api(home: HomeGateway) -> None:
    to = f"ExponentPushToken[{uuid.uuid4().hex[:22]}]"

    assert send(f"json://{home.host}/--/api/v2/push/send?{EXPO_MAPPING}&:to={to}", "Hello")

    [delivery] = home.deliveries(to=to)
    assert (delivery["title"], delivery["body"]) == ("T", "Hello")


def test_json_reaches_the_relay(home: HomeGateway) -> None:
    to = f"ExponentPushToken[{uuid.uuid4().hex[:22]}]"

    assert send(f"json://{home.host}/api/sendPushNotification?{RELAY_MAPPING}&:push_token={to}", "Hello")

    [delivery] = home.deliveries(to=to)
    assert (delivery["title"], delivery["body"]) == ("T", "Hello")


def test_json_is_told_that_the_relay_knows_no_such_token(home: HomeGateway) -> None:
    """Unlike Expo's API, whose errors are in the tickets of a 200, which Apprise does not read."""
    assert not send(f"json://{home.host}/api/sendPushNotification?{RELAY_MAPPING}&:push_token=not%20a%20token", "Hello")
