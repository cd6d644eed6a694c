"""The token endpoint is a real one on loopback; the clock of the cache is moved by hand."""

import asyncio
import re
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import jwt
import pytest
from aiohttp import web

from expo_gateway.errors import SettingsError
from expo_gateway.providers.fcm_credentials import (
    FAILED_FOR_S,
    REFRESH_BEFORE_S,
    Access,
    AccessToken,
    AccessTokens,
    read_service_account,
)
from expo_gateway.providers.fcm_oauth import SCOPE, AccessRefused, NoAccess, fetch_access
from tests.providers.scripted_fcm import (
    Clock,
    ScriptedFcm,
    cut,
    cut_answer,
    private_key_pem,
    reply,
    scripted_fcm,
    service_account,
)

LIFETIME_S = 3599.0
INVALID_GRANT = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fcm() -> AsyncIterator[ScriptedFcm]:
    async with scripted_fcm() as server:
        yield server


@pytest.fixture
async def tokens(fcm: ScriptedFcm, clock: Clock) -> AsyncIterator[AccessTokens]:
    async with tokens_at(f"{fcm.url}/token", clock) as opened:
        yield opened


@asynccontextmanager
async def tokens_at(token_uri: str, clock: Clock, timeout_s: float = 5.0) -> AsyncIterator[AccessTokens]:
    credentials = read_service_account(service_account(token_uri))
    fetch = partial(fetch_access, credentials, ssl_context=None, timeout_s=timeout_s)
    tokens = AccessTokens(account="demo", fetch=fetch, clock=clock, timeout_s=timeout_s)
    try:
        yield tokens
    finally:
        await tokens.close()


def value_of(access: Access | None) -> str:
    assert isinstance(access, AccessToken)
    return access.value


async def token_of(tokens: AccessTokens) -> AccessToken:
    access = await tokens.current()
    assert isinstance(access, AccessToken)
    return access


# The exchange.


