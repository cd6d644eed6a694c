"""The whole gateway in the test's own event loop, behind a real port."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from expo_gateway.app import open_app
from expo_gateway.listener import bind, serving
from expo_gateway.settings import load_settings

API = "/--/api/v2/push"
CONTROL = "/_gateway/v1"
IPHONE = "ExponentPushToken[iphone-one-0000000000001]"
WAIT_S = 20.0


class Client:
    """Of one run, or with "" of the default one."""

    def __init__(self, http: httpx.AsyncClient, run: str = "") -> None:
        self.http = http
        self.base = f"/r/{run}" if run else ""

    async def send(self, to: str, **fields: object) -> str:
        """The ticket's id."""
        answer = await self.http.post(f"{self.base}{API}/send", json={"to": to, "body": "Hello", **fields})
        ticket: dict[str, Any] = answer.raise_for_status().json()["data"]
        assert ticket["status"] == "ok", ticket
        return str(ticket["id"])

    async def receipt(self, ticket_id: str) -> dict[str, Any] | None:
        answer = await self.http.post(f"{self.base}{API}/getReceipts", json={"ids": [ticket_id]})
        receipts: dict[str, dict[str, Any]] = answer.raise_for_status().json()["data"]
        return receipts.get(ticket_id)

    async def control(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        answer = await self.http.request(method, f"{self.base}{CONTROL}{path}", **how)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def settle(self) -> None:
        """Until everything that was sent has its receipt."""
        await self.control("GET", "/idle/wait", params={"timeout_s": WAIT_S})


@asynccontextmanager
async def gateway(**overrides: Mapping[str, object]) -> AsyncIterator[httpx.AsyncClient]:
    """`overrides`: settings by section."""
    given = {**overrides, "server": {"port": 0, **overrides.get("server", {})}}
    settings = load_settings(environ={}, overrides=given)
    with tempfile.TemporaryDirectory() as directory:
        async with open_app(settings, Path(directory)) as app:
            sockets = bind("127.0.0.1", 0)
            url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
            async with (
                serving(app.asgi, sockets=sockets, tls=None, settings=settings.server),
                httpx.AsyncClient(base_url=url, timeout=WAIT_S, trust_env=False) as http,
            ):
                yield http
