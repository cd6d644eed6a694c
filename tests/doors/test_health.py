"""Alive and ready."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from starlette.applications import Starlette

from expo_gateway.app import open_app
from expo_gateway.doors import health
from expo_gateway.errors import StoreUnavailable
from expo_gateway.settings import Settings
from expo_gateway.sqlite_file import SqliteFile
from tests.providers.apns_scene import until


async def fine() -> str:
    return ""


async def broken() -> str:
    return "it is broken"


@asynccontextmanager
async def asking(checks: health.Checks, *, check_s: float = 5.0) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=health.routes(checks, check_s=check_s))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client


async def test_it_is_ready_when_every_check_passes() -> None:
    async with asking({"one": fine, "other": fine}) as client:
        answer = await client.get("/health/ready")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "checks": {"one": "ok", "other": "ok"}})


async def test_it_is_not_when_one_does_not_and_says_which() -> None:
    async with asking({"one": fine, "other": broken}) as client:
        answer = await client.get("/health/ready")
        live = await client.get("/health/live")

    assert answer.status_code == 503
    assert answer.json() == {"status": "error", "checks": {"one": "ok", "other": "it is broken"}}
    assert live.status_code == 200


async def test_a_check_that_hangs_is_a_check_that_fails() -> None:
    async def hangs() -> str:
        await asyncio.Event().wait()
        return ""

    async with asking({"one": hangs, "other": fine}, check_s=0.02) as client:
        answer = await client.get("/health/ready")

    assert answer.json()["checks"] == {"one": "no answer within 0.02 s", "other": "ok"}


async def test_a_gateway_that_stops_is_not_ready(tmp_path: Path) -> None:
    async with (
        open_app(Settings(), tmp_path) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://gateway") as client,
    ):
        await app.emulators.up()
        before = await client.get("/health/ready")
        app.stopping.set()
        after = await client.get("/health/ready")

    assert before.json()["checks"] == {"server": "ok", "store": "ok", "dispatcher": "ok"}
    assert (after.status_code, after.json()["checks"]["server"]) == (503, "the gateway is stopping")


async def test_a_gateway_is_ready_once_its_emulators_are_there(tmp_path: Path) -> None:
    async with (
        open_app(Settings(), tmp_path) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://gateway") as client,
    ):
        before = await client.get("/health/ready")
        await app.emulators.up()
        after = await client.get("/health/ready")

    assert (before.status_code, before.json()["checks"]["server"]) == (503, "the gateway is starting")
    assert after.status_code == 200


async def test_a_store_that_can_be_read_and_not_written_is_found(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process", busy_s=0.01) as file:
        await file.touch()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            assert await file.read(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
            try:
                await file.touch()
                found = ""
            except StoreUnavailable as error:
                found = str(error)
        finally:
            other.close()

    assert "locked" in found


async def test_the_store_is_really_written_to(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with SqliteFile(path, durability="process") as file:
        await file.touch()
        size_bytes = (tmp_path / "gateway.db-wal").stat().st_size
        await file.touch()

        assert (tmp_path / "gateway.db-wal").stat().st_size > size_bytes


async def test_a_dispatcher_whose_loop_does_not_turn_is_found_until_it_turns(tmp_path: Path) -> None:
    ahead_s = [0.0]
    async with (
        open_app(Settings(), tmp_path, monotonic=lambda: time.monotonic() + ahead_s[0]) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://gateway") as client,
    ):
        await app.emulators.up()
        before = await client.get("/health/ready")
        ahead_s[0] += 31.0
        stuck = await client.get("/health/ready")
        app.dispatcher.clock_moved()
        await until(lambda: not app.dispatcher.trouble())
        again = await client.get("/health/ready")

    assert (before.status_code, stuck.status_code) == (200, 503)
    assert stuck.json()["checks"]["dispatcher"] == "the dispatcher is stuck: its loop has not turned for 31 s"
    assert again.status_code == 200


async def test_a_dispatcher_that_is_gone_is_found(tmp_path: Path) -> None:
    async with (
        open_app(Settings(), tmp_path) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://gateway") as client,
    ):
        # Stopped behind the gateway's back.
        app.dispatcher.stop()
        await until(lambda: "ended" in app.dispatcher.trouble())
        answer = await client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"]["dispatcher"] == "the dispatcher has ended; only a restart helps"
