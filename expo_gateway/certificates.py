"""The operator's own certificate for the gateway's TLS: read, judged, and read again when its files change.

Certificate programs (certbot, cert-manager) replace files under a running server. New connections get the new
certificate; those that are open keep what they have. A replacement that is of no use is logged, and the old one stays.
cryptography is imported by the first that is read: it costs a tenth of a start, and few have their own certificate.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from expo_gateway.errors import SettingsError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

log = logging.getLogger(__name__)

CERTIFICATE = "server.tls_certificate"
KEY = "server.tls_key"
# Our choice: two stat calls; a certificate is replaced days before the old one lapses.
LOOK_AGAIN_S = 5.0

Print = tuple[tuple[int, int, int], ...]
"""What tells a file from its replacement: inode, size and time of the last change, of both files."""


class OwnCertificate:
    """`context` serves the certificate and, after `reload_if_changed`, its replacement, to new connections."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        *,
        clock: Callable[[], float],
        alpn_protocols: Sequence[str] = ("h2", "http/1.1"),
    ) -> None:
        """Blocking. SettingsError, naming the setting: the files can't be used."""
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self._alpn_protocols = list(alpn_protocols)
        self._print = self._take_print()
        self._current = self.context = self._load()
        # OpenSSL asks at each handshake, also where the client names no server.
        self.context.sni_callback = self._choose

    def reload_if_changed(self) -> bool:
        """Look at the files; True when their certificate is now the one in use. Blocking: for a thread."""
        found = self._take_print()
        if found == self._print:
            return False
        self._print = found
        try:
            self._current = self._load()
        except SettingsError as error:
            log.warning("the changed certificate is of no use, the former one stays in use: %s", error)
            return False
        log.info("the certificate in %s was changed and is in use for new connections", self._certificate)
        return True

    async def follow(self, *, every_s: float) -> None:
        """Reload for ever."""
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.reload_if_changed)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _take_print(self) -> Print:
        """Links are followed: certbot and Kubernetes replace these."""
        return tuple(_print_of(path) for path in (self._certificate, self._key))

    def _load(self) -> ssl.SSLContext:
        leaf = _read_certificate(self._certificate)
        _check_key(self._key, leaf)
        trouble = lapse(leaf, now=self._clock())
        if trouble:
            raise SettingsError(
                f"{CERTIFICATE}: got {self._certificate}, which {trouble}; wanted one that is valid now"
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._certificate, self._key, password=b"")
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or error.strerror
            raise SettingsError(
                f"{CERTIFICATE}: got {self._certificate}, which OpenSSL can't serve with {self._key} ({reason}); "
                "wanted a PEM file with the server's certificate first and its issuers after it"
            ) from error
        context.set_alpn_protocols(self._alpn_protocols)
        return context


@asynccontextmanager
async def followed(own: OwnCertificate, *, every_s: float = LOOK_AGAIN_S) -> AsyncIterator[ssl.SSLContext]:
    """Its context; inside, changes are followed."""
    following = asyncio.create_task(own.follow(every_s=every_s), name="certificate")
    try:
        yield own.context
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


def load_own_certificate(
    certificate: Path | None, key: Path | None, *, clock: Callable[[], float]
) -> OwnCertificate | None:
    """None without one. Blocking. SettingsError: one of both is missing, or of no use."""
    if certificate is None and key is None:
        return None
    if key is None:
        raise SettingsError(f"{KEY}: got nothing beside {CERTIFICATE}; wanted the path of its private key")
    if certificate is None:
        raise SettingsError(f"{CERTIFICATE}: got nothing beside {KEY}; wanted the path of its certificate")
    return OwnCertificate(certificate, key, clock=clock)


def lapse(certificate: "Certificate", *, now: float) -> str:
    """What is wrong with its time, "" if nothing."""
    if now >= certificate.not_valid_after_utc.timestamp():
        return f"expired at {_shown(certificate.not_valid_after_utc)}"
    if now < certificate.not_valid_before_utc.timestamp():
        return f"is valid from {_shown(certificate.not_valid_before_utc)} only"
    return ""


def names_of(host: str) -> tuple[str, ...]:
    """What a certificate must name for clients that know us by the address we listen on; () for every address."""
    if host in ("", "0.0.0.0", "::"):
        return ()
    try:
        # Names beyond ASCII are in certificates as DNS has them, and IPv6 addresses have no zone.
        return (host.partition("%")[0].encode("idna").decode("ascii"),)
    except UnicodeError:
        return ()


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _print_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _read_certificate(path: Path) -> "Certificate":
    """The first one, which is the server's own."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(_read(path, CERTIFICATE, "a PEM certificate"))[0]
    except ValueError as error:
        raise SettingsError(f"{CERTIFICATE}: got {path}, which holds no PEM certificate; wanted one") from error


def _check_key(path: Path, leaf: "Certificate") -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    pem = _read(path, KEY, "a PEM private key")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise SettingsError(f"{KEY}: got {path}, which is encrypted; wanted a key without a passphrase") from error
    except ValueError as error:
        raise SettingsError(f"{KEY}: got {path}, which holds no PEM private key; wanted one") from error
    of_key, of_leaf = (
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for public in (key.public_key(), leaf.public_key())
    )
    if of_key != of_leaf:
        raise SettingsError(
            f"{KEY}: got {path}, which is not the key of the first certificate in {CERTIFICATE}; wanted that one's"
        )


def _read(path: Path, setting: str, wanted: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{setting}: got {path}, which can't be read ({error.strerror}); wanted {wanted}"
        ) from error
