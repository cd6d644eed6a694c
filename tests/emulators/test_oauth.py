"""The token endpoint: assertions, service accounts, the life of access tokens."""

import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from expo_gateway.emulators.faults import Answer
from expo_gateway.emulators.oauth import GRANT_TYPE, OAuth, read_form
from tests.emulators.fcm_fixtures import (
    CLIENT_EMAIL,
    KEY_ID,
    PROJECT,
    Assertion,
    Clock,
    SigningKey,
    cases,
    form,
    make_signing_key,
)

REFUSALS = {case["name"]: case for case in cases("oauth_refusals", "refusals")}


@pytest.fixture(scope="module")
def signing_key() -> SigningKey:
    return make_signing_key()


@pytest.fixture(scope="module")
def other_key() -> SigningKey:
    return make_signing_key()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def oauth(clock: Clock) -> OAuth:
    return OAuth(clock=clock)


@pytest.fixture
def assertion(signing_key: SigningKey, clock: Clock) -> Assertion:
    return Assertion(signing_key, clock.now)


def trust(oauth: OAuth, key: SigningKey, **changes: str) -> None:
    account = {"client_email": CLIENT_EMAIL, "private_key_id": KEY_ID, "project_id": PROJECT}
    oauth.trust_service_account(public_key_pem=key.public_pem, **{**account, **changes})


def json_of(answer: Answer) -> Any:
    return json.loads(answer.body or b"")


def access_token_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return str(json_of(answer)["access_token"])


def assert_refused(answer: Answer, name: str) -> None:
    case = REFUSALS[name]
    assert (answer.status, json_of(answer)) == (case["status"], case["body"])


def test_an_assertion_is_answered_with_a_bearer_token_like_googles(oauth: OAuth, assertion: Assertion) -> None:
    granted = json_of(oauth.exchange(read_form(assertion.form())))

    assert list(granted) == ["access_token", "expires_in", "token_type"]
    assert granted["access_token"].startswith("ya29.")
    assert 1000 <= len(granted["access_token"]) <= 1100
    assert (granted["expires_in"], granted["token_type"]) == (3599, "Bearer")


def test_two_exchanges_give_two_tokens(oauth: OAuth, assertion: Assertion) -> None:
    first, second = (access_token_of(oauth.exchange(read_form(assertion.form()))) for _ in range(2))

    assert first != second


def test_the_audience_is_not_compared(oauth: OAuth, assertion: Assertion) -> None:
    assertion.claims["aud"] = "http://somewhere.else/token"

    assert oauth.exchange(read_form(assertion.form())).status == 200


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("no grant type", b"assertion=a.b.c"),
        ("another grant type", form("password", "a.b.c")),
        ("no assertion", form(GRANT_TYPE, "")),
        ("an assertion that is no JWT", form(GRANT_TYPE, "abc")),
    ],
)
def test_a_form_without_a_jwt_grant_is_refused(oauth: OAuth, name: str, body: bytes) -> None:
    assert_refused(oauth.exchange(read_form(body)), name)


def drop_issuer(assertion: Assertion) -> None:
    del assertion.claims["iss"]


def drop_key_id(assertion: Assertion) -> None:
    assertion.headers = {}


def drop_audience(assertion: Assertion) -> None:
    del assertion.claims["aud"]


def expire(assertion: Assertion) -> None:
    assertion.claims |= {"iat": assertion.now - 3600, "exp": assertion.now}


def issue_in_the_future(assertion: Assertion) -> None:
    assertion.claims |= {"iat": assertion.now + 301, "exp": assertion.now + 3600}


def last_two_hours(assertion: Assertion) -> None:
    assertion.claims["exp"] = assertion.now + 7200


def write_times_as_text(assertion: Assertion) -> None:
    assertion.claims["exp"] = str(assertion.claims["exp"])


def drop_scope(assertion: Assertion) -> None:
    del assertion.claims["scope"]


def ask_for_another_scope(assertion: Assertion) -> None:
    assertion.claims["scope"] = "https://www.googleapis.com/auth/drive"


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("no issuer", drop_issuer),
        ("no key id", drop_key_id),
        ("no audience", drop_audience),
        ("expired", expire),
        ("issued in the future", issue_in_the_future),
        ("valid for two hours", last_two_hours),
        ("times that are text", write_times_as_text),
        ("no scope", drop_scope),
        ("another scope", ask_for_another_scope),
    ],
)
def test_a_wrong_assertion_is_refused(
    oauth: OAuth, assertion: Assertion, name: str, spoil: Callable[[Assertion], None]
) -> None:
    spoil(assertion)

    assert_refused(oauth.exchange(read_form(assertion.form())), name)


