"""The emulators' certificates: what they cover, when they are renewed, and that a strict client accepts them."""

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from expo_gateway.emulators.authority import SERVED_NAMES, ensure_certificates
from expo_gateway.emulators.tls import EmulatorTls

DAY_S = 86400.0


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, *, name: str) -> tuple[str | None, str | None]:
    """(TLS version, ALPN protocol) of one handshake between the two over a socket pair."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.settimeout(5)

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:  # the client refused us; it tells
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as stream:
            return stream.version(), stream.selected_alpn_protocol()
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("name", SERVED_NAMES)
def test_a_strict_client_accepts_every_served_name(emulator_tls: EmulatorTls, name: str) -> None:
    version, alpn = handshake(emulator_tls.server_context(("h2",)), emulator_tls.client_context(), name=name)

    assert (version, alpn) == ("TLSv1.3", "h2")


def test_a_name_that_is_not_served_is_refused(emulator_tls: EmulatorTls) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(emulator_tls.server_context(), emulator_tls.client_context(), name="example.com")


def test_an_extra_name_is_served(tmp_path: Path) -> None:
    tls = ensure_certificates(tmp_path, extra_names=("gateway.internal", "10.0.0.7"))

    for name in ("gateway.internal", "10.0.0.7"):
        version, _ = handshake(tls.server_context(), tls.client_context(), name=name)
        assert version == "TLSv1.3"


def test_tls_1_1_is_refused(emulator_tls: EmulatorTls) -> None:
    assert emulator_tls.server_context().minimum_version is ssl.TLSVersion.TLSv1_2
    assert emulator_tls.client_context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_client_with_http_1_only_gets_http_1_where_it_is_offered(emulator_tls: EmulatorTls) -> None:
    client = emulator_tls.client_context(("http/1.1",))

    assert handshake(emulator_tls.server_context(), client, name="localhost")[1] == "http/1.1"
    assert handshake(emulator_tls.server_context(("h2",)), client, name="localhost")[1] is None


def test_the_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    tls = ensure_certificates(tmp_path)

    assert tls.server_key.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "ca.pem", "server.key", "server.pem"]


@pytest.mark.parametrize("pem", ["ca_pem", "server_pem"])
def test_the_certificates_have_the_extensions_of_rfc_5280(emulator_tls: EmulatorTls, pem: str) -> None:
    certificate = x509.load_pem_x509_certificate(getattr(emulator_tls, pem).read_bytes())
    extensions = {extension.oid: extension.critical for extension in certificate.extensions}

    assert extensions[ExtensionOID.BASIC_CONSTRAINTS] is True
    assert extensions[ExtensionOID.KEY_USAGE] is True
    assert extensions[ExtensionOID.SUBJECT_KEY_IDENTIFIER] is False
    assert extensions[ExtensionOID.AUTHORITY_KEY_IDENTIFIER] is False


def contents(tls: EmulatorTls) -> tuple[bytes, ...]:
    return tls.ca_pem.read_bytes(), tls.server_pem.read_bytes(), tls.server_key.read_bytes()


def test_certificates_that_are_still_valid_are_reused(tmp_path: Path) -> None:
    before = contents(ensure_certificates(tmp_path))

    assert contents(ensure_certificates(tmp_path)) == before


def test_certificates_about_to_lapse_are_replaced(tmp_path: Path) -> None:
    before = contents(ensure_certificates(tmp_path, clock=lambda: time.time() - 359 * DAY_S))

    assert set(contents(ensure_certificates(tmp_path))).isdisjoint(before)


def test_a_name_that_is_missing_replaces_the_certificates(tmp_path: Path) -> None:
    before = contents(ensure_certificates(tmp_path))

    assert set(contents(ensure_certificates(tmp_path, extra_names=("gateway.internal",)))).isdisjoint(before)


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
@pytest.mark.parametrize("spoil", ["missing", "garbage", "of another set"])
def test_a_set_that_does_not_fit_together_is_replaced(tmp_path: Path, name: str, spoil: str) -> None:
    ensure_certificates(tmp_path / "a")
    other = ensure_certificates(tmp_path / "b")
    if spoil == "missing":
        (tmp_path / "a" / name).unlink()
    else:
        foreign = (other.ca_pem.parent / name).read_bytes()
        (tmp_path / "a" / name).write_bytes(b"not PEM" if spoil == "garbage" else foreign)

    tls = ensure_certificates(tmp_path / "a")

    assert (tmp_path / "a" / name).read_bytes() not in (b"not PEM", (tmp_path / "b" / name).read_bytes())
    handshake(tls.server_context(), tls.client_context(), name="localhost")
