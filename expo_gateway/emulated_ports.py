"""Where the emulators listen: ports that are taken before anything else of theirs is there."""

import socket

from msgspec import Struct

LOOPBACK = "127.0.0.1"
# Our choice: those who come before the emulators are up wait in the kernel.
BACKLOG = 1024


class Addresses(Struct, frozen=True, kw_only=True):
    """Ports, on loopback. As a wish 0 is any free one."""

    apns_port: int
    fcm_port: int
    fcm_tls_port: int | None = None
    """FCM's second entrance, as Google has it; the first is plain."""

    @property
    def apns_url(self) -> str:
        return f"https://{LOOPBACK}:{self.apns_port}"

    @property
    def fcm_url(self) -> str:
        return f"http://{LOOPBACK}:{self.fcm_port}"

    @property
    def token_url(self) -> str:
        return f"{self.fcm_url}/token"


class EmulatorSockets(Struct, frozen=True, kw_only=True):
    """Listening, but nobody accepts yet."""

    apns: socket.socket
    fcm: socket.socket
    fcm_tls: socket.socket | None

    @property
    def addresses(self) -> Addresses:
        return Addresses(
            apns_port=_port(self.apns),
            fcm_port=_port(self.fcm),
            fcm_tls_port=_port(self.fcm_tls) if self.fcm_tls is not None else None,
        )

    def close(self) -> None:
        for sock in (self.apns, self.fcm, self.fcm_tls):
            if sock is not None:
                sock.close()


def bind_emulators(wanted: Addresses) -> EmulatorSockets:
    """OSError: a port is taken, or may not be."""
    bound: list[socket.socket] = []
    try:
        for port in (wanted.apns_port, wanted.fcm_port, wanted.fcm_tls_port):
            if port is not None:
                bound.append(_bound(port))
    except OSError:
        for sock in bound:
            sock.close()
        raise
    return EmulatorSockets(apns=bound[0], fcm=bound[1], fcm_tls=bound[2] if len(bound) > 2 else None)


def _bound(port: int) -> socket.socket:
    sock = socket.create_server((LOOPBACK, port), backlog=BACKLOG)
    sock.setblocking(False)
    return sock


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])
