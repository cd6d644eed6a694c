"""Client certificates as APNs checks them: in the TLS handshake, and then each request against what they are good for.

Source: Apple, "Establishing a certificate-based connection to APNs",
https://developer.apple.com/documentation/usernotifications/establishing-a-certificate-based-connection-to-apns
"""

import hashlib
import ssl
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from expo_gateway.emulators.apns_answers import ApnsReason
from expo_gateway.emulators.apns_provider_tokens import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedCertificate:
    """What a connection's certificate is good for. It counts in place of a provider token."""

    environment: Environment | None = None
    """None: both."""
    topics: frozenset[str] | None = None
    """Bundle ids; None: any."""


class TrustedCertificates:
    """Those that were made known. Until there is one, clients are not asked for certificates at all.

    From then on a client may show one; TLS refuses those that are unknown or have lapsed, as Apple does. `ssl_context`
    belongs to the emulator alone: it is changed.
    """

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        self._ssl_context = ssl_context
        self._known: dict[bytes, TrustedCertificate] = {}

    def trust(self, certificate_pem: str | bytes, *, certificate: TrustedCertificate) -> None:
        """Accept this one from now on. ValueError unless there is a certificate in the PEM; its first one counts."""
        pem = certificate_pem.encode() if isinstance(certificate_pem, str) else certificate_pem
        der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
        self._ssl_context.load_verify_locations(cadata=der)
        # The certificate itself is the anchor: nobody has Apple's authority.
        self._ssl_context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._ssl_context.verify_mode = ssl.CERT_OPTIONAL
        self._known[_fingerprint(der)] = certificate

    def read(self, der: bytes | None) -> TrustedCertificate | ApnsReason | None:
        """What the certificate that TLS let through is good for; None when the client showed none."""
        if not der:
            return None
        # TLS also lets through what a known certificate has signed.
        return self._known.get(_fingerprint(der), ApnsReason.BAD_CERTIFICATE)


def _fingerprint(der: bytes) -> bytes:
    return hashlib.sha256(der).digest()
