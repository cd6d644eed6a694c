"""An `ApnsRequest` as an HPACK header block, RFC 7541 (https://www.rfc-editor.org/rfc/rfc7541).

Every field is a literal without indexing and without Huffman code, its name from the static table where it is there.
So a block depends on nothing but its request: no table that both ends must agree on, and a third of the CPU time of
a push saved. Apple asks for `:path` and `authorization` without indexing anyway; the latter is marked never indexed.
"""

from urllib.parse import quote

from expo_gateway.protocol.apns import ApnsRequest

# RFC 7541, appendix A.
_METHOD_POST = b"\x83"
_SCHEME_HTTPS = b"\x87"
_AUTHORITY, _PATH, _AUTHORIZATION = 1, 4, 23

# https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
MAX_COLLAPSE_ID_BYTES = 64
# Our choice: APNs takes header lists of 8,000 bytes, and a connection may end with one that is larger.
MAX_VALUE_BYTES = 512

# A decoder that allows a smaller table than 4,096 bytes wants to hear that we keep to it; we need none at all.
NO_DYNAMIC_TABLE = b"\x20"


def bad_field(request: ApnsRequest) -> str | None:
    """APNs' reason for a field that can't stand in a header, or None.

    A control character is a malformed request, RFC 9113 section 8.2.1: the peer may end the stream or the connection
    for it, and with that the pushes of others. Whatever can be sent is left to APNs to judge.
    """
    checks = (
        (quoted(request.device_token), MAX_VALUE_BYTES, "BadDeviceToken"),
        (request.topic, MAX_VALUE_BYTES, "BadTopic"),
        (request.push_type, MAX_VALUE_BYTES, "InvalidPushType"),
        (request.apns_id, MAX_VALUE_BYTES, "BadMessageId"),
        (request.collapse_id or "", MAX_COLLAPSE_ID_BYTES, "BadCollapseId"),
    )
    for value, limit_bytes, reason in checks:
        if not _is_field_value(value, limit_bytes=limit_bytes):
            return reason
    return None


def _is_field_value(value: str, *, limit_bytes: int) -> bool:
    """RFC 9113, section 8.2.1: no control characters, no space at either end."""
    if value != value.strip(" "):
        return False
    if value.isascii() and value.isprintable():
        return len(value) <= limit_bytes
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair.
        return False
    return len(encoded) <= limit_bytes and not any(byte < 0x20 or byte == 0x7F for byte in encoded)


def quoted(device_token: str) -> str:
    """The device token as it stands in the path: a right one is hexadecimal and stays as it is."""
    if device_token.isalnum() and device_token.isascii():
        return device_token
    return quote(device_token, safe="", errors="replace")


def header_block(request: ApnsRequest, *, authority: str, authorization: str) -> bytes:
    """The whole block. `authorization` is the header's value: `bearer` and the provider token; "": no such header."""
    block = [
        _METHOD_POST,
        _SCHEME_HTTPS,
        _literal(_AUTHORITY, authority),
        _literal(_PATH, f"/3/device/{quoted(request.device_token)}"),
        _never_indexed(_AUTHORIZATION, authorization) if authorization else b"",
        _named(b"apns-id", request.apns_id),
        _named(b"apns-topic", request.topic),
        _named(b"apns-push-type", request.push_type),
        _named(b"apns-priority", str(request.priority)),
    ]
    if request.expiration is not None:
        block.append(_named(b"apns-expiration", str(request.expiration)))
    if request.collapse_id is not None:
        block.append(_named(b"apns-collapse-id", request.collapse_id))
    return b"".join(block)


def _literal(static_index: int, value: str) -> bytes:
    """Section 6.2.2, indexed name."""
    return _integer(static_index, prefix_bits=4, flags=0x00) + _string(value.encode())


def _never_indexed(static_index: int, value: str) -> bytes:
    """Section 6.2.3: no proxy on the way may put it in a table either."""
    return _integer(static_index, prefix_bits=4, flags=0x10) + _string(value.encode())


def _named(name: bytes, value: str) -> bytes:
    """Section 6.2.2, new name."""
    return b"\x00" + _string(name) + _string(value.encode())


def _string(value: bytes) -> bytes:
    """Section 5.2, not Huffman-coded."""
    return _integer(len(value), prefix_bits=7, flags=0x00) + value


def _integer(value: int, *, prefix_bits: int, flags: int) -> bytes:
    """Section 5.1."""
    highest = (1 << prefix_bits) - 1
    if value < highest:
        return bytes((flags | value,))
    encoded = bytearray((flags | highest,))
    value -= highest
    while value >= 128:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
