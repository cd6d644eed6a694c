"""Provider tokens, each by itself and in the order in which a connection uses them."""

import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from expo_gateway.emulators.apns_answers import ApnsReason
from expo_gateway.emulators.apns_provider_tokens import MAX_VERIFIED, ConnectionTokens, ProviderToken, ProviderTokens
from tests.emulators.apns_client import ProviderKey

NOW = 1_800_000_000.0


@pytest.fixture
def tokens() -> ProviderTokens:
    return ProviderTokens()


def trusting(key: ProviderKey, *, known_keys_only: bool = False) -> ProviderTokens:
    tokens = ProviderTokens(known_keys_only=known_keys_only)
    tokens.trust_key(key_id=key.key_id, team_id=key.team_id, public_key_pem=key.public_pem)
    return tokens


def test_a_token_of_a_trusted_key_says_whose_it_is(apns_key: ProviderKey) -> None:
    token = trusting(apns_key).read(apns_key.bearer(issued_at=NOW), now=NOW)

    assert token == ProviderToken(key_id="KEY1234567", team_id="TEAM123456", issued_at=NOW)


def test_a_token_of_an_unknown_key_is_taken_on_trust(tokens: ProviderTokens, apns_key: ProviderKey) -> None:
    assert isinstance(tokens.read(apns_key.bearer(issued_at=NOW), now=NOW), ProviderToken)


def test_a_token_of_an_unknown_key_is_refused_when_only_known_keys_count(apns_key: ProviderKey) -> None:
    tokens = ProviderTokens(known_keys_only=True)

    assert tokens.read(apns_key.bearer(issued_at=NOW), now=NOW) is ApnsReason.INVALID_PROVIDER_TOKEN


def test_a_signature_of_another_key_is_refused(apns_key: ProviderKey) -> None:
    forged = ProviderKey(key_id=apns_key.key_id, team_id=apns_key.team_id)

    assert trusting(apns_key).read(forged.bearer(issued_at=NOW), now=NOW) is ApnsReason.INVALID_PROVIDER_TOKEN


def test_a_key_that_becomes_trusted_is_checked_from_then_on(tokens: ProviderTokens, apns_key: ProviderKey) -> None:
    forged = ProviderKey(key_id=apns_key.key_id, team_id=apns_key.team_id).bearer(issued_at=NOW)
    assert isinstance(tokens.read(forged, now=NOW), ProviderToken)

    tokens.trust_key(key_id=apns_key.key_id, team_id=apns_key.team_id, public_key_pem=apns_key.public_pem)

    assert tokens.read(forged, now=NOW) is ApnsReason.INVALID_PROVIDER_TOKEN


def test_a_trusted_key_of_another_team_is_refused(apns_key: ProviderKey) -> None:
    bearer = "bearer " + apns_key.token(issued_at=NOW, iss="OTHER12345")

    assert trusting(apns_key).read(bearer, now=NOW) is ApnsReason.INVALID_PROVIDER_TOKEN


@pytest.mark.parametrize("authorization", ["", "bearer", "bearer ", "basic eHg6eXk=", "eyJhbGciOiJFUzI1NiJ9.e30.AA"])
def test_without_a_bearer_token_it_is_missing(tokens: ProviderTokens, authorization: str) -> None:
    assert tokens.read(authorization, now=NOW) is ApnsReason.MISSING_PROVIDER_TOKEN


def test_the_scheme_may_be_written_in_any_case(tokens: ProviderTokens, apns_key: ProviderKey) -> None:
    assert isinstance(tokens.read(apns_key.bearer(issued_at=NOW).replace("bearer", "Bearer"), now=NOW), ProviderToken)


@pytest.mark.parametrize("claims", [
    {"iss": "SHORT"}, {"iss": 1234567890}, {"iss": None}, {"iat": "1800000000"}, {"iat": None}, {"iat": True},
])  # fmt: skip
def test_a_token_with_a_wrong_claim_is_refused(
    tokens: ProviderTokens, apns_key: ProviderKey, claims: dict[str, object]
) -> None:
    bearer = "bearer " + apns_key.token(issued_at=NOW, **claims)

    assert tokens.read(bearer, now=NOW) is ApnsReason.INVALID_PROVIDER_TOKEN


@pytest.mark.parametrize("raw", ["x", "a.b.c", "e30.e30.AA", "eyJhbGciOiJFUzI1NiIsImtpZCI6IktFWTEyMzQ1NjcifQ.W10.AA"])
def test_what_is_no_token_is_refused(tokens: ProviderTokens, raw: str) -> None:
    assert tokens.read("bearer " + raw, now=NOW) is ApnsReason.INVALID_PROVIDER_TOKEN


