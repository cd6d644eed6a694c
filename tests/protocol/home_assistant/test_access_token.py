"""Long-lived access tokens."""

import re

import jwt

from expo_gateway.protocol.home_assistant.access_token import TOKEN_RANDOM_BYTES, digest, new_token

RANDOM = bytes(range(TOKEN_RANDOM_BYTES))


def test_a_token_is_three_parts_of_base64url_as_apprise_wants_it() -> None:
    token, _ = new_token(RANDOM, now=1_767_657_694.5)

    assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", token)


def test_a_token_says_its_id_and_when_it_was_made() -> None:
    token, id_ = new_token(RANDOM, now=1_767_657_694.5)

    assert jwt.decode(token, RANDOM[16:], algorithms=["HS256"], options={"verify_iat": False}) == {
        "iss": id_,
        "iat": 1_767_657_694,
    }
    assert id_ == RANDOM[:16].hex()


def test_a_token_is_known_by_its_digest() -> None:
    token, _ = new_token(RANDOM, now=0)

    assert digest(token) == digest(token)
    assert digest(token) != digest(token[:-1])
    assert len(digest(token)) == 32
