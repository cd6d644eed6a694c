"""HTTP/1.1 as far as FCM needs it: a POST into bytes, and bytes into its answer. No IO.

Standard: RFC 9112 (https://www.rfc-editor.org/rfc/rfc9112). Ours because FCM is a hot path: a push costs less than half
of the CPU time that it cost through aiohttp (`make bench` has the provider's row).
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from expo_gateway.errors import SettingsError

# Our choice: Google's have about 500 bytes.
MAX_HEAD_BYTES = 16_384
# Our choice: FCM's answers have a few hundred bytes, its longest errors some 2 KB.
MAX_BODY_BYTES = 65_536
# Our choice: a chunk's size in hex with its extensions, which nobody uses.
MAX_CHUNK_LINE_BYTES = 256

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: |$)")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;|$)")


class NotHttp(Exception):
    """What came is no answer of HTTP/1.1: not even its status is known, and the connection is of no use any more."""


class OddFraming(Exception):
    """Where the body begins or ends can't be told: what is known is the status, if that came."""


class BrokenOff(Exception):
    """Thrown into the reading of an answer: no more bytes will come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]
    """Names in lower case; the values of a repeated name are joined by ", "."""
    body: bytes | None
    """The first MAX_BODY_BYTES of it. None: it broke off, or can't be told from what follows."""
    keeps_alive: bool
    """The connection may carry another request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostTarget:
    """Where all POSTs of one client go."""

    host: str
    port: int
    is_tls: bool
    head: bytes
    """The request line and the headers that are the same every time."""

    def request(self, body: bytes, *, bearer: str) -> bytes:
        """`bearer` is printable ASCII."""
        return b"%bAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (
            self.head,
            bearer.encode("ascii"),
            len(body),
            body,
        )


def post_target(url: str) -> PostTarget:
    """SettingsError when it is no URL in ASCII with http or https and a host."""
    try:
        parts = urlsplit(url)
        is_tls, host = parts.scheme == "https", parts.hostname
        port = parts.port or (443 if is_tls else 80)
    except ValueError as error:
        raise SettingsError(f"want a URL, got {url!r}") from error
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch("[!-~]+", url):
        raise SettingsError(f"want a URL like https://fcm.googleapis.com, got {url!r}")
    named = f"[{host}]" if ":" in host else host
    named = named if parts.port is None else f"{named}:{parts.port}"
    # Identity: unpacked answers could be of any size.
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {named}\r\nUser-Agent: expo-gateway\r\n"
        "Accept-Encoding: identity\r\nContent-Type: application/json\r\n"
    )
    return PostTarget(host=host, port=port, is_tls=is_tls, head=head.encode("ascii"))


class AnswerReader:
    """Reads the answer to one POST."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._reading = self._answer()
        next(self._reading)

    def feed(self, received: bytes) -> HttpAnswer | None:
        """The answer, once no more of it can be read; then the reader is used up. NotHttp when it can't become one."""
        self._buffer += received
        try:
            next(self._reading)
        except StopIteration as read:
            answer: HttpAnswer = read.value
            return answer
        return None

    def end(self) -> HttpAnswer | None:
        """No more will come: the answer as far as it is known, None when not even its status is. Once, instead of
        `feed`."""
        try:
            self._reading.throw(BrokenOff)
        except StopIteration as read:
            answer: HttpAnswer = read.value
            return answer
        except BrokenOff:
            return None
        raise AssertionError("the reading of an answer went on after its end")

    # Each of these waits for bytes at its `yield`, and takes them from the buffer.

    def _answer(self) -> Generator[None, None, HttpAnswer]:
        head: Head | None = None
        try:
            while head is None or head.status < 200:  # interim: the answer is yet to come (RFC 9110, 15.2)
                head = read_head((yield from self._until(b"\r\n\r\n", MAX_HEAD_BYTES)))
            body, is_whole = yield from self._body(head)
        except (BrokenOff, OddFraming) as error:
            return self._status_alone(head, error)
        keeps_alive = head.keeps_alive and is_whole and not self._buffer
        return HttpAnswer(status=head.status, headers=head.headers, body=body, keeps_alive=keeps_alive)

    def _status_alone(self, head: "Head | None", error: Exception) -> HttpAnswer:
        """The status says whether the push was taken, whatever is wrong with the rest. Raises when there is none."""
        if head is not None and head.status >= 200:
            return HttpAnswer(status=head.status, headers=head.headers, body=None, keeps_alive=False)
        line, is_whole, _ = bytes(self._buffer[:MAX_HEAD_BYTES]).partition(b"\r\n")
        found = _STATUS_LINE.match(line.decode("latin-1")) if is_whole else None
        if found is not None and int(found[2]) >= 200:
            return HttpAnswer(status=int(found[2]), headers={}, body=None, keeps_alive=False)
        raise error if isinstance(error, BrokenOff) else NotHttp(str(error))

    def _body(self, head: "Head") -> Generator[None, None, tuple[bytes, bool]]:
        """The body, and whether that is all of it: RFC 9112, 6.3."""
        if head.status in (204, 304):
            return b"", True
        if head.oddity:
            raise OddFraming(head.oddity)
        if head.is_chunked:
            return (yield from self._chunks())
        if head.length_bytes is None:
            return (yield from self._rest()), False
        body = yield from self._exactly(min(head.length_bytes, MAX_BODY_BYTES))
        return body, head.length_bytes <= MAX_BODY_BYTES

    def _chunks(self) -> Generator[None, None, tuple[bytes, bool]]:
        """RFC 9112, 7.1."""
        body = bytearray()
        while size_bytes := _chunk_size_bytes((yield from self._until(b"\r\n", MAX_CHUNK_LINE_BYTES))):
            room_bytes = MAX_BODY_BYTES - len(body)
            if size_bytes > room_bytes:
                body += yield from self._exactly(room_bytes)
                return bytes(body), False
            body += yield from self._exactly(size_bytes)
            if (yield from self._exactly(2)) != b"\r\n":
                raise OddFraming("a chunk is longer than it said")
        while (yield from self._until(b"\r\n", MAX_HEAD_BYTES)):
            pass  # trailers
        return bytes(body), True

    def _rest(self) -> Generator[None, None, bytes]:
        """All until the end of the connection: without a length that is the end of the body."""
        try:
            while len(self._buffer) < MAX_BODY_BYTES:
                yield
        except BrokenOff:
            pass
        return bytes(self._buffer[:MAX_BODY_BYTES])

    def _until(self, mark: bytes, most_bytes: int) -> Generator[None, None, bytes]:
        """What stands before the mark, which goes too."""
        while (at := self._buffer.find(mark)) < 0:
            if len(self._buffer) > most_bytes:
                raise OddFraming(f"no end of a line or head within {most_bytes} bytes")
            yield
        taken = bytes(self._buffer[:at])
        del self._buffer[: at + len(mark)]
        return taken

    def _exactly(self, size_bytes: int) -> Generator[None, None, bytes]:
        while len(self._buffer) < size_bytes:
            yield
        taken = bytes(self._buffer[:size_bytes])
        del self._buffer[:size_bytes]
        return taken