def test_a_key_id_of_a_wrong_length_is_refused(tokens: ProviderTokens) -> None:
    assert tokens.read(ProviderKey(key_id="K").bearer(issued_at=NOW), now=NOW) is ApnsReason.INVALID_PROVIDER_TOKEN


def test_another_algorithm_is_refused(tokens: ProviderTokens) -> None:
    raw = jwt.encode({"iss": "TEAM123456", "iat": NOW}, "s" * 32, algorithm="HS256", headers={"kid": "KEY1234567"})

    assert tokens.read("bearer " + raw, now=NOW) is ApnsReason.INVALID_PROVIDER_TOKEN


@pytest.mark.parametrize(("age_s", "is_valid"), [(3600, True), (3601, False)])
def test_a_token_lives_an_hour(tokens: ProviderTokens, apns_key: ProviderKey, age_s: float, is_valid: bool) -> None:
    bearer = apns_key.bearer(issued_at=NOW)
    assert isinstance(tokens.read(bearer, now=NOW), ProviderToken)

    result = tokens.read(bearer, now=NOW + age_s)

    assert isinstance(result, ProviderToken) if is_valid else result is ApnsReason.EXPIRED_PROVIDER_TOKEN


def test_a_token_from_the_future_is_refused(tokens: ProviderTokens, apns_key: ProviderKey) -> None:
    assert tokens.read(apns_key.bearer(issued_at=NOW + 301), now=NOW) is ApnsReason.INVALID_PROVIDER_TOKEN


def test_an_issue_time_with_a_fraction_is_taken(tokens: ProviderTokens, apns_key: ProviderKey) -> None:
    assert isinstance(tokens.read(apns_key.bearer(issued_at=NOW + 0.25), now=NOW + 1), ProviderToken)


def test_a_verified_token_isnt_verified_again(apns_key: ProviderKey) -> None:
    tokens = trusting(apns_key)
    bearer = apns_key.bearer(issued_at=NOW)

    assert tokens.read(bearer, now=NOW) is tokens.read(bearer, now=NOW + 1)


def test_the_memory_of_verified_tokens_is_bounded(tokens: ProviderTokens, apns_key: ProviderKey) -> None:
    first = apns_key.bearer(issued_at=NOW)
    before = tokens.read(first, now=NOW)

    for second in range(MAX_VERIFIED):
        tokens.read(apns_key.bearer(issued_at=NOW - second), now=NOW)

    assert tokens.read(first, now=NOW) == before
    assert tokens.read(first, now=NOW) is not before


def public_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_only_a_p256_key_can_be_trusted(tokens: ProviderTokens) -> None:
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65_537, 2048)):
        with pytest.raises(ValueError, match="KEY1234567 is not an EC key on P-256"):
            tokens.trust_key(key_id="KEY1234567", team_id="TEAM123456", public_key_pem=public_pem(key))


def token(*, issued_at: float = NOW, key_id: str = "KEY1234567", team_id: str = "TEAM123456") -> ProviderToken:
    return ProviderToken(key_id=key_id, team_id=team_id, issued_at=issued_at)


def test_a_connection_stays_with_the_team_of_its_first_token() -> None:
    connection = ConnectionTokens()

    assert connection.admit(token(), now=NOW) is None
    assert connection.admit(token(team_id="OTHER12345"), now=NOW) is ApnsReason.UNRELATED_KEY_ID_IN_TOKEN
    assert connection.admit(token(key_id="KEY7654321"), now=NOW) is None


def test_tokens_may_change_at_any_time_by_default() -> None:
    connection = ConnectionTokens()

    assert [connection.admit(token(issued_at=NOW + n), now=NOW + n) for n in range(3)] == [None] * 3


@pytest.mark.parametrize(("after_s", "reason"), [
    (1199, ApnsReason.TOO_MANY_PROVIDER_TOKEN_UPDATES), (1200, None),
])  # fmt: skip
def test_a_new_token_within_20_minutes_is_one_too_many(after_s: float, reason: ApnsReason | None) -> None:
    connection = ConnectionTokens(limit_updates=True)
    connection.admit(token(), now=NOW)

    assert connection.admit(token(issued_at=NOW + after_s), now=NOW + after_s) is reason


def test_after_one_update_too_many_the_old_token_still_counts() -> None:
    connection = ConnectionTokens(limit_updates=True)
    connection.admit(token(), now=NOW)
    connection.admit(token(issued_at=NOW + 1), now=NOW + 1)

    assert connection.admit(token(), now=NOW + 2) is None


def test_reading_a_verified_token_is_cheap(apns_key: ProviderKey) -> None:
    tokens = trusting(apns_key)
    bearer = apns_key.bearer(issued_at=NOW)
    tokens.read(bearer, now=NOW)

    began_at = time.process_time()
    for _ in range(1000):
        tokens.read(bearer, now=NOW)

    assert time.process_time() - began_at < 0.1  # a verification each would take 0.2 s
