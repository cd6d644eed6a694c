"""`expo-gateway health`: is the gateway on this machine ready? For container engines and service managers.

Only the standard library is used: it runs every few seconds. No proxy of the environment has a say in it.
Exit codes: 0 ready; 1 not ready, or no answer; 2 wrong usage.
"""

import http.client
import os
import ssl
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import orjson
import typer

from expo_gateway.commands.connecting import CaFile, connecting
from expo_gateway.errors import ExpoGatewayError, SettingsError
from expo_gateway.settings import Server, load_settings

# Shorter than a probe's five seconds, longer than the two that the gateway gives its own checks.
ANSWER_S = 4.0
MAX_BODY_BYTES = 16_384
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    url: str
    ready: bool
    trouble: str = ""
    """Why it is not ready, or what came in place of an answer."""
    checks: dict[str, str] = field(default_factory=dict)
    """What the gateway says of its parts; "ok", or what is wrong."""


def health(
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The gateway to ask.  [default: this machine's, by its settings, with TLS or without]"
        ),
    ] = None,
    ca: CaFile = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="The settings, as for serve.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Ask a gateway whether it is ready: exit code 0 if it is, else 1."""
    if url is not None:
        gateway = connecting(url=url, token_file=None, token="", ca=ca)
        found = asked((gateway.url,), tls=gateway.tls() or ssl.create_default_context())
    else:
        server = load_settings(config=config, environ=os.environ, overrides={}).server
        found = asked(own_urls(server), tls=_any_certificate())
    if as_json:
        print(orjson.dumps(asdict(found)).decode())
        raise typer.Exit(0 if found.ready else 1)
    if not found.ready:
        raise ExpoGatewayError(f"{found.url} is not ready: {found.trouble}")
    print(f"{found.url} is ready")


def own_urls(server: Server) -> Sequence[str]:
    """Where a gateway with these settings is; TLS may have come by an option of serve. SettingsError: any port."""
    if server.port == 0:
        raise SettingsError("server.port: got 0, which is any free port; wanted --url, or the port")
    host = EVERYWHERE.get(server.host, server.host)
    host = f"[{host}]" if ":" in host else host
    schemes = ("https", "http") if server.tls or server.tls_certificate is not None else ("http", "https")
    return [f"{scheme}://{host}:{server.port}" for scheme in schemes]


def asked(urls: Sequence[str], *, tls: ssl.SSLContext) -> Health:
    """The first answer; else the first trouble. A port that speaks the other scheme closes, or says nonsense."""
    troubles = []
    for url in urls:
        try:
            return _ask(url, tls)
        except (ConnectionRefusedError, TimeoutError) as error:
            return Health(url=url, ready=False, trouble=_words(error))
        except (OSError, http.client.HTTPException) as error:
            troubles.append(Health(url=url, ready=False, trouble=_words(error)))
    return troubles[0]


def _ask(url: str, tls: ssl.SSLContext) -> Health:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = (
        http.client.HTTPSConnection(parts.hostname, parts.port, timeout=ANSWER_S, context=tls)
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_S)
    )
    try:
        connection.request("GET", f"{parts.path}/health/ready")
        response = connection.getresponse()
        return read_health(url, status=response.status, body=response.read(MAX_BODY_BYTES))
    finally:
        connection.close()


def read_health(url: str, *, status: int, body: bytes) -> Health:
    try:
        checks = {str(name): str(found) for name, found in orjson.loads(body)["checks"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return Health(url=url, ready=False, trouble=f"it answered {status}, and not as a gateway does; is --url right?")
    wrong = "; ".join(f"{name}: {found}" for name, found in checks.items() if found != "ok")
    ready = status == http.client.OK
    return Health(url=url, ready=ready, trouble="" if ready else wrong or f"it answered {status}", checks=checks)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_S:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); name its authority with --ca FILE"
    if isinstance(error, ssl.SSLError):
        return "it doesn't speak TLS as it should"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _any_certificate() -> ssl.SSLContext:
    """For this machine's own port: its certificate is for another name, and nothing secret is said or believed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
