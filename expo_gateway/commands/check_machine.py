"""The machine's part: data directory, database, clock."""

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from expo_gateway.commands.check_findings import Finding, fail, ok, skip, warn
from expo_gateway.data_dir import DATABASE
from expo_gateway.errors import SettingsError, StoreUnavailable
from expo_gateway.sqlite_file import SqliteFile

# Our choice: below the first nothing is lost but soon will be; below the second a busy day may fill it.
FREE_FAIL_BYTES = 50 * 1024 * 1024
FREE_WARN_BYTES = 1024 * 1024 * 1024
# This program is younger than that: a clock that shows less was never set.
EARLIEST_AT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
# Our choice: more than a clock is slewed by while we look.
MAX_JUMP_S = 1.0


def check_data_dir(directory: Path | None) -> list[Finding]:
    name = "data directory"
    if directory is None:
        return [warn(name, "none: all state goes when the gateway ends", "keep it with --data DIR")]
    if not directory.exists():
        return [_new_directory(directory.absolute())]
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"x")
    except OSError as error:
        return [fail(name, f"{directory} can't be written ({error.strerror})", "check its owner, mode and mount")]
    findings = [ok(name, f"{directory} can be written")]
    if directory.stat().st_mode & 0o077:
        then = f"chmod 700 {directory}: keys and tokens are kept there"
        findings.append(warn(name, "other users of this machine may look into it", then))
    return [*findings, _free_space(directory, shutil.disk_usage(directory).free)]


def _new_directory(directory: Path) -> Finding:
    parent = next(parent for parent in directory.parents if parent.exists())
    if os.access(parent, os.W_OK | os.X_OK):
        return ok("data directory", f"{directory} is not there yet; the first start makes it")
    return fail("data directory", f"{directory} can't be made: {parent} is not writable", "name another with --data")


def _free_space(directory: Path, free_bytes: int) -> Finding:
    text, then = f"{free_bytes / 1024**3:,.1f} GiB are free", f"make room on the file system of {directory}"
    if free_bytes < FREE_FAIL_BYTES:
        return fail("free space", text, then)
    return warn("free space", text, then) if free_bytes < FREE_WARN_BYTES else ok("free space", text)


async def check_database(directory: Path) -> Finding:
    """Reads all of it: some seconds for each gigabyte. A running gateway may have it open."""
    path = directory / DATABASE
    if not path.exists():
        return ok("database", "none yet; the first start makes it")
    try:
        async with SqliteFile(path, durability="process") as file:
            (found,) = await file.read(lambda connection: connection.execute("PRAGMA quick_check(1)").fetchone())
    except (SettingsError, StoreUnavailable) as error:
        return fail("database", str(error), "see there; nothing else can be said of it")
    if found != "ok":
        return fail("database", f"{path} is damaged: {found}", "stop the gateway, keep a copy, restore a backup")
    return ok("database", f"{path} is healthy, {path.stat().st_size / 1024**2:,.1f} MiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Both clocks at one moment."""

    wall_at: float
    monotonic_s: float

    @classmethod
    def now(cls) -> "Clocks":
        return cls(wall_at=time.time(), monotonic_s=time.monotonic())


def check_clock(began: Clocks, ended: Clocks, *, is_compared: bool) -> Finding:
    """Is the wall clock set, and did it run evenly between both moments? `is_compared`: with another's, elsewhere."""
    then = "set it by NTP (timedatectl set-ntp true): Apple and Google refuse tokens of another time"
    shown = datetime.fromtimestamp(ended.wall_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if ended.wall_at < EARLIEST_AT:
        return fail("clock", f"it shows {shown}, which is past", then)
    jump_s = (ended.wall_at - began.wall_at) - (ended.monotonic_s - began.monotonic_s)
    if abs(jump_s) > MAX_JUMP_S:
        return warn("clock", f"it was moved by {jump_s:+.1f} s while we looked; it shows {shown}", then)
    if not is_compared:
        text = f"{shown}; not compared with anything: nobody who would know was asked, or answered"
        return skip(
            "clock", text, "compare it yourself, or with a gateway's by --url; Google's is asked without --offline"
        )
    return ok("clock", f"{shown}; the local time zone is {time.strftime('%Z')}, which doesn't matter")
