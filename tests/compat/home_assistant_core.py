"""Home Assistant core 2024.3.3 itself, unmodified, on this machine: a fresh one, with one owner and no devices.

`scripts/home-assistant.sh` installs it. Only the first step of the onboarding is taken: the next would have it install
integrations that ask the internet.
"""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.compat.home_assistant_gateway import APP, free_port
from tests.compat.posted import eventually
from tests.missing import missing

HASS = Path(sys.prefix) / "home-assistant" / "bin" / "hass"
# Our choice: it starts in four seconds; the first start compiles what pip has not.
START_S = 120.0
STOP_S = 30.0
CONFIGURATION = """
http:
  server_host: 127.0.0.1
  server_port: {port}
mobile_app:
logger:
  default: info
"""
NOTIFY_LOG = "homeassistant.components.mobile_app.notify"
# An exception that nobody handled, and one within the logging of something.
TRIPPED = re.compile(r"Traceback|Logging error")


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantCore:
    url: str
    access_token: str = field(repr=False)
    log_path: Path

    def ask(self, method: str, path: str, told: object = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.access_token}"}
        return httpx.request(method, self.url + path, headers=headers, json=told, timeout=30.0)

    def register(self, device_name: str, **app_data: object) -> str:
        """An app registers, and its notify action is there; the webhook id."""
        return self.register_app(device_name, app_data)

    def register_app(self, device_name: str, app_data: Mapping[str, object], *, app_id: str = APP["app_id"]) -> str:
        device = {"device_name": device_name, "device_id": device_name}
        registration = APP | device | {"app_id": app_id, "app_data": app_data}
        answer = self.ask("POST", "/api/mobile_app/registrations", registration)
        assert answer.status_code == 201, answer.text
        # About a second after the answer.
        assert eventually(lambda: f"mobile_app_{device_name}" in self._notify_actions()), self.log()
        webhook_id: str = answer.json()["webhook_id"]
        return webhook_id

    def notify(self, action: str, message: str, **more: object) -> httpx.Response:
        """200 stands for every answer of a relay that Home Assistant can read, 500 for the others."""
        return self.ask("POST", f"/api/services/notify/{action}", {"message": message, **more})

    def log_size_bytes(self) -> int:
        return self.log_path.stat().st_size

    def log(self, *, since: int = 0) -> str:
        """Everything it has said until now, after so many bytes. It writes from a thread, so it is told a last word."""
        last_word = f"last word {uuid.uuid4().hex}"
        self.ask("POST", "/api/services/system_log/write", {"message": last_word, "level": "warning"})
        eventually(lambda: last_word in self._written(since))
        return self._written(since)

    def said_of_pushes(self, *, since: int) -> list[tuple[str, str]]:
        """(level, text) of what it said of its posts to a push_url."""
        pattern = rf"^\S+ \S+ (\w+) \(\w+\) \[{re.escape(NOTIFY_LOG)}\] (.*)$"
        return re.findall(pattern, self.log(since=since), re.MULTILINE)

    def _written(self, since: int) -> str:
        return self.log_path.read_bytes()[since:].decode()

    def _notify_actions(self) -> set[str]:
        domains = self.ask("GET", "/api/services").json()
        return {name for domain in domains if domain["domain"] == "notify" for name in domain["services"]}


@contextmanager
def running_home_assistant(directory: Path) -> Iterator[HomeAssistantCore]:
    """Start it with a fresh configuration, make its owner, stop it with SIGTERM at the end."""
    if not HASS.exists():
        missing("Home Assistant core is not installed: run `make test` with Python 3.11 or 3.12")
    port = free_port()
    (directory / "configuration.yaml").write_text(CONFIGURATION.format(port=port))
    log_path = directory / "output.log"
    command = [str(HASS), "--config", str(directory), "--skip-pip"]
    with log_path.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, env=_environment()) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            assert eventually(lambda: _is_up(url) or process.poll() is not None, timeout_s=START_S), (
                log_path.read_text()
            )
            yield HomeAssistantCore(url=url, access_token=_onboard(url), log_path=log_path)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=STOP_S)
        finally:
            process.kill()


def _onboard(url: str) -> str:
    """The owner's access token; it is good for half an hour."""
    client_id = f"{url}/"
    owner = {"client_id": client_id, "name": "Owner", "username": "owner", "password": "secret", "language": "en"}
    made = httpx.post(f"{url}/api/onboarding/users", json=owner, timeout=30.0).raise_for_status()
    grant = {"grant_type": "authorization_code", "client_id": client_id, "code": made.json()["auth_code"]}
    tokens = httpx.post(f"{url}/auth/token", data=grant, timeout=30.0).raise_for_status()
    access_token: str = tokens.json()["access_token"]
    return access_token


def _is_up(url: str) -> bool:
    try:
        steps: Any = httpx.get(f"{url}/api/onboarding", timeout=5.0).json()
    except (httpx.TransportError, ValueError):
        return False
    return bool(steps)


def _environment() -> dict[str, str]:
    """Ours without what is meant for our own Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
