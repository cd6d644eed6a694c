"""Is it the scheme of --url that is wrong: http:// to a port that speaks TLS, or https:// to one that doesn't?"""

import asyncio
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp

# Our choice: a port that speaks TLS answers its first message in a moment.
PROBE_S = 2.0
# OpenSSL's words for an answer that is no TLS; which of them depends on its version.
_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
}


async def wrong_scheme(url: str, error: Exception | None) -> str:
    """What to do about the scheme, "" when it is not what is wrong.

    `error` is what came of asking; None for an answer that is not a gateway's.
    """
    parts = urlsplit(url)
    if parts.scheme == "https":
        plain = error is not None and is_not_tls(error)
        return f"it doesn't speak TLS; give --url http://{parts.netloc}{parts.path}" if plain else ""
    if isinstance(error, aiohttp.ClientConnectorError | TimeoutError):
        return ""
    if parts.hostname and await _speaks_tls(parts.hostname, parts.port or 80):
        return f"it speaks TLS; give --url https://{parts.netloc}{parts.path}"
    return ""


def is_not_tls(error: Exception) -> bool:
    """Whether a handshake failed because the other side spoke something else."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether it shakes hands. Nothing is sent inside, so nobody's certificate matters."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
    return True