def test_an_assertion_signed_with_a_shared_secret_is_refused(oauth: OAuth, assertion: Assertion) -> None:
    text = jwt.encode(assertion.claims, "s" * 32, algorithm="HS256", headers=assertion.headers)

    assert_refused(oauth.exchange(read_form(form(GRANT_TYPE, text))), "an assertion signed with HS256")


def test_a_clock_that_is_five_minutes_fast_is_forgiven(oauth: OAuth, assertion: Assertion) -> None:
    assertion.claims |= {"iat": assertion.now + 300, "exp": assertion.now + 3900}

    assert oauth.exchange(read_form(assertion.form())).status == 200


def test_cloud_platform_among_other_scopes_will_do(oauth: OAuth, assertion: Assertion) -> None:
    assertion.claims["scope"] = "openid https://www.googleapis.com/auth/cloud-platform"

    assert oauth.exchange(read_form(assertion.form())).status == 200


def test_an_unknown_account_is_refused_when_only_known_ones_count(clock: Clock, assertion: Assertion) -> None:
    oauth = OAuth(clock=clock, known_accounts_only=True)

    assert_refused(oauth.exchange(read_form(assertion.form())), "unknown account")


def test_a_known_account_signs_with_its_key(oauth: OAuth, assertion: Assertion, signing_key: SigningKey) -> None:
    trust(oauth, signing_key)

    assert oauth.exchange(read_form(assertion.form())).status == 200


def test_a_known_account_with_another_key_is_refused(oauth: OAuth, assertion: Assertion, other_key: SigningKey) -> None:
    trust(oauth, other_key)

    assert_refused(oauth.exchange(read_form(assertion.form())), "wrong signature")


def test_a_known_account_with_an_unknown_key_id_is_refused(
    oauth: OAuth, assertion: Assertion, signing_key: SigningKey
) -> None:
    trust(oauth, signing_key, private_key_id="another")

    assert_refused(oauth.exchange(read_form(assertion.form())), "wrong signature")


def test_a_second_key_of_an_account_counts_as_well(
    oauth: OAuth, assertion: Assertion, signing_key: SigningKey, other_key: SigningKey
) -> None:
    trust(oauth, other_key, private_key_id="older")
    trust(oauth, signing_key)

    assert oauth.exchange(read_form(assertion.form())).status == 200


def test_a_key_that_is_not_rsa_is_not_taken(oauth: OAuth) -> None:
    public_key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    with pytest.raises(ValueError, match="want an RSA public key"):
        oauth.trust_service_account(
            client_email=CLIENT_EMAIL, private_key_id=KEY_ID, public_key_pem=pem, project_id=PROJECT
        )


def test_a_token_is_valid_until_its_time_is_over(oauth: OAuth, assertion: Assertion, clock: Clock) -> None:
    token = access_token_of(oauth.exchange(read_form(assertion.form())))

    clock.now += 3598
    assert oauth.check(token).standing == "valid"
    clock.now += 1
    assert oauth.check(token).standing == "expired"


def test_revoked_tokens_count_as_expired(oauth: OAuth, assertion: Assertion) -> None:
    token = access_token_of(oauth.exchange(read_form(assertion.form())))

    oauth.revoke_all()

    assert oauth.check(token).standing == "expired"


def test_a_token_that_was_never_given_out_is_foreign(oauth: OAuth) -> None:
    assert oauth.check("ya29.made-up").standing == "foreign"


def test_a_token_knows_the_account_that_it_was_given_to(
    oauth: OAuth, assertion: Assertion, signing_key: SigningKey
) -> None:
    trust(oauth, signing_key, project_number="1234567890")

    account = oauth.check(access_token_of(oauth.exchange(read_form(assertion.form())))).account

    assert account is not None
    assert [account.may_send_for(project) for project in (PROJECT, "1234567890", "other", "99")] == [
        True,
        True,
        False,
        False,
    ]


def test_the_oldest_tokens_are_forgotten_when_there_are_too_many(clock: Clock, assertion: Assertion) -> None:
    oauth = OAuth(clock=clock, max_tokens=2)

    tokens = [access_token_of(oauth.exchange(read_form(assertion.form()))) for _ in range(3)]

    assert [oauth.check(token).standing for token in tokens] == ["foreign", "valid", "valid"]
    assert len(oauth) == 2
