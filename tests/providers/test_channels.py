"""Who listens, and who confirmed what. No IO."""

import json
from typing import Any

import pytest
from msgspec import Raw

from expo_gateway.providers.channels import MAX_MISSED, MAX_WAITING_OF_ONE, Channel, Channels, ChannelStatus

PHONE = "a" * 64
EVENT = Raw(b'{"message":"Hello"}')


class Client:
    """Subscribes, and keeps what it is told."""

    def __init__(self, channels: Channels, registration_id: str = PHONE, *, support_confirm: bool = True) -> None:
        self.events: list[dict[str, Any]] = []
        self.ended: list[str] = []
        self.channel: Channel = channels.open(
            registration_id,
            deliver=lambda event: self.events.append(json.loads(event)),
            end=self.ended.append,
            support_confirm=support_confirm,
        )


@pytest.fixture
async def channels() -> Channels:
    return Channels()


def offered(channels: Channels, confirm_id: str = "1", registration_id: str = PHONE) -> Any:
    arrived = channels.offer(registration_id, EVENT, confirm_id=confirm_id)
    assert arrived is not None
    return arrived


async def test_nobody_listens_who_has_not_said_so(channels: Channels) -> None:
    Client(channels, "another")

    assert channels.offer(PHONE, EVENT, confirm_id="1") is None
    assert not channels.is_open(PHONE)


async def test_without_confirms_an_event_has_arrived_when_it_was_sent(channels: Channels) -> None:
    client = Client(channels, support_confirm=False)

    assert offered(channels).result() is True
    assert client.events == [{"message": "Hello"}]


async def test_with_confirms_it_has_arrived_when_the_phone_says_so_and_only_once(channels: Channels) -> None:
    client = Client(channels)
    arrived = offered(channels, "c1")

    assert client.events == [{"message": "Hello", "hass_confirm_id": "c1"}]
    assert not arrived.done()
    assert not channels.confirm("another", "c1")
    assert not channels.confirm(PHONE, "another")
    assert channels.confirm(PHONE, "c1")
    assert arrived.result() is True
    assert not channels.confirm(PHONE, "c1")


@pytest.mark.parametrize("how", ["close", "newer", "forget", "stop"])
async def test_what_a_channel_waits_for_is_known_not_to_come_when_it_ends(channels: Channels, how: str) -> None:
    client = Client(channels)
    arrived = offered(channels)

    if how == "close":
        assert channels.close(client.channel)
    elif how == "newer":
        Client(channels)
    elif how == "forget":
        channels.forget(PHONE)
    else:
        channels.close_all("the gateway stops")

    assert arrived.result() is False
    assert not channels.confirm(PHONE, "1")
    assert bool(client.ended) is (how in ("forget", "stop"))


async def test_the_newest_channel_wins_and_closing_the_older_changes_nothing(channels: Channels) -> None:
    older, newer = Client(channels), Client(channels)

    assert not channels.close(older.channel)
    offered(channels)

    assert (older.events, older.ended, len(newer.events)) == ([], [], 1)


async def test_a_missed_confirm_costs_that_message_only(channels: Channels) -> None:
    client = Client(channels)
    first, second = offered(channels, "1"), offered(channels, "2")

    channels.missed(PHONE, "1")

    assert first.cancelled()
    assert not second.done()
    assert channels.is_open(PHONE)
    assert client.ended == []


async def test_after_so_many_in_a_row_the_channel_ends_and_the_client_is_told(channels: Channels) -> None:
    client = Client(channels)
    waiting = offered(channels, "waiting")
    for number in range(MAX_MISSED):
        offered(channels, str(number))
        channels.missed(PHONE, str(number))

    assert waiting.result() is False
    assert not channels.is_open(PHONE)
    (why,) = client.ended
    assert "not confirmed" in why


async def test_a_confirm_in_between_counts_anew(channels: Channels) -> None:
    Client(channels)
    for number in range(MAX_MISSED + 1):
        offered(channels, str(number))
        if number == 1:
            channels.confirm(PHONE, str(number))
        else:
            channels.missed(PHONE, str(number))

    assert channels.is_open(PHONE)


async def test_exact_the_first_missed_confirm_ends_the_channel_in_silence() -> None:
    channels = Channels(exact=True)
    client = Client(channels)
    _, other = offered(channels, "1"), offered(channels, "2")

    channels.missed(PHONE, "1")

    assert other.result() is False
    assert not channels.is_open(PHONE)
    assert client.ended == []


async def test_beyond_what_may_wait_messages_go_another_way() -> None:
    channels = Channels(max_waiting=1)
    Client(channels)
    Client(channels, "unconfirmed", support_confirm=False)
    arrived = offered(channels, "1")

    assert channels.offer(PHONE, EVENT, confirm_id="2") is None
    assert channels.waiting == 1
    offered(channels, registration_id="unconfirmed")

    channels.confirm(PHONE, "1")
    await arrived
    assert channels.waiting == 0
    offered(channels, "2")


async def test_messages_are_counted_since_the_channel_was_opened(channels: Channels) -> None:
    Client(channels)
    offered(channels, "1")
    offered(channels, "2")
    counted = channels.messages(PHONE)
    Client(channels)

    assert (counted, channels.messages(PHONE), channels.messages("another")) == (2, 0, 0)


async def test_the_status_is_told_in_the_words_of_the_apps(channels: Channels) -> None:
    def status(app_data: dict[str, object]) -> ChannelStatus:
        return channels.status(PHONE, user_id="user", app_data=app_data)

    wants: dict[str, object] = {"push_websocket_channel": True}

    assert status({}) is ChannelStatus.UNSUPPORTED
    assert status({"push_websocket_channel": False}) is ChannelStatus.DISABLED
    assert status(wants) is ChannelStatus.UNAVAILABLE
    channels.connected("user")
    channels.connected("user")
    channels.disconnected("user")
    assert status(wants) is ChannelStatus.ESTABLISHING
    client = Client(channels)
    assert (status({}), channels.open_channels) == (ChannelStatus.AVAILABLE, 1)
    channels.close(client.channel)
    channels.disconnected("user")
    assert status(wants) is ChannelStatus.UNAVAILABLE


async def test_of_one_device_only_so_many_wait(channels: Channels) -> None:
    Client(channels)
    Client(channels, "another")
    for number in range(MAX_WAITING_OF_ONE):
        offered(channels, str(number))

    assert channels.offer(PHONE, EVENT, confirm_id="one more") is None
    offered(channels, registration_id="another")
