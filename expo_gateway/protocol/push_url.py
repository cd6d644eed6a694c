"""Where a registration's `push_url` may lead. Anybody with an access token registers one, and we post to it from inside
our network: OWASP's server-side request forgery. Pure: names are resolved elsewhere, and every address is judged.

https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

MAX_URL_CHARS: Final = 2048

STAYS_IN: Final = "an emulator sends nothing off this machine"

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,253}", re.ASCII)
# Addresses that stand for one of IPv4, behind a translator: RFC 6052. What is tunnelled (6to4, Teredo) is not reached.
_NAT64: Final = IPv6Network("64:ff9b::/96")
_TUNNELS: Final = (IPv6Network("2002::/16"), IPv6Network("2001::/32"))


class PushUrl(Struct, frozen=True, kw_only=True):
    """Where to post."""

    is_tls: bool
    host: str
    """Lower case; of an IPv6 address without brackets."""
    port: int
    target: str
    """Path and query."""

    @property
    def authority(self) -> str:
        """For the Host header, and for logs: the path may be a secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.is_tls else 80
        return host if self.port == usual else f"{host}:{self.port}"


class Allowed(Struct, frozen=True, kw_only=True):
    """What the operator allows beside public addresses: `home_assistant.push_url_allow`."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    """Name, and port; None: any."""
    networks: tuple[Network, ...] = ()

    def has_host(self, url: PushUrl) -> bool:
        return (url.host, None) in self.hosts or (url.host, url.port) in self.hosts

    def has_address(self, address: Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)


def read_allowed(entries: Sequence[str]) -> Allowed:
    """ValueError: one of them is no host, host with a port, address or network; says which and why."""
    hosts: set[tuple[str, int | None]] = set()
    networks: list[Network] = []
    for place, entry in enumerate(entries):
        network = _network(entry)
        if network is not None:
            networks.append(network)
            continue
        name, colon, port = entry.rpartition(":") if ":" in entry else (entry, "", "")
        name = name.strip("[]")
        if not (_NAME.fullmatch(name) or _network(name)) or (colon and not (port.isdecimal() and int(port) < 65536)):
            raise ValueError(
                f"[{place}]: got {entry!r}; wanted a host, a host with a port, or a network like 10.0.0.0/8"
            )
        hosts.add((name.lower(), int(port) if colon else None))
    return Allowed(hosts=frozenset(hosts), networks=tuple(networks))


def read_push_url(text: str) -> PushUrl:
    """ValueError: it is none that can be posted to. Says why, without the URL: its path may be a secret."""
    if len(text) > MAX_URL_CHARS or not _VISIBLE.fullmatch(text):
        raise ValueError(f"is longer than {MAX_URL_CHARS} characters, or has others than visible ASCII")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is no URL") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("begins with neither http:// nor https://")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("has no host, or a user")
    if not _NAME.fullmatch(parts.hostname) and _address(parts.hostname) is None:
        raise ValueError("has no host name or address that can be looked up")
    is_tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return PushUrl(is_tls=is_tls, host=parts.hostname, port=port or (443 if is_tls else 80), target=target)


def why_not_looked_up(url: PushUrl, allowed: Allowed, *, stays_in: bool) -> str:
    """Why its addresses are not even asked for: an emulator asks no name server about strangers. "": they are."""
    is_known = url.host == "localhost" or _address(url.host) is not None or allowed.has_host(url)
    # A name may lead into a network that is allowed.
    return "" if not stays_in or is_known or allowed.networks else STAYS_IN


def why_refused(url: PushUrl, address: str, allowed: Allowed, *, stays_in: bool) -> str:
    """Why nothing is sent to this address of the URL's host; "" when it is.

    `stays_in`: nothing leaves the machine but to what is allowed: an emulator.
    """
    found = _address(address)
    if found is None:
        return "its address can't be read"
    if allowed.has_host(url) or allowed.has_address(found):
        return ""
    if stays_in:
        return "" if found.is_loopback else STAYS_IN
    return "" if _is_public(found) else "its address is not public"


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (address.is_site_local or any(address in tunnel for tunnel in _TUNNELS)):
        return False
    # Reserved are among others what IPv4 left over, and translations of it.
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _address(text: str) -> Address | None:
    """The address that is really reached."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
