import pytest
from exponent_server_sdk import PushClient, PushMessage


def tell_customer(client, token, order_id):  # your code
    message = PushMessage(to=token, title="Your order is on its way", data={"order": {"id": order_id}})
    return client.publish(message)


@pytest.fixture
def client(expo_gateway):
    return PushClient(host=expo_gateway.host, api_url=expo_gateway.api_url)


def test_the_phone_shows_the_order(expo_gateway, client):
    phone = expo_gateway.devices.make("ios")

    ticket = tell_customer(client, phone.push_token, 7)

    expo_gateway.assert_sent(to=phone.push_token, data={"order": {"id": 7}}, state="delivered")
    assert expo_gateway.receipt(ticket).ok


def test_a_customer_who_removed_the_app_is_noticed(expo_gateway, client):
    phone = expo_gateway.devices.make("android")
    expo_gateway.devices.unregister(phone.push_token)

    ticket = tell_customer(client, phone.push_token, 7)

    assert expo_gateway.receipt(ticket).error == "DeviceNotRegistered"


def test_no_message_is_lost_while_apple_is_away(expo_gateway, client):
    phone = expo_gateway.devices.make("ios")
    expo_gateway.clock.freeze()
    with expo_gateway.fail("apns_reason", reason="ServiceUnavailable"):
        tell_customer(client, phone.push_token, 7)
        expo_gateway.wait_for(state="retrying")

    expo_gateway.clock.advance(60)

    expo_gateway.wait_for(state="delivered")
