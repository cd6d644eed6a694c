"""The emulators' certificates: an authority made on this machine and one certificate for every name of theirs.

Clients trust `ca.pem` and so reach the emulators under the providers' own names, with verification on.
Extensions follow RFC 5280, because Python 3.13 verifies with VERIFY_X509_STRICT.
"""

import ipaddress
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from expo_gateway.emulators.tls import EmulatorTls

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

SERVED_NAMES = (
    "localhost",
    "127.0.0.1",
    "::1",
    "exp.host",
    "api.push.apple.com",
    "api.sandbox.push.apple.com",
    "api.development.push.apple.com",
    "fcm.googleapis.com",
    "oauth2.googleapis.com",
)

# Our choice: long enough to be copied into a phone or an image, short enough to be forgotten.
VALID_S = 365 * 86400.0
# What is about to lapse during a long test run is replaced at start instead.
RENEW_BEFORE_S = 7 * 86400.0
# Machines that share a certificate (phone, container) may have a clock that is behind.
BACKDATED_S = 86400.0


def ensure_certificates(
    directory: Path, *, extra_names: Sequence[str] = (), clock: Callable[[], float] = time.time
) -> EmulatorTls:
    """The certificates in `directory`, made anew unless they cover the names and are valid for 7 more days.

    `extra_names` are host names or IP addresses beside SERVED_NAMES, for example a container's. Files: ca.pem,
    server.pem, server.key (0600). The authority's key is never written: nobody can sign with it afterwards, and
    renewing means trusting a new ca.pem. `clock` must be near the true time, or OpenSSL refuses the result.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tls = EmulatorTls.of(directory)
    names = tuple(dict.fromkeys((*SERVED_NAMES, *extra_names)))
    with _locked(directory):
        if not _is_usable(tls, names=names, now=clock()):
            if tls.ca_pem.exists():
                log.warning("%s is new, for a name or more time: who trusted the former one must trust it", tls.ca_pem)
            _make(tls, names=names, now=clock())
    return tls


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process at a time: pytest-xdist workers share a directory, and half of each one's files fits nobody."""
    if sys.platform == "win32":
        yield
        return
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_usable(tls: EmulatorTls, *, names: tuple[str, ...], now: float) -> bool:
    try:
        ca = x509.load_pem_x509_certificate(tls.ca_pem.read_bytes())
        leaf = x509.load_pem_x509_certificate(tls.server_pem.read_bytes())
        key = serialization.load_pem_private_key(tls.server_key.read_bytes(), password=None)
        leaf.verify_directly_issued_by(ca)
        names_held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    lapses_at = min(ca.not_valid_after_utc, leaf.not_valid_after_utc).timestamp()
    return (
        lapses_at > now + RENEW_BEFORE_S
        and key.public_key() == leaf.public_key()
        and set(_general_names(names)) <= set(names_held)
    )


def _make(tls: EmulatorTls, *, names: tuple[str, ...], now: float) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _ca_certificate(ca_key, now=now)
    server_key = ec.generate_private_key(ec.SECP256R1())
    leaf = _server_certificate(server_key.public_key(), names=names, ca=ca, ca_key=ca_key, now=now)
    _write(tls.ca_pem, ca.public_bytes(serialization.Encoding.PEM), mode=0o644)
    _write(tls.server_pem, leaf.public_bytes(serialization.Encoding.PEM), mode=0o644)
    _write(tls.server_key, _key_pem(server_key), mode=0o600)


def _ca_certificate(key: ec.EllipticCurvePrivateKey, *, now: float) -> x509.Certificate:
    name = _name("expo-gateway emulator CA")
    return (
        _builder(subject=name, issuer=name, public_key=key.public_key(), now=now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    public_key: ec.EllipticCurvePublicKey,
    *,
    names: tuple[str, ...],
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: float,
) -> x509.Certificate:
    return (
        _builder(subject=_name("localhost"), issuer=ca.subject, public_key=public_key, now=now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    *, subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: float
) -> x509.CertificateBuilder:
    made_at = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(made_at - timedelta(seconds=BACKDATED_S))
        .not_valid_after(made_at + timedelta(seconds=VALID_S))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Whole or not at all, and never readable by others in between."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    draft.replace(path)
