"""What all connections of a listener go by."""

import asyncio
from time import time
from wsgiref.handlers import format_date_time

Headers = list[tuple[bytes, bytes]]


class Terms:
    """For one event loop. The listener sets them; connections read them."""

    def __init__(self, *, keep_alive_s: float, write_timeout_s: float) -> None:
        self.keep_alive_s = keep_alive_s
        self.write_timeout_s = write_timeout_s
        self.draining = False
        """No requests after those that are under way."""
        self.ended = asyncio.Event()
        """Idle connections close."""

    def http1_headers(self) -> Headers:
        """Of every answer over HTTP/1.1."""
        date = (b"date", format_date_time(time()).encode("ascii"))
        return [date, (b"connection", b"close")] if self.draining else [date]
