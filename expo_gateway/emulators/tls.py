"""The emulators' TLS: where its three files are, and contexts made of them. Who makes the files: `authority.py`."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct


class EmulatorTls(Struct, frozen=True, kw_only=True):
    """The three PEM files, and contexts made of them. They are there once `ensure_certificates` has been."""

    ca_pem: Path
    server_pem: Path
    server_key: Path

    @classmethod
    def of(cls, directory: Path) -> "EmulatorTls":
        return cls(
            ca_pem=directory / "ca.pem", server_pem=directory / "server.pem", server_key=directory / "server.key"
        )

    def server_context(self, alpn_protocols: Sequence[str] = ("h2", "http/1.1")) -> ssl.SSLContext:
        """For listening. APNs takes ("h2",): Apple refuses HTTP/1.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server_pem, self.server_key)
        context.set_alpn_protocols(list(alpn_protocols))
        return context

    def client_context(self, alpn_protocols: Sequence[str] = ("h2",)) -> ssl.SSLContext:
        """For a client that trusts this authority and no other; as strict as Python 3.13's default on every version."""
        context = ssl.create_default_context(cafile=str(self.ca_pem))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(list(alpn_protocols))
        return context
