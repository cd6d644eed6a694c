"""Options of the commands that ask a gateway: where it is, whom it trusts, who asks, what is read."""

import re
import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from expo_gateway.errors import SettingsError

DEFAULT_URL = "http://127.0.0.1:8080"
MAX_TOKEN_BYTES = 16 * 1024

Url = Annotated[str, typer.Option(metavar="URL", envvar="EXPO_BASE_URL", show_envvar=True, help="The gateway to ask.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token", metavar="FILE", help="Read the access token from this file.  [default: EXPO_ACCESS_TOKEN's value]"
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option("--ca", metavar="FILE", help="Trust the authority in this PEM file; for a gateway with --tls."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout, the summary last.")]


class Format(StrEnum):
    """Of the files that `send` reads."""

    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    url: str
    """http or https, without a slash at the end."""
    token: str = field(repr=False)
    """The access token; "" for none."""
    ca: Path | None

    def tls(self) -> ssl.SSLContext | None:
        """None: as the system trusts."""
        if self.ca is None:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"--ca: got {self.ca}, which is no PEM file of certificates ({error})") from error


def connecting(*, url: str, token_file: Path | None, token: str, ca: Path | None) -> Connecting:
    """Check the options. SettingsError: one of them is wrong; its message never shows the token."""
    return Connecting(url=_base_url(url), token=_token(token_file) if token_file is not None else _clean(token), ca=ca)


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.username
    except ValueError:
        fine = False
    if not fine:
        raise SettingsError(f"--url: got {url!r}; wanted the gateway's address, as in {DEFAULT_URL}")
    # Up to the API's own path, which is what people have at hand: http://localhost:8080/--/api/v2/push/send
    return re.split(r"[?#]|/--(?:/|$)", url, maxsplit=1)[0].rstrip("/")


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            token = file.read(MAX_TOKEN_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        # Not what was given: somebody may have given the token itself.
        raise SettingsError("--token: wanted a readable file that holds the access token and nothing else") from error
    if not token.strip():
        raise SettingsError("--token: the file is empty; wanted one with the access token in it")
    return _clean(token)


def _clean(token: str) -> str:
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError("the access token (--token, EXPO_ACCESS_TOKEN) has spaces, line ends or other than ASCII")
    return token