async def test_the_assertion_names_account_key_and_scope(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    assert value_of(await tokens.current()) == "ya29.1"

    form = fcm.token_forms[0]
    assertion = form["assertion"][0]
    claims = jwt.decode(assertion, options={"verify_signature": False})
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert claims["iss"] == "firebase-adminsdk@demo-project.iam.gserviceaccount.com"
    assert claims["scope"] == SCOPE
    assert jwt.get_unverified_header(assertion)["alg"] == "RS256"


async def test_invalid_grant_is_a_refusal(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    fcm.token_script.append(reply(400, INVALID_GRANT))

    assert await tokens.current() == AccessRefused(status=400, error="invalid_grant", text="Invalid JWT Signature.")


async def test_a_refusal_in_the_envelope_of_googles_apis_is_one_too(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    error = {"error": {"code": 403, "message": "disabled", "status": "PERMISSION_DENIED"}}
    fcm.token_script.append(reply(403, error))

    assert await tokens.current() == AccessRefused(status=403, error="PERMISSION_DENIED", text="disabled")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_a_failing_endpoint_is_asked_once_and_refuses_nothing(
    fcm: ScriptedFcm, tokens: AccessTokens, status: int
) -> None:
    """google-auth itself would ask three times and sleep in between."""
    fcm.token_script.append(reply(status, {"error": "invalid_grant"}))

    assert await tokens.current() == NoAccess(why=f"the token endpoint answered HTTP {status}")
    assert len(fcm.token_forms) == 1


@pytest.mark.parametrize(
    "act",
    [
        reply(200, b"<html>Log in to the Wi-Fi</html>"),
        reply(200, {"id_token": "x"}),
        reply(200, [1]),
        reply(200, {"access_token": "a\r\nb"}),
        reply(200, {"access_token": ""}),
        reply(200, {"access_token": 7}),
        reply(200, {"access_token": "a", "expires_in": "soon"}),
        reply(200, b"x" * 100_000),
        reply(302, headers={"Location": "http://127.0.0.1:1/"}),
        reply(404, b"<html>404</html>"),
        reply(400, b"\xff"),
        cut_answer(200),
        cut,
    ],
)
async def test_what_is_not_an_answer_of_oauth_refuses_nothing(fcm: ScriptedFcm, tokens: AccessTokens, act: Any) -> None:
    fcm.token_script.append(act)

    assert isinstance(await tokens.current(), NoAccess)


async def test_an_endpoint_that_nobody_listens_at_refuses_nothing(clock: Clock) -> None:
    async with tokens_at("http://127.0.0.1:1/token", clock) as tokens:
        assert isinstance(await tokens.current(), NoAccess)


async def test_an_endpoint_that_never_answers_is_given_up(fcm: ScriptedFcm, clock: Clock) -> None:
    fcm.token_script.append(fcm.hold)

    async with tokens_at(f"{fcm.url}/token", clock, timeout_s=0.1) as tokens:
        assert isinstance(await tokens.current(), NoAccess)


async def test_an_answer_that_trickles_is_given_up(fcm: ScriptedFcm, clock: Clock) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    fcm.token_script.append(trickle)

    async with tokens_at(f"{fcm.url}/token", clock, timeout_s=0.1) as tokens:
        assert isinstance(await tokens.current(), NoAccess)


# The cache.


async def test_a_token_is_kept_until_five_minutes_before_its_end(
    fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock
) -> None:
    await tokens.current()
    clock.now += LIFETIME_S - REFRESH_BEFORE_S - 1.0

    assert value_of(await tokens.current()) == "ya29.1"
    assert len(fcm.token_forms) == 1


async def test_near_its_end_a_token_is_used_while_the_next_is_fetched(
    fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock
) -> None:
    await tokens.current()
    clock.now += LIFETIME_S - REFRESH_BEFORE_S + 1.0

    assert value_of(await tokens.current()) == "ya29.1"

    await fcm.until(lambda: len(fcm.token_forms) == 2)
    clock.now += REFRESH_BEFORE_S
    assert value_of(await tokens.current()) == "ya29.2"


async def test_a_token_at_its_end_is_not_used(fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock) -> None:
    await tokens.current()
    clock.now += LIFETIME_S

    assert value_of(await tokens.current()) == "ya29.2"


async def test_a_short_lived_token_is_used_for_half_of_its_life(
    fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock
) -> None:
    fcm.token_script.append(reply(200, {"access_token": "short", "expires_in": 60}))
    await tokens.current()
    clock.now += 29.0

    assert value_of(await tokens.current()) == "short"
    assert len(fcm.token_forms) == 1


async def test_a_token_without_a_lifetime_lives_for_an_hour(
    fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock
) -> None:
    fcm.token_script.append(reply(200, {"access_token": "a"}))

    assert (await token_of(tokens)).expires_at == clock.now + 3600.0


async def test_all_who_wait_share_one_refresh(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    found = await asyncio.gather(*(tokens.current() for _ in range(50)))

    assert {value_of(access) for access in found} == {"ya29.1"}
    assert len(fcm.token_forms) == 1


async def test_one_who_stops_waiting_does_not_stop_the_refresh(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    fcm.token_script.append(fcm.hold)
    impatient = asyncio.create_task(tokens.current())
    await fcm.until(lambda: fcm.held == 1)
    patient = asyncio.create_task(tokens.current())

    impatient.cancel()
    fcm.let_go.set()

    assert value_of(await patient) == "ya29.1"
    assert len(fcm.token_forms) == 1


async def test_the_loop_runs_while_the_endpoint_is_slow(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    """The endpoint runs in this loop: if the exchange blocked it, it would never be answered."""
    fcm.token_script.append(fcm.hold)
    waiting = asyncio.create_task(tokens.current())
    await fcm.until(lambda: fcm.held == 1)

    fcm.let_go.set()
    await waiting
    assert len(fcm.token_forms) == 1


async def test_a_refresh_that_failed_is_not_repeated_at_once(
    fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock
) -> None:
    fcm.token_script.append(reply(400, INVALID_GRANT))
    first = await tokens.current()
    clock.now += FAILED_FOR_S - 1.0

    assert await tokens.current() is first
    assert len(fcm.token_forms) == 1


async def test_a_refresh_that_failed_is_repeated_after_a_while(
    fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock
) -> None:
    fcm.token_script.append(reply(503))
    await tokens.current()
    clock.now += FAILED_FOR_S

    assert value_of(await tokens.current()) == "ya29.2"


async def test_a_refresh_that_failed_is_repeated_when_the_clock_was_set_back(
    fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock
) -> None:
    fcm.token_script.append(reply(400, INVALID_GRANT))
    await tokens.current()
    clock.now -= 3600.0

    assert value_of(await tokens.current()) == "ya29.2"


async def test_a_token_that_still_works_outlives_a_failed_refresh(
    fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock
) -> None:
    await tokens.current()
    clock.now += LIFETIME_S - 60.0
    fcm.token_script.append(reply(503))
    await tokens.current()
    await fcm.until(lambda: len(fcm.token_forms) == 2)

    assert value_of(await tokens.current()) == "ya29.1"


# A token that FCM refuses.


async def test_a_refused_token_is_replaced(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    refused = await token_of(tokens)

    assert value_of(await tokens.renewed(refused)) == "ya29.2"
    assert value_of(await tokens.current()) == "ya29.2"


async def test_many_refusals_of_one_token_make_one_refresh(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    refused = await token_of(tokens)

    found = await asyncio.gather(*(tokens.renewed(refused) for _ in range(50)))

    assert {value_of(access) for access in found} == {"ya29.2"}
    assert len(fcm.token_forms) == 2


async def test_a_replacement_that_is_refused_too_is_not_replaced_at_once(
    fcm: ScriptedFcm, tokens: AccessTokens
) -> None:
    replacement = await tokens.renewed(await token_of(tokens))
    assert isinstance(replacement, AccessToken)

    assert await tokens.renewed(replacement) is None
    assert len(fcm.token_forms) == 2


async def test_a_replacement_that_is_refused_too_is_replaced_after_a_while(
    fcm: ScriptedFcm, tokens: AccessTokens, clock: Clock
) -> None:
    replacement = await tokens.renewed(await token_of(tokens))
    assert isinstance(replacement, AccessToken)
    clock.now += FAILED_FOR_S

    assert value_of(await tokens.renewed(replacement)) == "ya29.3"


async def test_a_replacement_that_has_worked_is_replaced_when_it_is_refused_later(
    fcm: ScriptedFcm, tokens: AccessTokens
) -> None:
    replacement = await tokens.renewed(await token_of(tokens))
    assert isinstance(replacement, AccessToken)
    tokens.proved(replacement)

    assert value_of(await tokens.renewed(replacement)) == "ya29.3"


async def test_after_close_there_is_no_access(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    await tokens.close()

    assert isinstance(await tokens.current(), NoAccess)


async def test_close_ends_those_who_wait(fcm: ScriptedFcm, tokens: AccessTokens) -> None:
    fcm.token_script.append(fcm.hold)
    waiting = asyncio.create_task(tokens.current())
    await fcm.until(lambda: fcm.held == 1)

    await tokens.close()

    assert isinstance(await waiting, NoAccess)


# The service account.


@pytest.mark.parametrize("name", ["project_id", "client_email", "private_key", "token_uri"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_a_service_account_with_a_missing_field_is_refused_by_its_name(name: str, value: object) -> None:
    account = {**service_account("http://127.0.0.1:1/token"), name: value}

    with pytest.raises(SettingsError, match=name):
        read_service_account(account)


@pytest.mark.parametrize(
    ("name", "value"), [("project_id", "../other"), ("project_id", "a/b"), ("token_uri", "file:///etc/passwd")]
)
def test_a_service_account_that_would_lead_elsewhere_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(value)):
        read_service_account({**service_account("http://127.0.0.1:1/token"), name: value})


def test_an_unreadable_key_is_refused_without_being_shown() -> None:
    pem = private_key_pem()
    spoiled = pem.replace(pem[100:140], "!" * 40)

    with pytest.raises(SettingsError) as caught:
        read_service_account({**service_account("http://127.0.0.1:1/token"), "private_key": spoiled})

    shown = "".join(traceback.format_exception(caught.value))
    assert not any(line in shown for line in pem.splitlines()[1:-1])
