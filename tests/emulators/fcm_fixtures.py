"""What the tests of the FCM emulator and its OAuth endpoint share: a clock, a key, assertions, a running emulator."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from expo_gateway.emulators.fault_rules import Faults
from expo_gateway.emulators.fcm import MAX_BODY_BYTES, FcmEmulator
from expo_gateway.emulators.inbox import Inbox
from expo_gateway.emulators.oauth import GRANT_TYPE, OAuth
from expo_gateway.emulators.virtual_devices import VirtualDevices
from expo_gateway.emulators.world import EmulatedWorld

FIXTURES = Path(__file__).parents[2] / "fixtures" / "fcm"
DEVICE_TOKEN = "dGVzdA_xQ:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"
PROJECT = "demo-project"
MESSAGING_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
CLIENT_EMAIL = f"firebase-adminsdk@{PROJECT}.iam.gserviceaccount.com"
MESSAGE = {"message": {"token": DEVICE_TOKEN, "data": {"body": "{}"}}}
HEADERS = {"Authorization": "Bearer ya29.anything", "Content-Type": "application/json"}
TIMEOUT = aiohttp.ClientTimeout(total=5)
KEY_ID = "0123456789abcdef0123456789abcdef01234567"


def cases(name: str, key: str) -> list[Any]:
    """The list under `key` of fixtures/fcm/<name>.json."""
    listed = json.loads((FIXTURES / f"{name}.json").read_text())[key]
    assert isinstance(listed, list)
    return listed


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: float = 1_760_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class SigningKey:
    private_pem: str
    public_pem: str


def make_signing_key() -> SigningKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey(private.decode(), public.decode())


@dataclass
class Assertion:
    """A valid assertion; a test spoils one thing."""

    key: SigningKey
    now: float
    claims: dict[str, Any] = field(init=False)
    headers: dict[str, Any] = field(default_factory=lambda: {"kid": KEY_ID})

    def __post_init__(self) -> None:
        self.claims = {
            "iss": CLIENT_EMAIL,
            "scope": MESSAGING_SCOPE,
            "aud": "https://oauth2.googleapis.com/token",
            "iat": int(self.now),
            "exp": int(self.now) + 3600,
        }

    def sign(self) -> str:
        return jwt.encode(self.claims, self.key.private_pem, algorithm="RS256", headers=self.headers)

    def form(self) -> bytes:
        return form(GRANT_TYPE, self.sign())


def form(grant_type: str, assertion: str) -> bytes:
    return urlencode({"grant_type": grant_type, "assertion": assertion}).encode()


@dataclass(kw_only=True)
class World:
    """One emulator with all that it was given."""

    clock: Clock
    inbox: Inbox
    devices: VirtualDevices
    faults: Faults
    oauth: OAuth
    fcm: FcmEmulator

    @property
    def send_url(self) -> str:
        return f"{self.fcm.url}/v1/projects/{PROJECT}/messages:send"


def make_world(*, max_body_bytes: int = MAX_BODY_BYTES) -> World:
    clock, inbox, devices, faults = Clock(), Inbox(), VirtualDevices(), Faults()
    oauth = OAuth(clock=clock)
    emulated = EmulatedWorld(clock=clock, inbox=inbox, fcm_devices=devices, faults=faults)
    fcm = FcmEmulator(world=emulated, oauth=oauth, max_body_bytes=max_body_bytes)
    return World(clock=clock, inbox=inbox, devices=devices, faults=faults, oauth=oauth, fcm=fcm)


@asynccontextmanager
async def running_world(*, max_body_bytes: int = MAX_BODY_BYTES) -> AsyncIterator[World]:
    world = make_world(max_body_bytes=max_body_bytes)
    await world.fcm.start()
    try:
        yield world
    finally:
        await world.fcm.close()


async def send(
    client: aiohttp.ClientSession, world: World, body: object = MESSAGE, headers: dict[str, str] = HEADERS
) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client.post(world.send_url, data=content, headers=headers) as response:
        return response.status, await response.json()
