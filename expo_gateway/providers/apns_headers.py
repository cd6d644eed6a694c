"""An `ApnsRequest` as an HPACK header block, RFC 7541 (https://www.rfc-editor.org/rfc/rfc7541).

Every field is a literal without indexing and without Huffman code, its name from the static table where it is there.
So a block depends on nothing but its request: no table that both ends must agree on, and what pushes have in common
is encoded once. Apple asks for `:path` and `authorization` without indexing anyway; the latter is marked never indexed.
"""

from urllib.parse import quote

from expo_gateway.protocol.apns import ApnsRequest

# RFC 7541, appendix A.
_METHOD_POST = b"\x83"
_SCHEME_HTTPS = b"\x87"
_AUTHORITY, _PATH, _AUTHORIZATION = 1, 4, 23

# Names that are sent as they are, with their length before them (section 6.2.2, new name).
_APNS_ID = b"\x00\x07apns-id"
_EXPIRATION = b"\x00\x0fapns-expiration"
_COLLAPSE_ID = b"\x00\x10apns-collapse-id"

# https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
MAX_COLLAPSE_ID_BYTES = 64
# Our choice: APNs takes header lists of 8,000 bytes, and a connection may end with one that is larger.
MAX_VALUE_BYTES = 512
# Our choice: some 400 bytes each. A project has a few topics and push types.
MAX_COMMON = 256

# A decoder that allows a smaller table than 4,096 bytes wants to hear that we keep to it; we need none at all.
NO_DYNAMIC_TABLE = b"\x20"


def bad_field(request: ApnsRequest) -> str | None:
    """APNs' reason for a field that can't stand in a header, or None.

    A control character is a malformed request, RFC 9113 section 8.2.1: the peer may end the stream or the connection
    for it, and with that the pushes of others. Whatever can be sent is left to APNs to judge.
    """
    if _is_plain(request):
        return None
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


def _is_plain(request: ApnsRequest) -> bool:
    """Whether one look at all fields shows that each is well: printable ASCII, no space, no more than one may have."""
    fields = f"{request.topic}{request.push_type}{request.apns_id}{request.collapse_id or ''}"
    is_text = fields.isascii() and fields.isprintable() and " " not in fields
    token = request.device_token
    return (
        is_text
        and token.isascii()
        and token.isalnum()
        and len(fields) + len(token) <= MAX_VALUE_BYTES
        and (request.collapse_id is None or len(request.collapse_id) <= MAX_COLLAPSE_ID_BYTES)
    )


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


class HeaderBlocks:
    """Makes the blocks of one connection. What pushes have in common is encoded once."""

    def __init__(self, *, authority: str) -> None:
        self._start = _METHOD_POST + _SCHEME_HTTPS + _literal(_AUTHORITY, authority) + bytes((_PATH,))
        self._common: dict[tuple[str, str, str, int], bytes] = {}

    def block(self, request: ApnsRequest, *, authorization: str) -> bytes:
        """The whole block. `authorization` is the value of that header; "": no such header."""
        key = (authorization, request.topic, request.push_type, request.priority)
        common = self._common.get(key)
        if common is None:
            common = self._encode_common(key)
        block = (
            self._start
            + _string(f"/3/device/{quoted(request.device_token)}".encode())
            + common
            + _string(request.apns_id.encode())
        )
        if request.expiration is not None:
            block += _EXPIRATION + _string(b"%d" % request.expiration)
        if request.collapse_id is not None:
            block += _COLLAPSE_ID + _string(request.collapse_id.encode())
        return block

    def _encode_common(self, key: tuple[str, str, str, int]) -> bytes:
        """Everything between the path and the value of `apns-id`."""
        authorization, topic, push_type, priority = key
        if len(self._common) >= MAX_COMMON:
            # One connection has few topics, but its provider token changes every 45 minutes.
            self._common.clear()
        self._common[key] = b"".join(
            (
                _never_indexed(_AUTHORIZATION, authorization) if authorization else b"",
                _named(b"apns-topic", topic),
                _named(b"apns-push-type", push_type),
                _named(b"apns-priority", str(priority)),
                _APNS_ID,
            )
        )
        return self._common[key]


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
    length = len(value)
    return (length.to_bytes(1, "big") if length < 127 else _integer(length, prefix_bits=7, flags=0x00)) + value


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
