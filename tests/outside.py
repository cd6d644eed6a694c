"""Apple and Google for real projects: emulators that run elsewhere and refuse keys that they don't know, and the files
that an operator would have of them."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from expo_gateway.emulators.apns import ApnsEmulator
from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.emulators.fault_rules import Faults
from expo_gateway.emulators.fcm import FcmEmulator
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.emulators.oauth import OAuth
from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.emulators.world import EmulatedWorld

TEAM_ID = "TEAMTEAM12"
GOOGLE_PROJECT = "acme-shop-1234"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    apns: ApnsEmulator
    fcm: FcmEmulator
    oauth: OAuth
    world: EmulatedWorld
    tls: EmulatorTls
    directory: Path

    @property
    def inbox(self) -> Inbox:
        return self.world.inbox

    @property
    def faults(self) -> Faults:
        return self.world.faults

    @property
    def addresses(self) -> dict[str, Any]:
        """The settings section [providers]: nothing but the addresses differs from production."""
        return {
            "apns_host": "127.0.0.1",
            "apns_port": self.apns.port,
            "fcm_endpoint": self.fcm.url,
            "ca_file": str(self.tls.ca_pem),
        }

    def new_apns_key(self, key_id: str = "ABCDEFGHIJ") -> Path:
        """A .p8 file whose key Apple knows from now on."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.apns.trust_key(key_id=key_id, team_id=TEAM_ID, public_key_pem=public_pem(key))
        path = self.directory / f"AuthKey_{key_id}.p8"
        path.write_text(private_pem(key))
        return path

    def new_push_certificate(self, *, sandbox_only: bool = False) -> Path:
        """A .pem file with a push certificate that Apple knows from now on, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = push_certificate(key)
        self.apns.trust_certificate(certificate, environment="sandbox" if sandbox_only else None)
        path = self.directory / f"push-{'sandbox' if sandbox_only else 'both'}.pem"
        path.write_bytes(private_pem(key).encode() + certificate)
        return path

    def new_service_account(self, name: str = "push") -> Path:
        """The JSON of a service account that Google knows from now on."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        email = f"{name}@{GOOGLE_PROJECT}.iam.gserviceaccount.com"
        self.oauth.trust_service_account(
            client_email=email, private_key_id="k1", public_key_pem=public_pem(key), project_id=GOOGLE_PROJECT
        )
        path = self.directory / f"{name}.json"
        account = {
            "type": "service_account",
            "project_id": GOOGLE_PROJECT,
            "private_key_id": "k1",
            "private_key": private_pem(key),
            "client_email": email,
            "token_uri": self.fcm.token_url,
        }
        path.write_text(json.dumps(account))
        return path


@asynccontextmanager
async def open_outside(directory: Path) -> AsyncIterator[Outside]:
    tls = ensure_certificates(directory / "tls")
    world = EmulatedWorld(clock=time.time)
    oauth = OAuth(clock=time.time, known_accounts_only=True, known_tokens_only=True)
    apns = ApnsEmulator(
        world=world,
        ssl_context=tls.server_context(("h2",)),
        known_keys_only=True,
    )
    fcm = FcmEmulator(world=world, oauth=oauth)
    await apns.start()
    await fcm.start(tls=tls.server_context())
    try:
        yield Outside(apns=apns, fcm=fcm, oauth=oauth, world=world, tls=tls, directory=directory)
    finally:
        await apns.close()
        await fcm.close()


def push_certificate(
    key: ec.EllipticCurvePrivateKey, *, lapses_in_days: int = 30, signed_by: ec.EllipticCurvePrivateKey | None = None
) -> bytes:
    """As PEM, signed by itself or with another's key."""
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Apple Push Services: com.acme.shop")])
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Apple Push Services: com.acme.desk")])
    subject = issuer if signed_by is None else other
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer_name=issuer, subject_name=subject, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=lapses_in_days))
        .add_extension(x509.BasicConstraints(ca=signed_by is None, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signed_by or key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


def public_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
