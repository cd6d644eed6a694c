"""What pyfcm does with its own transport, and the provider does not (facts/providers.md 4.4). On the wire."""

import asyncio
import os
from email.utils import formatdate

import pytest

from expo_gateway.protocol.receipt import ReceiptError
from expo_gateway.providers.base import Accepted, Rejected, Scope
from expo_gateway.providers.fcm import FcmProvider
from tests.providers.scripted_fcm import NAME, REQUEST, Clock, ScriptedFcm, error_json, provider_at, reply, scripted_fcm

PAGE = b"<!DOCTYPE html><title>Error 502 (Server Error)!!1</title>"


async def test_trap_a_loop_of_its_own_it_sends_inside_the_running_loop(provider: FcmProvider) -> None:
    assert isinstance(await asyncio.create_task(provider.send(REQUEST)), Accepted)


async def test_trap_a_connection_for_every_push_they_share_one(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    for _ in range(20):
        assert isinstance(await provider.send(REQUEST), Accepted)

    assert len(fcm.connections) == 1


async def test_trap_connections_without_limit_there_are_so_many_and_no_more(fcm: ScriptedFcm, clock: Clock) -> None:
    async with provider_at(fcm.url, clock=clock, max_connections=4) as provider:
        outcomes = await asyncio.gather(*(provider.send(REQUEST) for _ in range(100)))

    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len(fcm.connections) <= 4


async def test_trap_leaked_file_descriptors_none_are_left(clock: Clock) -> None:
    before = open_files()
    async with scripted_fcm() as fcm, provider_at(fcm.url, clock=clock) as provider:
        await asyncio.gather(*(provider.send(REQUEST) for _ in range(50)))

    assert open_files() <= before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_trap_a_token_for_every_push_one_serves_all(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    await asyncio.gather(*(provider.send(REQUEST) for _ in range(20)))

    assert len(fcm.token_forms) == 1


async def test_trap_a_token_in_the_constructor_none_is_fetched_before_the_first_push(
    fcm: ScriptedFcm, provider: FcmProvider
) -> None:
    assert not fcm.token_forms

    await provider.send(REQUEST)

    assert len(fcm.token_forms) == 1


async def test_trap_a_blocking_token_exchange_the_loop_runs_on(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    """The token endpoint shares our loop, so a blocked loop would never get its answer."""
    fcm.token_script.append(fcm.hold)
    sending = asyncio.create_task(provider.send(REQUEST))

    await fcm.until(lambda: fcm.held == 1)
    fcm.let_go.set()

    assert isinstance(await sending, Accepted)


async def test_trap_one_page_loses_the_batch_it_loses_itself(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.script.append(reply(502, PAGE, {"Content-Type": "text/html", "Retry-After": "20"}))

    outcomes = await asyncio.gather(*(provider.send(REQUEST) for _ in range(10)))

    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 9
    assert [(outcome.status, outcome.receipt.error) for outcome in refused] == [(502, ReceiptError.PROVIDER_ERROR)]


async def test_trap_status_and_retry_after_lost_both_are_kept(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.script.append(reply(502, PAGE, {"Content-Type": "text/html", "Retry-After": "20"}))

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert outcome.status == 502
    assert outcome.backoff is not None
    assert outcome.backoff.retry_after_s == 20.0


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_trap_hidden_tries_a_failing_server_gets_one_request(
    fcm: ScriptedFcm, provider: FcmProvider, status: int
) -> None:
    fcm.script.append(reply(status))

    assert isinstance(await provider.send(REQUEST), Rejected)
    assert len(fcm.bodies) == 1


async def test_trap_sleeping_for_retry_after_the_outcome_says_how_long(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.script.append(reply(429, error_json(429, "Quota exceeded."), {"Retry-After": "3600"}))

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert outcome.scope is Scope.PROJECT
    assert outcome.backoff is not None
    assert outcome.backoff.retry_after_s == 3600.0
    assert len(fcm.bodies) == 1


async def test_trap_retry_after_as_a_date_it_is_read(fcm: ScriptedFcm, provider: FcmProvider, clock: Clock) -> None:
    fcm.script.append(reply(503, b"", {"Retry-After": formatdate(clock.now + 90, usegmt=True)}))

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert outcome.backoff is not None
    assert outcome.backoff.retry_after_s == 90.0


async def test_trap_retry_after_on_a_200_the_push_is_sent_once(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.script.append(reply(200, {"name": NAME}, {"Retry-After": "1"}))

    assert isinstance(await provider.send(REQUEST), Accepted)
    assert len(fcm.bodies) == 1


async def test_trap_every_403_a_wrong_sender_permission_is_another(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.script.append(reply(403, error_json(403, "Permission denied on resource")))

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert outcome.receipt.error is ReceiptError.INVALID_CREDENTIALS
    assert outcome.scope is Scope.CREDENTIAL


@pytest.mark.parametrize("body", [error_json(404, "Requested entity was not found."), PAGE])
async def test_trap_every_404_a_dead_device_only_unregistered_is(
    fcm: ScriptedFcm, provider: FcmProvider, body: object
) -> None:
    fcm.script.append(reply(404, body))
    fcm.script.append(reply(404, error_json(404, "Requested entity was not found.", code="UNREGISTERED")))

    missing, unregistered = await provider.send(REQUEST), await provider.send(REQUEST)

    assert isinstance(missing, Rejected)
    assert isinstance(unregistered, Rejected)
    assert (missing.device_gone, unregistered.device_gone) == (False, True)
    assert missing.receipt.error is not ReceiptError.DEVICE_NOT_REGISTERED


async def test_trap_every_401_a_refused_account_a_key_for_apns_is_not_ours(
    fcm: ScriptedFcm, provider: FcmProvider
) -> None:
    fcm.script.append(reply(401, error_json(401, "Auth error from APNS", code="THIRD_PARTY_AUTH_ERROR")))

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert (outcome.receipt.error, outcome.scope) == (ReceiptError.INVALID_CREDENTIALS, Scope.DELIVERY)
    assert len(fcm.token_forms) == 1
