"""Ending a connection without a word."""

import asyncio
import os
import socket
import struct

# SO_LINGER with no time left: close() sends RST and drops what is unsent (POSIX, struct linger).
_NO_LINGER = struct.pack("ii", 1, 0)


def cut(transport: asyncio.WriteTransport, *, reset: bool) -> None:
    """Abort; with `reset` the peer gets a TCP RST, without it what the kernel chooses, as a rule a FIN."""
    open_socket = transport.get_extra_info("socket")
    if reset and open_socket is not None and open_socket.fileno() >= 0:
        # A duplicate of the descriptor: transports, above all uvloop's, don't give their own socket out of hand.
        with socket.socket(fileno=os.dup(open_socket.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
