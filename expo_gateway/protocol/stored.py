"""The bodies of batches as they are stored: as a client sent them, or native ones (`native.py`), which nobody can send.

Apart from native.py, because most processes never see a native batch, and a start need not load what reads it.
"""

from expo_gateway.protocol.body import NATIVE_MARK, inflate
from expo_gateway.protocol.message import SendRequest, decode_send_request


def is_native(body: bytes) -> bool:
    return body[:1] == NATIVE_MARK


def plain_body(body: bytes) -> bytes:
    """The JSON text of a stored body, whoever made it. RequestRefused: it can't be inflated."""
    return body[1:] if is_native(body) else inflate(body)


def decode_stored(body: bytes) -> SendRequest:
    """Read a batch back from the store. RequestRefused: it is damaged.

    Only for what is stored: a door reads what a client sends with `decode_send_request`.
    """
    if not is_native(body):
        return decode_send_request(inflate(body))
    from expo_gateway.protocol.native import decode_native

    return decode_native(body)
