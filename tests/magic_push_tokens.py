"""Magic push tokens, as a user writes them."""

from expo_gateway.protocol.magic import SECRET_CHARS


def magic_push_token(word: str, *, number: int = 1) -> str:
    """Of a kind, as it is written: `after30s`. Another number is another device."""
    head = f"magic-{word}-"
    return f"ExponentPushToken[{head}{number:0{SECRET_CHARS - len(head)}}]"
