"""The gateway as apps of Home Assistant see it, and those who notify them."""

import json
import random
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.compat.posted import eventually
from tests.conftest import Server, running_server
from tests.running import command

CONTROL = "/_gateway/v1"
APP: dict[str, Any] = {
    "app_id": "org.example.companion",
    "app_name": "Companion",
    "app_version": "1.0",
    "manufacturer": "Acme",
    "model": "One",
    "os_name": "AcmeOS",
    "os_version": "17.0",
    "supports_encryption": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeGateway:
    server: Server
    data: Path
    access_token: str = field(repr=False)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def host(self) -> str:
        """With its port, as URLs of Apprise have it."""
        return f"{self.server.host}:{self.server.port}"

    def ask(self, method: str, path: str, told: object = None) -> httpx.Response:
        """With the access token. The body is JSON."""
        body = None if told is None else json.dumps(told).encode()
        headers = {"authorization": f"Bearer {self.access_token}", "content-type": "application/json"}
        with httpx.Client(base_url=self.url, timeout=30.0, verify=self._trusted()) as client:
            return client.request(method, path, content=body, headers=headers)

    def register(self, device_name: str, **app_data: object) -> str:
        """An app registers; its webhook id."""
        registration = APP | {"device_name": device_name, "device_id": device_name, "app_data": app_data}
        answer = self.ask("POST", "/api/mobile_app/registrations", registration)
        assert answer.status_code == 201, answer.text
        webhook_id: str = answer.json()["webhook_id"]
        return webhook_id

    def notify(self, action: str, message: str, **more: object) -> httpx.Response:
        return self.ask("POST", f"/api/services/notify/{action}", {"message": message, **more})

    def notifications(self) -> list[dict[str, Any]]:
        """The persistent ones."""
        listed: list[dict[str, Any]] = self._listed("notifications")
        return listed

    def registration(self, device_name: str) -> dict[str, Any]:
        [found] = [one for one in self._listed("registrations") if one["device_name"] == device_name]
        return found

    def deliveries(self, *, count: int = 1, **wanted: str) -> list[dict[str, Any]]:
        """Those of this kind that reached the phone, once there are `count`."""
        query = {**wanted, "state": "delivered", "count": str(count), "timeout_s": "20"}
        answer = self.ask("GET", f"{CONTROL}/deliveries/wait?{httpx.QueryParams(query)}")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["deliveries"]
        return found

    def channel_status(self, device_name: str, wanted: str) -> str:
        """The status of a registration's channel, once it is the wanted one or the time is up."""
        eventually(lambda: self.registration(device_name)["status"] == wanted)
        status: str = self.registration(device_name)["status"]
        return status

    def _trusted(self) -> ssl.SSLContext | bool:
        """To make a context takes longer than all the rest."""
        return ssl.create_default_context(cafile=self.server.ca_path) if self.url.startswith("https:") else False

    def _listed(self, what: str) -> list[dict[str, Any]]:
        answer = self.ask("GET", f"{CONTROL}/home_assistant/{what}")
        assert answer.status_code == 200, answer.text
        listed: list[dict[str, Any]] = answer.json()[what]
        return listed


def new_access_token(data: Path) -> str:
    done = command("home-assistant", "token", "--data", str(data))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def free_port() -> int:
    """One that nobody gets by chance, unlike those that the kernel chooses: it is still free in a while."""
    for port in random.sample(range(20_000, 32_000), k=100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@contextmanager
def running_home_gateway(data: Path, *options: str, **env: str) -> Iterator[HomeGateway]:
    with running_server("--data", str(data), *options, **env) as server:
        yield HomeGateway(server=server, data=data, access_token=new_access_token(data))
