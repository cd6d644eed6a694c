import asyncio
import logging
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from expo_gateway.certificates import OwnCertificate, followed, lapse, load_own_certificate, names_of
from expo_gateway.emulated import open_emulated
from expo_gateway.emulated_ports import Addresses, bind_emulators
from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.errors import SettingsError
from tests.running import command, gateway
from tests.served import WAIT_S, Played, played

NOW = 1_760_000_000.0
DAY_S = 86_400.0
NAME = "push.example.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A certificate that signs itself, and its key, as an operator would bring them."""

    certificate: Path
    key: Path

    def write(
        self,
        *,
        serial: int = 1,
        valid_from: float = NOW - DAY_S,
        valid_until: float = NOW + DAY_S,
        passphrase: bytes | None = None,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
        self._replace(self.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        certificate = _certificate(key, serial=serial, valid_from=valid_from, valid_until=valid_until)
        self._replace(self.certificate, certificate.public_bytes(Encoding.PEM))

    def _replace(self, path: Path, content: bytes) -> None:
        draft = path.with_suffix(".new")
        draft.write_bytes(content)
        draft.replace(path)

    def load(self) -> OwnCertificate:
        return OwnCertificate(self.certificate, self.key, clock=lambda: NOW)


def _certificate(
    key: ec.EllipticCurvePrivateKey, *, serial: int, valid_from: float, valid_until: float
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    public_key = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(datetime.fromtimestamp(valid_from, UTC))
        .not_valid_after(datetime.fromtimestamp(valid_until, UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(certificate=tmp_path / "server.pem", key=tmp_path / "server.key")
    files.write()
    return files


def serial_at(port: int) -> int:
    """The serial number of the certificate that a new connection gets."""
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as sock,
        unchecked.wrap_socket(sock, server_hostname=NAME) as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


# -- what is refused at the start -------------------------------------------------------------------------------------


def test_a_certificate_and_its_key_are_taken(files: Files) -> None:
    files.load()


def test_without_one_there_is_none() -> None:
    assert load_own_certificate(None, None, clock=lambda: NOW) is None


def test_a_certificate_without_its_key_names_the_setting_that_is_missing(files: Files) -> None:
    with pytest.raises(SettingsError, match=r"^server\.tls_key: got nothing .* wanted"):
        load_own_certificate(files.certificate, None, clock=lambda: NOW)


def test_a_key_without_its_certificate_names_the_setting_that_is_missing(files: Files) -> None:
    with pytest.raises(SettingsError, match=r"^server\.tls_certificate: got nothing .* wanted"):
        load_own_certificate(None, files.key, clock=lambda: NOW)


def test_a_certificate_that_is_not_there_is_named(files: Files) -> None:
    files.certificate.unlink()

    with pytest.raises(SettingsError, match=r"^server\.tls_certificate: got .*server\.pem, which can't be read"):
        files.load()


def test_a_key_that_may_not_be_read_is_named(files: Files) -> None:
    files.key.unlink()
    files.key.mkdir()

    with pytest.raises(SettingsError, match=r"^server\.tls_key: got .*server\.key, which can't be read"):
        files.load()


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_a_certificate_is_refused(files: Files, content: str) -> None:
    files.certificate.write_text(content)

    with pytest.raises(SettingsError, match=r"^server\.tls_certificate: got .*, which holds no PEM certificate"):
        files.load()


def test_a_file_without_a_key_is_refused_and_not_shown(files: Files) -> None:
    files.key.write_text("a-secret")

    with pytest.raises(SettingsError, match=r"^server\.tls_key: got .*, which holds no PEM private key") as refused:
        files.load()

    assert "a-secret" not in str(refused.value)


def test_a_key_under_a_passphrase_is_refused(files: Files) -> None:
    files.write(passphrase=b"open")

    with pytest.raises(SettingsError, match=r"^server\.tls_key: got .*, which is encrypted"):
        files.load()


def test_the_key_of_another_certificate_is_refused(files: Files) -> None:
    certificate = files.certificate.read_bytes()
    files.write()
    files.certificate.write_bytes(certificate)

    with pytest.raises(SettingsError, match=r"^server\.tls_key: got .*, which is not the key of the first certificate"):
        files.load()


def test_a_certificate_that_expired_is_refused(files: Files) -> None:
    files.write(valid_until=NOW - 1)

    with pytest.raises(SettingsError, match=r"^server\.tls_certificate: got .*, which expired at 2025-10-09 08:53 UTC"):
        files.load()


def test_a_certificate_is_judged_by_the_clock(files: Files) -> None:
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())

    assert lapse(certificate, now=NOW) == ""
    assert lapse(certificate, now=NOW + DAY_S) == "expired at 2025-10-10 08:53 UTC"
    assert lapse(certificate, now=NOW - DAY_S - 1) == "is valid from 2025-10-08 08:53 UTC only"


def test_a_certificate_that_openssl_does_not_serve_is_refused(files: Files) -> None:
    """What follows the server's own certificate is read by OpenSSL alone."""
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    files.certificate.write_text(files.certificate.read_text() + broken)

    with pytest.raises(SettingsError, match=r"^server\.tls_certificate: got "):
        files.load()


# -- what changes under a running server ------------------------------------------------------------------------------


async def test_a_new_certificate_is_for_new_connections_and_open_ones_go_on(files: Files) -> None:
    own = files.load()
    async with played(Played(), tls=own.context) as port:
        assert await asyncio.to_thread(serial_at, port) == 1
        async with httpx.AsyncClient(verify=_unchecked(), http2=True) as client:
            before = await client.get(f"https://127.0.0.1:{port}/")
            before_from = _own_address(before)
            files.write(serial=2)

            assert await asyncio.to_thread(own.reload_if_changed)
            assert await asyncio.to_thread(serial_at, port) == 2
            after = await client.get(f"https://127.0.0.1:{port}/")
            after_from = _own_address(after)

    assert (before.http_version, after.http_version) == ("HTTP/2", "HTTP/2")
    assert before_from == after_from


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
async def test_after_a_change_the_protocol_is_still_chosen_by_alpn(files: Files, http2: bool, version: str) -> None:
    own = files.load()
    files.write(serial=2)
    own.reload_if_changed()
    async with (
        played(Played(), tls=own.context) as port,
        httpx.AsyncClient(verify=_unchecked(), http2=http2) as client,
    ):
        answer = await client.get(f"https://127.0.0.1:{port}/")

    assert answer.http_version == version


def test_without_a_change_nothing_is_reloaded(files: Files) -> None:
    assert not files.load().reload_if_changed()


@pytest.mark.parametrize("spoilt", ["missing", "expired", "other key", "half written"])
async def test_a_change_that_is_of_no_use_is_logged_once_and_the_old_one_stays(
    files: Files, caplog: pytest.LogCaptureFixture, spoilt: str
) -> None:
    own = files.load()
    _spoil(files, spoilt)

    async with played(Played(), tls=own.context) as port:
        assert not own.reload_if_changed()
        assert not own.reload_if_changed()
        assert await asyncio.to_thread(serial_at, port) == 1
        [said] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert "of no use, the former one stays in use: server.tls_" in said

        files.write(serial=3)
        assert own.reload_if_changed()
        assert await asyncio.to_thread(serial_at, port) == 3


def _spoil(files: Files, how: str) -> None:
    if how == "missing":
        files.certificate.unlink()
    elif how == "expired":
        files.write(serial=2, valid_until=NOW - 1)
    elif how == "other key":
        certificate = files.certificate.read_bytes()
        files.write(serial=2)
        files.certificate.write_bytes(certificate)
    else:
        files.certificate.write_bytes(files.certificate.read_bytes()[:200])


def test_a_link_that_is_turned_to_another_file_is_a_change(files: Files, tmp_path: Path) -> None:
    """As certbot does it, and Kubernetes with mounted secrets."""
    link = Files(certificate=tmp_path / "live.pem", key=tmp_path / "live.key")
    link.certificate.symlink_to(files.certificate)
    link.key.symlink_to(files.key)
    own = link.load()
    renewed = Files(certificate=tmp_path / "renewed.pem", key=tmp_path / "renewed.key")
    renewed.write(serial=2)

    for old, new in ((link.certificate, renewed.certificate), (link.key, renewed.key)):
        old.unlink()
        old.symlink_to(new)

    assert own.reload_if_changed()


async def test_changes_are_followed_and_the_following_ends(files: Files) -> None:
    own = files.load()
    async with followed(own, every_s=0.01) as context, played(Played(), tls=context) as port:
        files.write(serial=2)
        async with asyncio.timeout(WAIT_S):
            while await asyncio.to_thread(serial_at, port) != 2:
                pass

    assert not [task for task in asyncio.all_tasks() if task.get_name() == "certificate"]


def _own_address(answer: httpx.Response) -> object:
    """The client's end of the connection that this came over."""
    return answer.extensions["network_stream"].get_extra_info("client_addr")


def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


# -- as the process serves it -----------------------------------------------------------------------------------------


def now() -> float:
    return datetime.now(UTC).timestamp()


@pytest.fixture
def valid_now(files: Files) -> Files:
    files.write(serial=7, valid_from=now() - DAY_S, valid_until=now() + DAY_S)
    return files


def test_the_gateway_serves_the_operators_certificate_and_says_where_the_emulators_authority_is(
    valid_now: Files,
) -> None:
    with gateway("--tls-certificate", str(valid_now.certificate), "--tls-key", str(valid_now.key)) as (_, ready):
        served = serial_at(int(ready["url"].rpartition(":")[2]))

    assert ready["url"].startswith("https://")
    assert served == 7
    assert list(ready) == ["event", "url", "apns", "fcm", "ca", "pid"]


def test_a_certificate_that_is_of_no_use_ends_the_start_with_exit_code_2(files: Files) -> None:
    ended = command("serve", "--tls-certificate", str(files.certificate), "--tls-key", str(files.key))

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"expo-gateway: server.tls_certificate: got {files.certificate}, which expired at ")


def test_the_authority_that_is_made_is_kept_with_the_data_and_names_the_host(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with gateway("--tls", "--data", str(data), "--host", "127.0.0.2") as (_, ready):
        made = Path(ready["ca"]).read_bytes()
        trust = ssl.create_default_context(cafile=ready["ca"])
        assert httpx.get(ready["url"] + "/health/live", verify=trust).status_code == 200
        assert ready["url"].startswith("https://127.0.0.2:")
    with gateway("--tls", "--data", str(data)) as (_, ready):
        assert httpx.get(ready["url"] + "/health/live", verify=trust).status_code == 200

    assert ready["ca"] == str(data / "tls" / "ca.pem")
    assert Path(ready["ca"]).read_bytes() == made
    assert os.stat(data / "tls" / "server.key").st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("0.0.0.0", ()),
        ("::", ()),
        ("127.0.0.1", ("127.0.0.1",)),
        ("fe80::1%eth0", ("fe80::1",)),
        ("gateway.internal", ("gateway.internal",)),
        ("bücher.example", ("xn--bcher-kva.example",)),
        ("a" * 80, ()),
    ],
)
def test_the_address_that_is_listened_on_is_a_name_of_the_certificate(host: str, names: tuple[str, ...]) -> None:
    assert names_of(host) == names


async def test_the_hosts_name_is_in_the_certificate_of_the_emulated_world(tmp_path: Path) -> None:
    sockets = bind_emulators(Addresses(apns_port=0, fcm_port=0))
    names = names_of("gateway.internal")
    async with open_emulated(tmp_path, clock=now, sockets=sockets, extra_names=names) as emulated:
        leaf = x509.load_pem_x509_certificate(emulated.tls.server_pem.read_bytes())
    held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert {"localhost", "exp.host", "gateway.internal"} <= set(held.get_values_for_type(x509.DNSName))


def test_an_authority_that_takes_anothers_place_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ensure_certificates(tmp_path)
    assert not caplog.records

    ensure_certificates(tmp_path, extra_names=("gateway.internal",))

    assert "ca.pem is new" in caplog.text
