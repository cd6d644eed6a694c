"""Other people's APNs clients, unmodified, against the emulator: aioapns, @parse/node-apn, apns2 and h2load."""

import asyncio
import json
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsTLSClientProtocol

from expo_gateway.emulators.apns import ApnsEmulator
from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.emulators.faults import Answer
from expo_gateway.emulators.tls import EmulatorTls
from tests.emulators.apns_client import BODY, DEVICE_TOKEN, TOPIC, ProviderKey, push_headers
from tests.emulators.apns_world import SetClock, World
from tests.missing import missing, program

NODE_CLIENTS = Path(__file__).parent / "node" / "apns_clients"
GOOD, GONE, BUSY, MALFORMED = "aa" * 32, "bb" * 32, "cc" * 32, "not-hex"
GONE_AT = 1_700_000_000.0
RUN_S = 60.0


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> EmulatorTls:
    return ensure_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def world(tls: EmulatorTls) -> World:
    """Its clock stands still, at a time that clients with a clock of their own agree with."""
    world = World(tls=tls, key=ProviderKey(), clock=SetClock(time.time()))
    world.devices.enrol(GONE, app_id=TOPIC)
    world.devices.unregister(GONE, at=GONE_AT)
    world.force(Answer(status=429, reason="TooManyRequests"), BUSY)
    return world


@pytest.fixture
async def emulator(world: World) -> AsyncIterator[ApnsEmulator]:
    """Checks the clients' signatures."""
    async with world.apns(known_keys_only=True) as emulator:
        emulator.trust_key(key_id=world.key.key_id, team_id=world.key.team_id, public_key_pem=world.key.public_pem)
        yield emulator


def aioapns_client(world: World, emulator: ApnsEmulator, ssl_context: ssl.SSLContext) -> APNs:
    client = APNs(
        key=world.key.private_pem,
        key_id=world.key.key_id,
        team_id=world.key.team_id,
        topic=TOPIC,
        ssl_context=ssl_context,
        err_func=lambda request, result: asyncio.sleep(0),
    )
    # aioapns has no option for host and port.
    client.pool.protocol_class = type(
        "Protocol",
        (APNsTLSClientProtocol,),
        {"APNS_SERVER": "127.0.0.1", "APNS_PORT": emulator.port},
    )
    return client


async def close_aioapns(client: APNs) -> None:
    connections = list(client.pool.connections)
    for connection in connections:
        connection.close()
    async with asyncio.timeout(5):
        while client.pool.connections:  # noqa: ASYNC110  aioapns offers no event
            await asyncio.sleep(0.01)


async def test_aioapns_gets_every_kind_of_answer(world: World, emulator: ApnsEmulator) -> None:
    client = aioapns_client(world, emulator, world.tls.client_context())
    requests = [
        NotificationRequest(
            device_token=token,
            message={"aps": {"alert": "hello"}},
            time_to_live=60,
            priority=10,
            collapse_key="news",
            push_type=PushType.ALERT,
        )
        for token in (GOOD, GONE, BUSY, MALFORMED)
    ]

    results = await asyncio.gather(*(client.send_notification(request) for request in requests))
    await close_aioapns(client)

    assert [(result.status, result.description, result.timestamp) for result in results] == [
        ("200", None, None),
        ("410", "Unregistered", int(GONE_AT * 1000)),
        ("429", "TooManyRequests", None),
        ("400", "BadDeviceToken", None),
    ]
    assert [result.notification_id for result in results] == [request.notification_id for request in requests]


async def test_aioapns_is_served_without_alpn_too(world: World, emulator: ApnsEmulator) -> None:
    """As it comes, aioapns doesn't say that it speaks HTTP/2; Apple doesn't mind."""
    context = ssl.create_default_context(cafile=str(world.tls.ca_pem))
    client = aioapns_client(world, emulator, context)

    result = await client.send_notification(NotificationRequest(device_token=GOOD, message={"aps": {}}))
    await close_aioapns(client)

    assert result.is_successful


async def test_aioapns_sends_a_thousand(world: World, emulator: ApnsEmulator) -> None:
    client = aioapns_client(world, emulator, world.tls.client_context())
    tokens = [f"{n:064x}" for n in range(1000)]

    results = await asyncio.gather(
        *(
            client.send_notification(NotificationRequest(device_token=token, message={"aps": {"badge": 1}}))
            for token in tokens
        )
    )
    await close_aioapns(client)

    assert all(result.is_successful for result in results)
    assert sorted(capture.device_token for capture in world.inbox) == tokens


@pytest.fixture(scope="module")
def node_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the Node scripts with their packages."""
    npm = program("npm")
    program("node")
    directory = tmp_path_factory.mktemp("node") / "apns_clients"
    shutil.copytree(NODE_CLIENTS, directory, ignore=shutil.ignore_patterns("node_modules"))
    try:
        subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=directory,
            check=True,
            capture_output=True,
            timeout=120,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        missing(f"npm ci failed: {error.stderr!r}")
    return directory


async def run(*command: str, cwd: Path | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(RUN_S):
            out, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, complaint.decode()
    return out.decode()


@pytest.mark.parametrize(("script", "body"), [("send_node_apn.mjs", "from node-apn"), ("send_apns2.mjs", "from apns2")])
async def test_node_clients_get_every_kind_of_answer(
    world: World, emulator: ApnsEmulator, node_clients: Path, script: str, body: str
) -> None:
    many = [f"{n:064x}" for n in range(50)]
    options = {
        "port": emulator.port,
        "ca": world.tls.ca_pem.read_text(),
        "key": world.key.private_pem,
        "keyId": world.key.key_id,
        "teamId": world.key.team_id,
        "topic": TOPIC,
        "deviceTokens": [GONE, MALFORMED, *many],
    }

    printed = await run(program("node"), script, json.dumps(options), cwd=node_clients)

    results: dict[str, dict[str, Any]] = {result.pop("device"): result for result in json.loads(printed)}
    assert results[GONE] == {"status": 410, "reason": "Unregistered", "timestamp": int(GONE_AT * 1000)}
    assert results[MALFORMED] == {"status": 400, "reason": "BadDeviceToken"}
    assert [results[token] for token in many] == [{"status": 200}] * 50
    payloads = [json.loads(capture.body) for capture in world.inbox.accepted()]
    assert [payload["aps"]["alert"]["body"] for payload in payloads] == [body] * 50


async def test_h2load_gets_200_every_time(world: World, emulator: ApnsEmulator, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_bytes(BODY)
    headers = push_headers(world.key.bearer(issued_at=world.clock.now))
    given = [f"{name}: {value}" for name, value in headers.items() if not name.startswith(":")]
    url = f"https://127.0.0.1:{emulator.port}/3/device/{DEVICE_TOKEN}"
    arguments = ["-n", "2000", "-c", "4", "-m", "50", "-d", str(tmp_path / "body.json")]

    printed = await run(program("h2load"), *arguments, *(f"--header={line}" for line in given), url)

    assert re.search(r"status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx", printed), printed
    assert len(world.inbox.accepted()) == 1000
    assert world.inbox.received == 2000
