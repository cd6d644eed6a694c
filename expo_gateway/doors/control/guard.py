"""Who may use the control API. It shows tokens and messages and can break things, so it is not for every web page.

Open: whoever reaches us on loopback, while nothing is real. A web page in that machine's browser reaches us too, so
the Host must be ours (a page can point a name of its own at 127.0.0.1: DNS rebinding) and the request must not come
from another site. Else: a bearer token that the operator set. No answer ever carries a CORS header.
"""

import hmac
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from expo_gateway.doors.control.answers import ControlRefused

# Fetch Metadata: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
_OUR_SITES: Final = frozenset({"same-origin", "none"})
_OFF: Final = (
    "the control API is open only on loopback and without real projects; "
    "set control.token (EXPO_GATEWAY_CONTROL__TOKEN) and send it as a bearer token"
)


class Guard:
    """`is_open`: asked at every request, since projects become real. `names`: host names that are ours beside
    loopback's. `token` None: none was set."""

    def __init__(self, *, is_open: Callable[[], bool], token: str | None = None, names: Iterable[str] = ()) -> None:
        self._is_open = is_open
        self._token = token.encode() if token else None
        self._names = frozenset(name.lower().rstrip(".") for name in names)

    def check(self, raw_headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Raises ControlRefused: 401 without the token, 403 otherwise."""
        headers = _joined(raw_headers)
        host = headers.get("host", "")
        _refuse_other_sites(headers, host)
        if not self._is_open():
            self._check_token(headers.get("authorization", ""))
        elif not self._is_ours(_name_of(host)):
            wanted = "localhost, a loopback address or the name that the gateway listens on"
            raise ControlRefused(403, f"the request is for a host that is not ours; wanted {wanted}")

    def _check_token(self, authorization: str) -> None:
        if self._token is None:
            raise ControlRefused(403, _OFF)
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
            challenge = [(b"www-authenticate", b"Bearer")]
            raise ControlRefused(401, "the control token is wanted, as a bearer token", headers=challenge)

    def _is_ours(self, name: str) -> bool:
        return name == "localhost" or name in self._names or _is_loopback(name)


def is_loopback(host: str) -> bool:
    """Whether a server that listens on this host is reached from its machine only."""
    return host.lower() == "localhost" or _is_loopback(host.strip("[]"))


def _refuse_other_sites(headers: Mapping[str, str], host: str) -> None:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site.strip().lower() not in _OUR_SITES:
        raise ControlRefused(403, "the request comes from another site")
    if origin is not None and _netloc(origin) != host.lower():
        raise ControlRefused(403, "the request comes from another origin")


def _joined(raw_headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Two of a header that counts are taken for one that is wrong."""
    found: dict[str, str] = {}
    for raw_name, raw_value in raw_headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _netloc(origin: str) -> str | None:
    """None: of an origin that names no host, as `null`."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _name_of(host: str) -> str:
    """`[::1]:8080` -> `::1`; "" when it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
