"""Expo push tokens: which strings are one, how we make one, how one is written to a log."""

import re
from base64 import urlsafe_b64encode

_UUID_LIKE = re.compile(r"[a-z\d]{8}-[a-z\d]{4}-[a-z\d]{4}-[a-z\d]{4}-[a-z\d]{12}", re.IGNORECASE | re.ASCII)
_ISSUED = re.compile(r"Expo(?:nent)?PushToken\[[A-Za-z0-9_-]{22}\]")

# Our choice: the longest token that the service stores. Expo's own are 41 characters.
MAX_PUSH_TOKEN_CHARS = 256
# Our choice: what somebody types by mistake fits into it.
MAX_MISTAKE_CHARS = 60
# Device tokens of Apple and Google, access tokens: 40 characters and more, and some of them digits.
_SECRET = re.compile(r"(?=[\w:-]*\d)[\w:-]{40,}", re.ASCII)
# 22 characters of base64url, as Expo's tokens have.
PUSH_TOKEN_RANDOM_BYTES = 17


def passes_sdk_check(token: str) -> bool:
    """`Expo.isExpoPushToken` of expo-server-sdk-node: prefix and closing bracket, or 8-4-4-4-12 of [a-z0-9].

    What stands between the brackets is not looked at, so anyone's test tokens pass. Over-long ones do not.
    """
    if len(token) > MAX_PUSH_TOKEN_CHARS:
        return False
    if token[-1:] == "]":
        return token.startswith(("ExponentPushToken[", "ExpoPushToken["))
    return _UUID_LIKE.fullmatch(token) is not None


def is_well_formed(token: str) -> bool:
    """Whether exp.host would look the token up: 22 × [A-Za-z0-9_-] in the brackets, or the UUID form.

    Anything else "is not a valid Expo push token". The boundary is inferred from recorded answers.
    """
    return _ISSUED.fullmatch(token) is not None or _UUID_LIKE.fullmatch(token) is not None


def push_token(random_bytes: bytes) -> str:
    """A push token in the form that every client accepts, made of PUSH_TOKEN_RANDOM_BYTES random bytes."""
    return f"ExponentPushToken[{urlsafe_b64encode(random_bytes).decode('ascii')[:22]}]"


def mistaken(text: str) -> str:
    """What somebody gave for a push token, as it may be shown: a mistake is to be found, so all of it, up to
    MAX_MISTAKE_CHARS; redacted when it is a push token, or has another token in it."""
    head, bracket, _ = text.partition("[")
    if _SECRET.search(head):
        return redacted(head)
    if bracket or passes_sdk_check(text):
        return redacted(text)
    return text if len(text) <= MAX_MISTAKE_CHARS else f"{text[: MAX_MISTAKE_CHARS - 1]}…"


def redacted(token: str) -> str:
    """The token as it may stand in a log: the first four and the last two characters of what is secret."""
    head, bracket, secret = token.partition("[")
    if not bracket:
        head, secret = "", token
    secret = secret.removesuffix("]")
    shown = f"{secret[:4]}…{secret[-2:]}" if len(secret) > 8 else "…"
    return f"{head}[{shown}]" if bracket else shown
