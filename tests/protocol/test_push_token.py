"""Which strings are push tokens, how ours are made, and how they are written to a log."""

import re

import pytest

from expo_gateway.protocol.push_token import (
    MAX_PUSH_TOKEN_CHARS,
    PUSH_TOKEN_RANDOM_BYTES,
    is_well_formed,
    mistaken,
    passes_sdk_check,
    push_token,
    redacted,
)

ISSUED = "ExponentPushToken[J58oHWJwFIfCiY1ZAUd8tI]"


@pytest.mark.parametrize(
    "token",
    [
        ISSUED,
        "ExpoPushToken[J58oHWJwFIfCiY1ZAUd8tI]",
        "ExponentPushToken[test-token-123]",
        "ExponentPushToken[]",
        'ExponentPushToken["quoted"]',
        "ExponentPushToken[a\nb]",
        "ExponentPushToken[[nested]]",
        "01234567-89ab-cdef-0123-456789abcdef",
        "01234567-89AB-CDEF-0123-456789ABCDEF",
        "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz",
    ],
)
def test_what_the_node_sdk_takes_for_a_push_token_passes(token: str) -> None:
    assert passes_sdk_check(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "ExponentPushToken",
        "ExponentPushToken[abc",
        "ExponentPushToken[abc] ",
        " ExponentPushToken[abc]",
        "exponentpushtoken[abc]",
        "[abc]",
        "]",
        "01234567-89ab-cdef-0123-456789abcde",
        "01234567-89ab-cdef-0123-456789abcdef\n",
        "٠١٢٣٤٥٦٧-89ab-cdef-0123-456789abcdef",
    ],
)
def test_what_the_node_sdk_refuses_does_not_pass(token: str) -> None:
    assert not passes_sdk_check(token)


def test_an_over_long_token_does_not_pass() -> None:
    longest = "ExponentPushToken[" + "x" * (MAX_PUSH_TOKEN_CHARS - 19) + "]"

    assert (passes_sdk_check(longest), passes_sdk_check(longest.replace("x]", "xx]"))) == (True, False)


@pytest.mark.parametrize("token", [ISSUED, ISSUED.replace("Exponent", "Expo"), "01234567-89ab-cdef-0123-456789abcdef"])
def test_22_characters_in_brackets_or_a_uuid_are_well_formed(token: str) -> None:
    assert is_well_formed(token)


@pytest.mark.parametrize("token", ["ExponentPushToken[xd]", "ExponentPushToken[test-token-123]", ISSUED + "\n", "x"])
def test_anything_else_is_not_well_formed(token: str) -> None:
    """The first two were recorded as "not a valid Expo push token"."""
    assert not is_well_formed(token)


@pytest.mark.parametrize("byte", [0x00, 0x5A, 0xFB, 0xFF])
def test_a_new_token_suits_the_strictest_client(byte: int) -> None:
    """Dru1X for PHP has this expression; clients.md, point 10."""
    token = push_token(bytes([byte]) * PUSH_TOKEN_RANDOM_BYTES)

    assert re.fullmatch(r"ExponentPushToken\[([a-zA-Z0-9\-_]{22})]", token)


@pytest.mark.parametrize(
    ("token", "written"),
    [
        (ISSUED, "ExponentPushToken[J58o…tI]"),
        ("01234567-89ab-cdef-0123-456789abcdef", "0123…ef"),
        ("ExponentPushToken[short]", "ExponentPushToken[…]"),
        ("x", "…"),
        ("", "…"),
    ],
)
def test_a_log_shows_the_first_four_and_last_two_characters(token: str, written: str) -> None:
    assert redacted(token) == written


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("nope", "nope"),
        ("", ""),
        ("x" * 61, "x" * 59 + "…"),
        ("a file name/of-some-length/with 1 digit/and no secret in it.csv", None),
        (ISSUED, "ExponentPushToken[J58o…tI]"),
        (ISSUED[:-1], "ExponentPushToken[J58o…tI]"),
        ("a1" * 32, "a1a1…a1"),
        (f"{'a1' * 32} [x]", "a1a1…1 "),
        ("dXR5:APA91b" + "x1" * 60, "dXR5…x1"),
        ("Bearer egt_" + "a1" * 21, "Bear…a1"),
    ],
)
def test_a_mistake_is_shown_and_a_token_is_not(given: str, shown: str | None) -> None:
    assert mistaken(given) == (f"{given[:59]}…" if shown is None else shown)
