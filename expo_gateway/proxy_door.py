"""Which hosts the forward proxy plays: exp.host is the gateway and, on request, Apple's and Google's are emulators.

    HTTPS_PROXY=http://127.0.0.1:PORT NODE_EXTRA_CA_CERTS=ca.pem REQUESTS_CA_BUNDLE=ca.pem …

Without a proxy, a hosts entry does the same for one machine: `127.0.0.1 exp.host` in /etc/hosts, and
`expo-gateway serve --tls --port 443`, whose certificate names exp.host.
"""

import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.emulated_ports import Addresses
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.forward_proxy import LOOPBACK, Port, Target, forbidden, proxying
from expo_gateway.listener import Served, bind, close_all
from expo_gateway.settings import Settings

HTTPS = 443
EXPO: Target = ("exp.host", HTTPS)
# 2197 is the other port that Apple offers.
# https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
APNS: tuple[Target, ...] = tuple(
    (host, port)
    for host in ("api.push.apple.com", "api.sandbox.push.apple.com", "api.development.push.apple.com")
    for port in (HTTPS, 2197)
)
FCM: tuple[Target, ...] = (("fcm.googleapis.com", HTTPS), ("oauth2.googleapis.com", HTTPS))

# Some clients send a whole https:// URL to a proxy instead of a CONNECT (axios): it comes to the same here.
_EXPO_URL = re.compile(rb"https?://exp\.host\.?(:80|:443)?(?=[/?]|$)", re.IGNORECASE)


@asynccontextmanager
async def open_proxy_door(
    app: ASGIApp, settings: Settings, *, sockets: Sequence[socket.socket], addresses: Addresses, tls: EmulatorTls
) -> AsyncIterator[tuple[Served, ...]]:
    """The gateway's listeners at the inner end of the tunnels, to be served inside, so that they are drained too.

    `sockets` are where clients come; `addresses` are the emulators', with FCM's second entrance if it is asked for.
    """
    async with AsyncExitStack() as stack:
        over_tls, plain = (bind(LOOPBACK, 0)[0] for _ in range(2))
        stack.callback(close_all, (over_tls, plain))
        tunnels = {EXPO: _port(over_tls)}
        if settings.proxy.providers:
            tunnels |= dict.fromkeys(APNS, addresses.apns_port)
            if addresses.fcm_tls_port is not None:
                tunnels |= dict.fromkeys(FCM, addresses.fcm_tls_port)
        await stack.enter_async_context(proxying(sockets=sockets, tunnels=tunnels, plain_port=_port(plain)))
        yield (
            Served(app=app, sock=over_tls, tls=tls.server_context()),
            Served(app=asked_of_a_proxy(app, tunnels), sock=plain, tls=None),
        )


def asked_of_a_proxy(app: ASGIApp, tunnels: Mapping[Target, Port]) -> ASGIApp:
    """Serves whole URLs of exp.host, as clients send them to a proxy, and refuses other targets.

    Each request of a connection is judged. RFC 9112, section 3.2.2.
    """

    async def judged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_expos(scope.get("raw_path") or b""):
            await app(scope, receive, send)
        elif scope["type"] == "http":
            asked = (scope.get("raw_path") or b"").decode("latin-1")
            refusal = PlainTextResponse(f"{forbidden(asked, tunnels).text}\n", status_code=403)
            await refusal(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})

    return judged


def is_expos(target: bytes) -> bool:
    """Whether a request's target is a whole URL of exp.host."""
    return _EXPO_URL.match(target) is not None


def _port(sock: socket.socket) -> Port:
    return int(sock.getsockname()[1])
