"""Request bodies as clients send them: plain, gzip, or zlib labelled as gzip, under a size cap.

Elixir and Erlang clients compress always, Node above 1 KiB; one PHP client labels a zlib stream as gzip
(facts: PHP `gzcompress`). So the container is told by its first bytes and never by the header.
"""

import zlib
from types import ModuleType
from typing import Protocol, cast

from expo_gateway.errors import RequestRefused

_zlib: ModuleType
try:  # the extra `fast`: half the time of zlib
    from isal import isal_zlib as _zlib
except ImportError:
    _zlib = zlib
_zlib_error: type[Exception] = _zlib.error

# Our choice: 100 payloads of 4 KiB are 400 KiB, and three times that where every character is written as \uXXXX.
MAX_BODY_BYTES = 2 * 1024 * 1024

GZIP_MAGIC = b"\x1f\x8b"
# What a stored native batch begins with (native.py). No JSON text, gzip or zlib stream does: nobody can send one.
NATIVE_MARK = b"\x00"
_GZIP_OR_ZLIB = 47


class _Inflater(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, body: bytes, max_length: int) -> bytes: ...


def is_compressed(body: bytes) -> bool:
    """gzip's magic number, or a zlib header: JSON begins with neither."""
    return body[:2] == GZIP_MAGIC or (body[:1] == b"\x78" and len(body) > 1 and (0x7800 + body[1]) % 31 == 0)


def too_large(received: str, *, limit_bytes: int = MAX_BODY_BYTES) -> RequestRefused:
    return RequestRefused(
        "PAYLOAD_TOO_LARGE",
        f"The request body must not exceed {limit_bytes} bytes (received {received}).",
        status=413,
    )


def inflate(body: bytes) -> bytes:
    """The plain body. A compressed one is inflated up to MAX_BODY_BYTES and no further.

    Raises RequestRefused when the result is larger, or the stream is damaged or cut short.
    """
    if not is_compressed(body):
        return body
    plain, rest = bytearray(), body
    while True:
        inflater = cast(_Inflater, _zlib.decompressobj(wbits=_GZIP_OR_ZLIB))
        try:
            plain += inflater.decompress(rest, MAX_BODY_BYTES + 1 - len(plain))
        except (zlib.error, _zlib_error) as error:
            raise RequestRefused("VALIDATION_ERROR", f"The compressed request body is damaged: {error}.") from error
        if len(plain) > MAX_BODY_BYTES:
            raise too_large("more, inflated")
        if not inflater.eof:
            raise RequestRefused("VALIDATION_ERROR", f"The compressed request body ends too early ({len(body)} bytes).")
        rest = inflater.unused_data
        # RFC 1952, section 2.2: a file may have several members. What follows and is none is left out, as Node does.
        if rest[:2] != GZIP_MAGIC:
            return bytes(plain)
