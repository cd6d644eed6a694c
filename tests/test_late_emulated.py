"""Emulators that open late, or never."""

from pathlib import Path

import httpx
import pytest

from expo_gateway.app import open_app
from expo_gateway.settings import Emulator, Settings
from tests.waiting import GET_RECEIPTS, receipts_async

SEND = {"to": "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]", "body": "x"}


async def test_the_first_delivery_opens_them(tmp_path: Path) -> None:
    async with (
        open_app(Settings(), tmp_path) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://gateway") as client,
    ):
        assert not app.emulators.is_up
        sent = await client.post("/--/api/v2/push/send", json=SEND)
        await receipts_async(client, [sent.json()["data"]["id"]])

        assert app.emulators.is_up
        assert [capture.status for capture in app.emulators.opened.inbox] == [200]


async def test_what_was_accepted_is_for_the_next_start_if_they_never_open(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    tls.write_text("a file where their directory belongs")
    async with (
        open_app(Settings(), tmp_path) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://gateway") as client,
    ):
        sent = await client.post("/--/api/v2/push/send", json=SEND)
        ids = [sent.json()["data"]["id"]]
        with pytest.raises(OSError, match="exists"):
            await app.emulators.up()
        found = await client.post(GET_RECEIPTS, json={"ids": ids})
    assert found.json()["data"] == {}

    tls.unlink()
    async with (
        open_app(Settings(), tmp_path) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://gateway") as client,
    ):
        assert await receipts_async(client, ids) == {ids[0]: {"status": "ok"}}


async def test_closing_them_lets_go_of_their_ports_whether_they_were_opened_or_not(tmp_path: Path) -> None:
    for opens in (False, True):
        async with open_app(Settings(), tmp_path) as app:
            if opens:
                await app.emulators.up()
            port = app.emulators.addresses.apns_port
        settings = Settings(emulator=Emulator(apns_port=port))
        async with open_app(settings, tmp_path) as app:
            assert app.emulators.addresses.apns_port == port
