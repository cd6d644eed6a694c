"""The provider against nghttpd: a server of another house, whose header blocks use the dynamic table for everything."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from expo_gateway.emulators.tls import EmulatorTls
from expo_gateway.providers.base import Accepted, Rejected
from tests.missing import program
from tests.providers.apns_scene import Scene, new_request, send_all

DEVICE_TOKEN = "ab" * 32


async def listens(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)  # nghttpd does not say when it is ready
            else:
                writer.close()
                await writer.wait_closed()
                return


@pytest.fixture
async def nghttpd(tmp_path: Path, emulator_tls: EmulatorTls, unused_tcp_port: int) -> AsyncIterator[int]:
    """Its port. It has an empty file, and so a 200, for one device token."""
    device = tmp_path / "3" / "device" / DEVICE_TOKEN
    device.parent.mkdir(parents=True)
    device.touch()
    where = ["-a", "127.0.0.1", "-d", str(tmp_path), str(unused_tcp_port)]
    command = [program("nghttpd"), *where, str(emulator_tls.server_key), str(emulator_tls.server_pem)]
    server = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    try:
        await listens(unused_tcp_port)
        yield unused_tcp_port
    finally:
        server.kill()
        await server.wait()


async def test_nghttpd_takes_our_pushes_and_its_answers_are_told_apart(apns_scene: Scene, nghttpd: int) -> None:
    provider = apns_scene.provider(nghttpd, max_connections=2)
    payload = b'{"aps":{"alert":"' + b"x" * 2000 + b'"}}'
    requests = [
        new_request(payload=payload, **({"device_token": DEVICE_TOKEN} if number % 2 else {})) for number in range(600)
    ]

    outcomes = await send_all(provider, requests)

    assert outcomes[1::2] == [Accepted()] * 300
    assert {(type(outcome), getattr(outcome, "status", 0)) for outcome in outcomes[::2]} == {(Rejected, 404)}
