"""The provider token: when it is minted, and when not."""

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from expo_gateway.errors import SettingsError
from expo_gateway.providers.apns import ApnsKey
from expo_gateway.providers.apns_token import MIN_REFRESH_S, REFRESH_S, SET_BACK_S, SharedProviderToken
from tests.providers.apns_scene import SetClock

NOW = 1_700_000_000.5


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOW)


@pytest.fixture
def token(apns_key: ApnsKey, clock: SetClock) -> SharedProviderToken:
    return SharedProviderToken(apns_key, clock=clock)


def test_the_token_says_what_apple_asks_for(token: SharedProviderToken, apns_key: ApnsKey) -> None:
    raw = token.get_header().removeprefix("bearer ")
    private_key = serialization.load_pem_private_key(apns_key.private_key_pem.encode(), password=None)
    assert isinstance(private_key, ec.EllipticCurvePrivateKey)

    assert jwt.get_unverified_header(raw) == {"alg": "ES256", "kid": apns_key.key_id, "typ": "JWT"}
    claims = jwt.decode(raw, private_key.public_key(), algorithms=["ES256"], options={"verify_iat": False})
    assert claims == {"iss": apns_key.team_id, "iat": int(NOW)}


def test_the_token_is_kept_for_45_minutes(token: SharedProviderToken, clock: SetClock) -> None:
    first = token.get_header()

    clock.now += REFRESH_S - 1
    assert token.get_header() == first
    clock.now += 1
    assert token.get_header() != first


def test_a_small_correction_of_the_clock_mints_no_token_and_a_larger_one_does(
    token: SharedProviderToken, clock: SetClock
) -> None:
    first = token.get_header()

    clock.now -= SET_BACK_S
    assert token.get_header() == first
    clock.now -= 1
    assert token.get_header() != first


def test_an_expired_token_is_replaced_at_once(token: SharedProviderToken) -> None:
    first = token.get_header()

    assert token.replace(first)
    assert token.get_header() != first


def test_a_token_that_was_replaced_meanwhile_is_not_replaced_again(token: SharedProviderToken) -> None:
    first = token.get_header()
    token.replace(first)
    second = token.get_header()

    assert token.replace(first)
    assert token.get_header() == second


def test_a_replacement_that_is_expired_too_is_kept_for_20_minutes(token: SharedProviderToken, clock: SetClock) -> None:
    token.replace(token.get_header())
    second = token.get_header()

    assert not token.replace(second)
    assert token.get_header() == second
    clock.now += MIN_REFRESH_S
    assert token.replace(second)


def pem(private_key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    "private_key_pem",
    [
        "",
        "not a key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(rsa.generate_private_key(65537, 2048)),
    ],
    ids=["empty", "text", "garbage", "P-384", "RSA"],
)
def test_a_key_that_is_none_of_apples_is_refused_without_being_quoted(private_key_pem: str) -> None:
    key = ApnsKey(key_id="ABC123DEFG", team_id="DEF123GHIJ", private_key_pem=private_key_pem)

    with pytest.raises(SettingsError, match="ABC123DEFG") as caught:
        SharedProviderToken(key, clock=lambda: NOW)

    assert "AAAA" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_key_does_not_show_itself(apns_key: ApnsKey) -> None:
    assert apns_key.private_key_pem[30:60] not in repr(apns_key)
    assert "private_key_pem" not in repr(apns_key)
