"""Client certificates in place of provider tokens."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from expo_gateway.emulators.apns import ApnsEmulator
from tests.emulators.apns_client import BODY, TOPIC, ApnsTestClient, Response
from tests.emulators.apns_world import World
from tests.outside import private_pem, push_certificate

SANDBOX = "api.sandbox.push.apple.com"


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return push_certificate(key)


@pytest.fixture
def file(key: ec.EllipticCurvePrivateKey, pem: bytes, tmp_path: Path) -> Path:
    return written(tmp_path / "push.pem", key, pem)


def written(path: Path, key: ec.EllipticCurvePrivateKey, pem: bytes) -> Path:
    path.write_bytes(private_pem(key).encode() + pem)
    return path


@asynccontextmanager
async def client(world: World, emulator: ApnsEmulator, file: Path | None) -> AsyncIterator[ApnsTestClient]:
    context = world.tls.client_context()
    if file is not None:
        context.load_cert_chain(file)
    async with await ApnsTestClient.connect(emulator.port, context) as connected:
        yield connected


async def push(
    world: World, emulator: ApnsEmulator, file: Path | None, *, with_token: bool = False, **changes: str
) -> Response:
    headers = world.headers() | {f":{name}" if name == "authority" else name: text for name, text in changes.items()}
    if not with_token:
        del headers["authorization"]
    async with client(world, emulator, file) as connected:
        return await connected.request(headers, BODY)


async def test_a_certificate_that_is_trusted_needs_no_provider_token(apns_world: World, pem: bytes, file: Path) -> None:
    async with apns_world.apns(known_keys_only=True) as emulator:
        emulator.trust_certificate(pem)

        assert (await push(apns_world, emulator, file)).status == 200
        # Apple ignores the header then.
        assert (await push(apns_world, emulator, file, authorization="bearer nonsense", with_token=True)).status == 200


async def test_it_is_read_again_from_each_new_connection(apns_world: World, pem: bytes, file: Path) -> None:
    """One TLS context for both: the second connection may resume the session of the first."""
    context = apns_world.tls.client_context()
    context.load_cert_chain(file)
    headers = apns_world.headers()
    del headers["authorization"]
    async with apns_world.apns() as emulator:
        emulator.trust_certificate(pem)
        for _ in range(2):
            async with await ApnsTestClient.connect(emulator.port, context) as connected:
                assert (await connected.request(headers, BODY)).status == 200


async def test_beside_certificates_provider_tokens_count_as_before(apns_world: World, pem: bytes) -> None:
    async with apns_world.apns() as emulator:
        emulator.trust_certificate(pem)

        assert (await push(apns_world, emulator, None, with_token=True)).status == 200
        assert (await push(apns_world, emulator, None)).reason == "MissingProviderToken"


async def test_without_a_trusted_one_no_certificate_is_asked_for(apns_world: World, file: Path) -> None:
    async with apns_world.apns() as emulator:
        assert (await push(apns_world, emulator, file)).reason == "MissingProviderToken"


async def test_an_unknown_certificate_is_refused_by_tls(apns_world: World, file: Path) -> None:
    async with apns_world.apns() as emulator:
        emulator.trust_certificate(push_certificate(ec.generate_private_key(ec.SECP256R1())))

        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await push(apns_world, emulator, file)
        assert list(apns_world.inbox) == []


async def test_a_certificate_that_lapsed_is_refused_by_tls(
    apns_world: World, key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    lapsed = push_certificate(key, lapses_in_days=-1)
    file = written(tmp_path / "lapsed.pem", key, lapsed)
    async with apns_world.apns() as emulator:
        emulator.trust_certificate(lapsed)

        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await push(apns_world, emulator, file)
        assert list(apns_world.inbox) == []


async def test_what_a_trusted_one_has_signed_is_a_bad_certificate(
    apns_world: World, key: ec.EllipticCurvePrivateKey, pem: bytes, tmp_path: Path
) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    file = written(tmp_path / "other.pem", other, push_certificate(other, signed_by=key))
    async with apns_world.apns() as emulator:
        emulator.trust_certificate(pem)

        answer = await push(apns_world, emulator, file)

    assert (answer.status, answer.reason) == (403, "BadCertificate")


async def test_a_sandbox_certificate_is_refused_in_production(apns_world: World, pem: bytes, file: Path) -> None:
    async with apns_world.apns() as emulator:
        emulator.trust_certificate(pem, environment="sandbox")

        refused = await push(apns_world, emulator, file)
        accepted = await push(apns_world, emulator, file, authority=SANDBOX)

    assert (refused.status, refused.reason) == (403, "BadCertificateEnvironment")
    assert accepted.status == 200


async def test_another_apps_certificate_is_refused(apns_world: World, pem: bytes, file: Path) -> None:
    async with apns_world.apns() as emulator:
        emulator.trust_certificate(pem, topics=["com.example.other"])
        refused = await push(apns_world, emulator, file)
        emulator.trust_certificate(pem, topics=[TOPIC])
        accepted = await push(apns_world, emulator, file)

    assert (refused.status, refused.reason) == (400, "TopicDisallowed")
    assert accepted.status == 200


async def test_what_is_no_certificate_can_not_be_trusted(apns_world: World) -> None:
    async with apns_world.apns() as emulator:
        with pytest.raises(ValueError, match="PEM"):
            emulator.trust_certificate(apns_world.key.public_pem)
