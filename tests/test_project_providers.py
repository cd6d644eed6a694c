"""The providers of real projects: one a credential, kept while it stays, drained when it is replaced."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from expo_gateway.emulators.faults import Slow
from expo_gateway.errors import SettingsError
from expo_gateway.project_files import configured_by
from expo_gateway.project_providers import RealProviders
from expo_gateway.project_settings import read_project_tables
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.device import Project, ProjectKind, project_id_of
from expo_gateway.protocol.project import ApnsCredential, ApnsKeyFile, ConfiguredProject
from expo_gateway.providers.base import Accepted, Rejected
from expo_gateway.settings import Providers
from tests.outside import TEAM_ID, Outside, open_outside, private_pem
from tests.providers.apns_scene import until
from tests.providers.scripted_apns import Received, ScriptedApns, accept

SHOP = Project(project_id=project_id_of("@acme/shop"), full_name="@acme/shop", kind=ProjectKind.REAL)


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    async with open_outside(tmp_path / "outside") as outside:
        yield outside


@pytest.fixture
def changed() -> list[str]:
    return []


@pytest.fixture
async def real(outside: Outside, changed: list[str]) -> AsyncIterator[RealProviders]:
    addresses = Providers(**{**outside.addresses, "ca_file": outside.tls.ca_pem})
    real = RealProviders(addresses=addresses, clock=time.time, on_change=changed.append)
    yield real
    await real.close()


def with_key(outside: Outside, key_id: str = "ABCDEFGHIJ") -> ConfiguredProject:
    pem = outside.new_apns_key(key_id).read_text()
    secret = ApnsKeyFile(key_id=key_id, team_id=TEAM_ID, private_key_pem=pem)
    return ConfiguredProject(project=SHOP, apns=(ApnsCredential(secret=secret),))


def request(**changes: object) -> ApnsRequest:
    fields: dict[str, object] = {
        "apns_id": "00000000-0000-7000-8000-000000000001",
        "device_token": "a1" * 32,
        "sandbox": False,
        "topic": "com.acme.shop",
        "push_type": "alert",
        "priority": 10,
        "expiration": None,
        "collapse_id": None,
        "payload": b'{"aps":{"alert":"hello"}}',
    }
    return ApnsRequest(**(fields | changes))  # type: ignore[arg-type]


async def test_a_replaced_credential_finishes_what_is_in_flight(
    real: RealProviders, outside: Outside, changed: list[str]
) -> None:
    real.use([with_key(outside)])
    old = real.of(SHOP).apns
    assert old is not None
    assert isinstance(await old.send(request()), Accepted)
    slow = outside.faults.force(Slow(delay_s=0.5), times=1)
    in_flight = asyncio.create_task(old.send(request()))
    await until(lambda: outside.faults.counts(slow.id).is_used_up)

    real.use([with_key(outside, "ROTATEDKEY")])

    assert not in_flight.done()
    new = real.of(SHOP).apns
    assert new is not None
    assert isinstance(await new.send(request()), Accepted)
    assert isinstance(await in_flight, Accepted)
    await until(lambda: outside.apns.connection_count == 1)
    assert changed == [SHOP.project_id]


async def test_a_credential_that_stays_keeps_its_connection(
    real: RealProviders, outside: Outside, changed: list[str]
) -> None:
    configured = with_key(outside)
    for requires_token in (False, True):
        real.use([replace(configured, requires_token=requires_token)])
        provider = real.of(SHOP).apns
        assert provider is not None
        assert isinstance(await provider.send(request()), Accepted)

    assert outside.apns.connection_count == 1
    assert changed == []


async def test_each_app_has_the_credential_that_serves_it(real: RealProviders, outside: Outside) -> None:
    one = with_key(outside)
    real.use([replace(one, apns=(replace(one.apns[0], bundle_ids=("com.acme.desk",)),))])
    provider = real.of(SHOP).apns
    assert provider is not None

    assert isinstance(await provider.send(request(topic="com.acme.desk")), Accepted)
    assert isinstance(await provider.send(request()), Rejected)


async def test_emulated_and_unknown_projects_have_no_real_providers(real: RealProviders, outside: Outside) -> None:
    real.use([replace(with_key(outside), project=replace(SHOP, kind=ProjectKind.EMULATED))])

    assert (real.of(SHOP).apns, real.of(SHOP).fcm) == (None, None)


async def test_a_certificate_says_who_we_are_without_a_provider_token(outside: Outside, tmp_path: Path) -> None:
    certificate, key = push_certificate(tmp_path)
    context = outside.tls.server_context(("h2",))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate)
    received: list[Received] = []

    def script(asked: Received) -> None:
        received.append(asked)
        accept(asked)

    apple = ScriptedApns(script, ssl_context=context)
    await apple.start()
    addresses = Providers(apns_host="127.0.0.1", apns_port=apple.port, ca_file=outside.tls.ca_pem)
    real = RealProviders(addresses=addresses, clock=time.time)
    try:
        real.use(configured(tmp_path, apns_certificate_file=certificate, apns_certificate_key_file=key))
        provider = real.of(SHOP).apns
        assert provider is not None
        assert isinstance(await provider.send(request()), Accepted)
    finally:
        await real.close()
        await apple.close()

    names = [str(name) for name in dict(received[0].headers)]
    assert "apns-topic" in names
    assert "authorization" not in names


def test_certificate_and_key_may_be_in_one_file(tmp_path: Path) -> None:
    certificate, key = push_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())

    (one,) = configured(tmp_path, apns_certificate_file=both)

    assert len(one.apns) == 1


def test_a_certificate_that_lapsed_is_refused(tmp_path: Path) -> None:
    certificate, key = push_certificate(tmp_path, days=-1)

    with pytest.raises(SettingsError, match=r"apns_certificate_file: got .*, which lapsed on 20"):
        configured(tmp_path, apns_certificate_file=certificate, apns_certificate_key_file=key)


def test_another_certificates_key_is_refused(tmp_path: Path) -> None:
    certificate, _ = push_certificate(tmp_path)
    other = tmp_path / "other.key"
    other.write_text(private_pem(ec.generate_private_key(ec.SECP256R1())))

    with pytest.raises(
        SettingsError, match=r"apns_certificate_key_file: got .*, without the certificate's private key"
    ):
        configured(tmp_path, apns_certificate_file=certificate, apns_certificate_key_file=other)
    with pytest.raises(SettingsError, match=r"apns_certificate_file: got .*, without the certificate's private key"):
        configured(tmp_path, apns_certificate_file=certificate)


def configured(directory: Path, **files: Path) -> list[ConfiguredProject]:
    table = {"full_name": SHOP.full_name, **{key: str(path) for key, path in files.items()}}
    return configured_by(read_project_tables(json.loads(json.dumps([table])), config=directory / "gateway.toml"))


def push_certificate(directory: Path, *, days: int = 30) -> tuple[Path, Path]:
    """Signed by itself, for `days` from now on."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Apple Push Services: com.acme.shop")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, key_file = directory / "push.pem", directory / "push.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_text(private_pem(key))
    return certificate, key_file
