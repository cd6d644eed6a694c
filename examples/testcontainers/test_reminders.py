"""Tests of what sends push notifications, with a stock Python SDK."""

from exponent_server_sdk import PushClient, PushMessage

from expo_gateway.testing import Run


def remind(client: PushClient, push_token: str) -> str:
    """The code under test. Returns the ticket's id."""
    ticket = client.publish(PushMessage(to=push_token, title="Tomorrow at nine"))
    return str(ticket.id)


def client_of(run: Run) -> PushClient:
    # It drops the path of its host, so that it takes the run's in two parts.
    return PushClient(host=run.host, api_url=run.api_url)


def test_a_reminder_reaches_the_phone(expo_gateway: Run) -> None:
    phone = expo_gateway.devices.make(platform="android")

    remind(client_of(expo_gateway), phone.push_token)

    (delivery,) = expo_gateway.wait_for(to=phone.push_token, state="delivered")
    assert delivery.title == "Tomorrow at nine"


def test_a_phone_without_the_app_is_found_out(expo_gateway: Run) -> None:
    ticket = remind(client_of(expo_gateway), "ExponentPushToken[magic-uninstalled-0001]")

    assert expo_gateway.receipt(ticket).error == "DeviceNotRegistered"