class Head(NamedTuple):
    """What stands before an answer's body, and what it says about that."""

    status: int
    headers: dict[str, str]
    length_bytes: int | None
    is_chunked: bool
    keeps_alive: bool
    oddity: str
    """Why the end of the body can't be known; "" when it can."""


def read_head(head: bytes) -> Head:
    """NotHttp unless it is one."""
    status_line, _, lines = head.decode("latin-1").partition("\r\n")
    found = _STATUS_LINE.match(status_line)
    if found is None:
        raise NotHttp("the first line is no status line of HTTP/1.1")
    headers = _read_headers(lines)
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    oddity = ""
    if coding is not None and coding.lower() != "chunked":
        oddity = "an unknown Transfer-Encoding"
    elif length is not None and not _LENGTH.fullmatch(length):
        oddity = "a Content-Length that is no number"
    says_close = "close" in headers.get("connection", "").lower()
    return Head(
        status=int(found[2]),
        headers=headers,
        length_bytes=None if length is None or oddity else int(length),
        is_chunked=coding is not None,
        # With both, somebody in between may see another end than we do (RFC 9112, 6.1).
        keeps_alive=found[1] == "1" and not says_close and (coding is None or length is None),
        oddity=oddity,
    )


def _read_headers(lines: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines.split("\r\n"):
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def is_taken(status: int) -> bool:
    """RFC 9110, 15.3: received, understood and accepted. Whatever the body is, to send again would deliver twice."""
    return 200 <= status < 300


def _chunk_size_bytes(line: bytes) -> int:
    found = _CHUNK_SIZE.match(line)
    if found is None:
        raise OddFraming("a chunk without its size")
    return int(found[1], 16)
