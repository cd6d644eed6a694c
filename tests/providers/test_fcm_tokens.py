"""Access tokens as the provider uses them: fetched, refused, renewed. On the wire."""

import asyncio
from typing import Any

import pytest

from expo_gateway.protocol.receipt import ReceiptError
from expo_gateway.providers.base import Accepted, Rejected, Scope, Unsent
from expo_gateway.providers.fcm import FcmProvider
from tests.providers.scripted_fcm import REQUEST, ScriptedFcm, error_json, reply

INVALID_GRANT = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}


EXPIRED = reply(401, error_json(401, "Request had invalid authentication credentials.", info="ACCESS_TOKEN_EXPIRED"))
MISSING = reply(401, error_json(401, "Request is missing required authentication", info="CREDENTIALS_MISSING"))
UNKNOWN_TOKEN = reply(401, error_json(401, "Request had invalid authentication credentials."))


@pytest.mark.parametrize("refusal", [EXPIRED, MISSING, UNKNOWN_TOKEN])
async def test_a_refused_access_token_is_renewed_and_the_push_sent_again(
    fcm: ScriptedFcm, provider: FcmProvider, refusal: Any
) -> None:
    fcm.script.append(refusal)

    assert isinstance(await provider.send(REQUEST), Accepted)
    assert fcm.bearers == ["ya29.1", "ya29.2"]


async def test_an_access_token_that_is_refused_twice_refuses_the_credential(
    fcm: ScriptedFcm, provider: FcmProvider
) -> None:
    fcm.script.extend([EXPIRED, EXPIRED])

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert (outcome.receipt.error, outcome.scope) == (ReceiptError.INVALID_CREDENTIALS, Scope.CREDENTIAL)
    assert (outcome.status, outcome.reason) == (401, "ACCESS_TOKEN_EXPIRED")
    assert len(fcm.bodies) == 2


async def test_access_tokens_that_never_work_are_not_fetched_for_every_push(
    fcm: ScriptedFcm, provider: FcmProvider
) -> None:
    fcm.script.extend([EXPIRED] * 40)

    for _ in range(20):
        assert isinstance(await provider.send(REQUEST), Rejected)

    assert len(fcm.token_forms) == 2


async def test_an_access_token_that_lapses_under_many_pushes_is_renewed_once(
    fcm: ScriptedFcm, provider: FcmProvider
) -> None:
    await provider.send(REQUEST)
    fcm.script.extend([EXPIRED] * 20)

    outcomes = await asyncio.gather(*(provider.send(REQUEST) for _ in range(20)))

    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len(fcm.token_forms) == 2


async def test_invalid_grant_refuses_the_credential(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.token_script.append(reply(400, INVALID_GRANT))

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert (outcome.status, outcome.reason, outcome.scope) == (400, "invalid_grant", Scope.CREDENTIAL)
    assert outcome.receipt.error is ReceiptError.INVALID_CREDENTIALS
    assert outcome.receipt.fcm == {"error": "invalid_grant", "httpStatus": 400, "message": "Invalid JWT Signature."}
    assert outcome.backoff is None
    assert not fcm.bodies


async def test_a_token_endpoint_in_trouble_leaves_the_push_unsent(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    fcm.token_script.append(reply(503))

    outcome = await provider.send(REQUEST)

    assert isinstance(outcome, Unsent)
    assert outcome.backoff.first_s == 10.0
    assert not fcm.bodies


async def test_a_renewal_that_fails_leaves_the_push_unsent(fcm: ScriptedFcm, provider: FcmProvider) -> None:
    await provider.send(REQUEST)
    fcm.script.append(EXPIRED)
    fcm.token_script.append(reply(503))

    assert isinstance(await provider.send(REQUEST), Unsent)
