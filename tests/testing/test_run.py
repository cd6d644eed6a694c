"""A run, over the control API of a real gateway."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from exponent_server_sdk import PushClient, PushMessage

from expo_gateway.testing import ControlRefused, Gateway, GatewayGone, NotSent, NotSettled, Run, gateway
from tests.testing.sending import TOKEN, ask_receipt, send

OTHER = "ExponentPushToken[zzzzzzzzzzzzzzzzzzzzzz]"
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


# -- what was sent ----------------------------------------------------------------------------------------------------


def test_what_was_sent_is_found_by_what_it_says(run: Run) -> None:
    send(run, title="Hello", data={"order": {"id": 7}})
    send(run, title="Hello", to=OTHER)

    assert [found.push_token for found in run.sent()] == [TOKEN, OTHER]
    assert [found.push_token for found in run.sent(to=OTHER)] == [OTHER]
    assert [found.push_token for found in run.sent(title="Hello", data={"order": {"id": 7}})] == [TOKEN]
    assert run.sent(title="Hallo") == []


def test_all_pages_of_a_list_are_read(run: Run) -> None:
    for _ in range(11):
        send(run, to=[TOKEN] * 100, title="Hello")

    assert len(run.sent(title="Hello")) == 1100


def test_a_delivery_has_the_exact_request_to_the_provider(run: Run) -> None:
    phone = run.devices.make("ios")
    ticket = send(run, to=phone.push_token, title="Hello")
    run.wait_for(state="delivered")

    life = run.delivery(ticket)

    assert life.message == {"to": phone.push_token, "title": "Hello"}
    assert life.attempts[0]["request"]["payload"]["aps"]["alert"]["title"] == "Hello"
    assert life.events[0]["event"] == "accepted"


def test_a_capture_is_what_the_provider_read(run: Run) -> None:
    phone = run.devices.make("android")
    send(run, to=phone.push_token, title="Hello")
    run.wait_for(state="delivered")

    [capture] = run.captures(provider="fcm")

    assert capture.push_token == phone.push_token
    assert capture.body["message"]["token"] == phone.device_token
    assert run.captures(provider="apns") == []


# -- waiting and asserting --------------------------------------------------------------------------------------------


def test_waiting_ends_with_the_delivery(run: Run) -> None:
    send(run, title="Hello")

    [delivery] = run.wait_for(title="Hello", state="delivered")

    assert delivery.receipt == {"status": "ok"}


def test_waiting_in_vain_shows_the_nearest_miss(run: Run) -> None:
    send(run, title="Hallo")

    with pytest.raises(NotSent) as failure:
        run.wait_for(title="Hello", timeout_s=0.05)

    assert "no delivery with title='Hello' within 0.05 s" in str(failure.value)
    assert 'title is "Hallo", wanted "Hello"' in str(failure.value)
    assert TOKEN not in str(failure.value)


def test_when_nothing_was_sent_the_message_says_so(run: Run) -> None:
    with pytest.raises(NotSent, match=r"nothing at all was sent to http://127\.0\.0\.1:"):
        run.assert_sent(title="Hello", timeout_s=0)


def test_what_must_not_be_sent_is_shown_when_it_was(run: Run) -> None:
    run.assert_not_sent()
    send(run, title="Hello")

    run.assert_not_sent(title="Hallo")
    with pytest.raises(AssertionError, match=r"1 deliveries with title='Hello', wanted none\n  <Delivery 'Hello'"):
        run.assert_not_sent(title="Hello")


def test_a_receipt_comes_with_its_error(run: Run) -> None:
    phone = run.devices.make("ios")
    run.devices.unregister(phone.push_token)

    receipt = run.receipt(send(run, to=phone.push_token))

    assert receipt.error == "DeviceNotRegistered"
    assert run.devices.get(phone.push_token).gone_at is not None


def test_many_receipts_come_by_ticket_id(run: Run) -> None:
    tickets = send(run, to=[TOKEN, OTHER])

    receipts = run.receipts(tickets)

    assert list(receipts) == [ticket["id"] for ticket in tickets]
    assert all(receipt.ok for receipt in receipts.values())


def test_a_receipt_that_does_not_come_says_where_its_delivery_is(run: Run) -> None:
    run.fail("hang")
    ticket = send(run)
    run.wait_for(state="in_flight")

    with pytest.raises(NotSettled, match=f"{ticket['id']}: in_flight"):
        run.receipt(ticket, timeout_s=0.05)
    with pytest.raises(NotSettled, match=r"1 deliveries have no receipt after 0\.05 s"):
        run.wait_until_idle(timeout_s=0.05)


def test_idle_is_when_all_is_settled(run: Run) -> None:
    send(run, to=[TOKEN, OTHER])

    counts = run.wait_until_idle()

    assert counts["deliveries"]["delivered"] == 2
    assert run.counts() == counts


# -- breaking and arranging -------------------------------------------------------------------------------------------


def test_a_fault_lasts_as_long_as_its_block(run: Run) -> None:
    with run.fail("expo", status=429) as fault:
        assert httpx.post(f"{run.url}/--/api/v2/push/send", json={"to": TOKEN}).status_code == 429
        assert fault.acted() == 1

    send(run)


def test_a_fault_tells_the_requests_that_are_meant_from_what_happens_to_them(run: Run) -> None:
    phone = run.devices.make("ios")
    run.fail("apns_reason", reason="PayloadTooLarge", push_token=phone.push_token, times=1)

    assert run.receipt(send(run, to=OTHER)).ok
    assert run.receipt(send(run, to=phone.push_token)).error == "MessageTooBig"
    assert run.receipt(send(run, to=phone.push_token)).ok


def test_an_argument_that_nobody_knows_is_refused_by_its_name(run: Run) -> None:
    with pytest.raises(ControlRefused, match="resaon") as refused:
        run.fail("apns_reason", resaon="Unregistered")

    assert refused.value.status == 400


def test_the_clock_stands_moves_and_goes_on(run: Run) -> None:
    assert run.clock.freeze(NEW_YEAR).frozen
    assert run.clock.now() == NEW_YEAR.timestamp()
    assert run.clock.advance(timedelta(minutes=15)).now == "2027-01-01T00:15:00.000Z"
    assert run.clock.set(NEW_YEAR.timestamp()).now_at == NEW_YEAR.timestamp()
    assert not run.clock.resume().frozen


def test_a_receipt_can_be_held_back_until_the_clock_is_moved(run: Run) -> None:
    run.set_limits(receipt_delay_s=900)
    run.clock.freeze()
    ticket = send(run)
    run.wait_until_idle()

    assert ask_receipt(run, ticket["id"]) is None
    run.clock.advance(900)
    assert ask_receipt(run, ticket["id"]) == {"status": "ok"}


def test_devices_are_listed_and_deleted(run: Run) -> None:
    ios, android = run.devices.make("ios"), run.devices.make("android", project="@acme/shop")

    assert {device.push_token for device in run.devices.list()} == {ios.push_token, android.push_token}
    assert run.devices.list(platform="ios") == [ios]
    run.devices.delete(ios.push_token)
    assert run.devices.list() == [android]


def test_a_state_is_loaded_where_it_is_wanted(started: Gateway, run: Run) -> None:
    phone = run.devices.make("ios")

    with started.run() as other:
        other.load({**run.state(), "clock": {"at": NEW_YEAR.timestamp(), "frozen": True}})

        assert [found.push_token for found in other.devices.list()] == [phone.push_token]
        assert other.clock.now() == NEW_YEAR.timestamp()


def test_a_run_may_begin_with_something(started: Gateway) -> None:
    with started.run(seed={"devices": [{"platform": "ios"}], "limits": {"receipt_delay_s": 900}}) as run:
        assert [device.platform for device in run.devices.list()] == ["ios"]
        run.set_limits(notifications_per_second=5)

        assert run.state()["limits"] == {"notifications_per_second": 5, "receipt_delay_s": 900}


# -- runs and gateways ------------------------------------------------------------------------------------------------


def test_runs_do_not_see_each_other(started: Gateway) -> None:
    with started.run() as one, started.run() as other:
        send(one, title="Hello")
        one.fail("hang")
        one.clock.freeze(NEW_YEAR)

        other.assert_not_sent()
        assert other.receipt(send(other)).ok
        assert not other.clock.read().frozen


def test_a_run_is_gone_when_it_is_closed(started: Gateway) -> None:
    with started.run("checkout") as run:
        send(run)

    with started.run("checkout") as again:
        again.assert_not_sent()


def test_a_run_can_begin_again(run: Run) -> None:
    send(run)
    run.wait_until_idle()

    run.reset()

    run.assert_not_sent()


def test_an_sdk_that_drops_the_path_of_its_host_sends_to_the_run_too(run: Run) -> None:
    client = PushClient(host=run.host, api_url=run.api_url)

    ticket = client.publish(PushMessage(to=TOKEN, title="Hello"))

    assert run.receipt(ticket).ok
    assert client.check_receipts([ticket])[0].is_success()


def test_a_gateway_is_its_default_run() -> None:
    with gateway() as own:
        send(own, title="Hello")

        own.assert_sent(title="Hello")


def test_a_gateway_that_runs_already_is_used_and_left_as_it_is(
    started: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPO_GATEWAY_URL", f"{started.url}/")

    with gateway() as same, same.run() as run:
        assert same.url == started.url
        send(run)

    assert httpx.get(f"{started.url}/health/live").status_code == 200


def test_when_nobody_answers_the_error_says_where() -> None:
    with gateway(url="http://127.0.0.1:9") as nobody, pytest.raises(GatewayGone, match=r"http://127\.0\.0\.1:9"):
        nobody.sent()
