"""A run of `check`: one list of findings, in the order in which a gateway would stumble over them."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from expo_gateway.certificates import load_own_certificate
from expo_gateway.commands.check_access import check_access
from expo_gateway.commands.check_findings import Finding, Level, fail, ok, print_findings
from expo_gateway.commands.check_machine import Clocks, check_clock, check_data_dir, check_database
from expo_gateway.commands.check_network import check_clock_of_google, check_gateway, check_reach, targets
from expo_gateway.commands.check_projects import check_emulated, check_projects, stored_projects
from expo_gateway.commands.connecting import Connecting
from expo_gateway.errors import SettingsError
from expo_gateway.project_files import configured_by
from expo_gateway.protocol.project import ConfiguredProject
from expo_gateway.settings import Settings, load_settings


def run_check(
    *,
    config: Path | None,
    data: Path | None,
    environ: Mapping[str, str],
    gateway: Connecting | None,
    offline: bool,
    as_json: bool,
) -> int:
    """Returns the exit code."""
    began = Clocks.now()
    findings, settings = _check_settings(config, data, environ)
    if settings is not None:
        findings += asyncio.run(_check_world(settings, gateway=gateway, offline=offline))
    is_compared = any(one.check == "clock" for one in findings)
    findings.append(check_clock(began, Clocks.now(), is_compared=is_compared))
    print_findings(findings, as_json=as_json)
    return 1 if any(one.level is Level.FAIL for one in findings) else 0


def _check_settings(
    config: Path | None, data: Path | None, environ: Mapping[str, str]
) -> tuple[list[Finding], Settings | None]:
    then = "correct it; docs/configuration.md has every setting"
    try:
        overrides = {"store": {"data": data}} if data is not None else {}
        settings = load_settings(config=config, environ=environ, overrides=overrides)
    except SettingsError as error:
        return [fail("settings", str(error), then)], None
    try:
        load_own_certificate(settings.server.tls_certificate, settings.server.tls_key, clock=time.time)
    except SettingsError as error:
        return [fail("certificate", str(error), then)], settings
    return [ok("settings", f"valid, of {config}" if config else "valid, without a file")], settings


async def _check_world(settings: Settings, *, gateway: Connecting | None, offline: bool) -> list[Finding]:
    findings = check_data_dir(settings.store.data)
    stored: Sequence[ConfiguredProject] = ()
    if settings.store.data is not None:
        findings.append(await check_database(settings.store.data))
        if findings[-1].level is Level.OK:
            stored, found = await stored_projects(settings.store.data)
            findings += found
    try:
        configured = configured_by(settings.projects)
    except SettingsError as error:
        findings.append(fail("projects", str(error), "correct it; the gateway won't start with it"))
        configured = []
    by_id = {one.project.project_id: one for one in (*stored, *configured)}
    findings += check_projects(list(by_id.values()), addresses=settings.providers)
    findings += check_emulated(list(by_id.values()), strict=settings.emulator.strict)
    if not offline:
        addresses, projects = settings.providers, list(by_id.values())
        findings += await check_reach(targets(projects, addresses), ca=addresses.ca_file)
        findings += await check_access(projects, ca=addresses.ca_file)
        findings += await check_clock_of_google(addresses)
    if gateway is not None:
        findings += await check_gateway(gateway)
    return findings
