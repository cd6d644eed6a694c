"""What we want of the header block of an answer: `:status` and `apns-unique-id`.

Standard: RFC 7541 (https://www.rfc-editor.org/rfc/rfc7541). Whatever else stands in a block is stepped over unread,
Huffman codes and all: an eighth, or less, of the time of a whole decoder.
"""

from collections import deque

from h2.errors import ErrorCodes
from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman

from expo_gateway.providers.apns_frames import Http2Error

STATUS = b":status"
UNIQUE_ID = b"apns-unique-id"

# The names as they may stand in a block, plain or in Huffman code, of which each text has one.
_NAMES = {
    STATUS: STATUS,
    b"\xb8\x84\x8d6\xa3": STATUS,
    UNIQUE_ID: UNIQUE_ID,
    b"\x1du!kj7kJ\xb1\xa4": UNIQUE_ID,
}
# Appendix A: the entries 8 to 14 of the static table are :status, the other 54 are nothing to us.
_STATUSES = {8: b"200", 9: b"204", 10: b"206", 11: b"304", 12: b"400", 13: b"404", 14: b"500"}
_STATIC_ENTRIES = 61

# Our SETTINGS leave the table at 4,096 bytes, and an entry counts with 32 bytes at least (section 4.1).
MAX_TABLE_BYTES = 4096
_MAX_ENTRIES = MAX_TABLE_BYTES // 32
# Our choice: 35 bits are enough for any length or index, and an integer must end.
_MAX_SHIFT = 28

_Field = tuple[bytes, bytes]
_UNREAD: _Field = (b"", b"")


class AnswerHeaders:
    """Reads the blocks of one connection, all of them and in order.

    Of the peer's dynamic table it keeps the newest 128 entries and evicts none by size: counted from the newest, an
    index means the same whether old entries are gone or not, and a peer never names one that is gone.
    """

    def __init__(self) -> None:
        self._table: deque[_Field] = deque(maxlen=_MAX_ENTRIES)

    def read(self, block: bytes) -> tuple[bytes, bytes]:
        """Status and unique id; b"" for what is not there. Http2Error when the block makes no sense."""
        try:
            return self._read(block)
        except (IndexError, HPACKDecodingError) as error:
            raise Http2Error(ErrorCodes.COMPRESSION_ERROR, "a header block that can't be read") from error

    def _read(self, block: bytes) -> tuple[bytes, bytes]:
        status = unique_id = b""
        at = 0
        while at < len(block):
            (name, value), at = self._field(block, at)
            if name is STATUS:
                status = value
            elif name is UNIQUE_ID:
                unique_id = value
        if at > len(block):
            raise IndexError
        return status, unique_id

    def _field(self, block: bytes, at: int) -> tuple[_Field, int]:
        """The representation at that place, section 6, and where the next one begins."""
        first = block[at]
        if first & 0x80:
            index, at = _integer(block, at, 0x7F)
            return self._entry(index), at
        if first & 0x40:
            field, at = self._literal(block, at, 0x3F)
            self._table.appendleft(field)
            return field, at
        if first & 0x20:
            return _UNREAD, self._table_size(block, at)
        return self._literal(block, at, 0x0F)

    def _entry(self, index: int) -> _Field:
        if index > _STATIC_ENTRIES:
            return self._table[index - _STATIC_ENTRIES - 1]
        if not index:
            raise IndexError
        return (STATUS, _STATUSES[index]) if index in _STATUSES else _UNREAD

    def _literal(self, block: bytes, at: int, mask: int) -> tuple[_Field, int]:
        index, at = _integer(block, at, mask)
        if index:
            name = self._entry(index)[0]
        else:
            begins_at, at = _string(block, at)
            name = _NAMES.get(block[begins_at:at], b"")
        is_huffman = block[at] & 0x80
        begins_at, at = _string(block, at)
        if not name:
            return _UNREAD, at
        value = block[begins_at:at]
        return (name, decode_huffman(value) if is_huffman else value), at

    def _table_size(self, block: bytes, at: int) -> int:
        size_bytes, at = _integer(block, at, 0x1F)
        if size_bytes > MAX_TABLE_BYTES:
            raise IndexError
        return at


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Section 5.1: the integer, and where it ends. `mask` is the prefix."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in range(0, _MAX_SHIFT + 1, 7):
        octet = block[at]
        at += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
    raise IndexError


def _string(block: bytes, at: int) -> tuple[int, int]:
    """Section 5.2: where the string's octets begin and end."""
    length, at = _integer(block, at, 0x7F)
    return at, at + length
