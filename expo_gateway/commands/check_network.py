"""The way to Apple, Google and a running gateway: TCP and TLS to the first two, and what time Google has."""

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from expo_gateway.commands.api_answers import http_date
from expo_gateway.commands.check_findings import Finding, fail, ok, warn
from expo_gateway.commands.connecting import Connecting
from expo_gateway.commands.scheme import wrong_scheme
from expo_gateway.protocol.device import ProjectKind
from expo_gateway.protocol.project import ConfiguredProject
from expo_gateway.settings import Providers

REACH_S = 10.0
# Apple takes provider tokens of up to an hour ago, Google's OAuth some minutes; a clock that is kept differs by less
# than a second.
CLOCK_WARN_S = 30.0
CLOCK_FAIL_S = 240.0

APNS = "api.push.apple.com"
APNS_SANDBOX = "api.sandbox.push.apple.com"
OAUTH_HOST = "oauth2.googleapis.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    host: str
    port: int
    tls_name: str
    """What its certificate is to say; "" without TLS."""
    alpn: str
    needed: bool
    """A project that sends there is configured."""

    @property
    def shown(self) -> str:
        return f"{self.host}:{self.port}"


def targets(projects: Sequence[ConfiguredProject], addresses: Providers) -> list[Target]:
    """Where the real projects send. Without any: where they would."""
    real = [one for one in projects if one.project.kind is ProjectKind.REAL]
    environments = {credential.environment for one in real for credential in one.apns}
    found = [_apns(APNS, addresses, needed=bool(environments & {"production", "both"}))]
    if environments & {"sandbox", "both"}:
        found.append(_apns(APNS_SANDBOX, addresses, needed=True))
    accounts = [one.fcm.service_account for one in real if one.fcm is not None]
    found.append(_of_url(addresses.fcm_endpoint, needed=bool(accounts)))
    found += [_of_url(str(account.get("token_uri", "")), needed=True) for account in accounts]
    if not accounts:
        found.append(_of_url(f"https://{OAUTH_HOST}", needed=False))
    return list({target.shown: target for target in found if target.host}.values())


def _apns(name: str, addresses: Providers, *, needed: bool) -> Target:
    host = addresses.apns_host or name
    return Target(host=host, port=addresses.apns_port, tls_name=name, alpn="h2", needed=needed)


def _of_url(url: str, *, needed: bool) -> Target:
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    host = parts.hostname or ""
    return Target(
        host=host, port=parts.port or (443 if tls else 80), tls_name=host if tls else "", alpn="http/1.1", needed=needed
    )


async def check_reach(wanted: Sequence[Target], *, ca: Path | None) -> list[Finding]:
    """All at once, in the order given."""
    try:
        contexts = {alpn: context_of(alpn, ca) for alpn in {target.alpn for target in wanted}}
    except (OSError, ssl.SSLError):
        return [fail("network", f"providers.ca_file: got {ca}, which is no PEM file of certificates", "correct it")]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_reach(target, contexts[target.alpn]), name=target.shown) for target in wanted]
    return [task.result() for task in tasks]


def context_of(alpn: str, ca: Path | None) -> ssl.SSLContext:
    """OSError, of which ssl.SSLError is one: the file with the authorities can't be used."""
    context = ssl.create_default_context()
    context.set_alpn_protocols([alpn])
    if ca is not None:
        context.load_verify_locations(ca)
    return context


async def _reach(target: Target, context: ssl.SSLContext) -> Finding:
    began = time.monotonic()
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(
                target.host,
                target.port,
                ssl=context if target.tls_name else None,
                server_hostname=target.tls_name or None,
            )
    except (OSError, TimeoutError) as error:
        return _unreached(target, error)
    tls = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
    if target.alpn == "h2" and tls is not None and tls.selected_alpn_protocol() != "h2":
        then = "something in between takes the connection apart: let it through as it is"
        return fail("network", f"{target.shown} answers TLS, but not for HTTP/2, which APNs needs", then)
    return ok("network", f"{target.shown} answers, in {(time.monotonic() - began) * 1000:.0f} ms")


def _unreached(target: Target, error: Exception) -> Finding:
    """A failure where a project needs the way, a warning where none does."""
    if isinstance(error, socket.gaierror):
        why, then = "its name is not known", "check this machine's DNS"
    elif isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted ({error.verify_message})"
        then = "something in between intercepts TLS; trust its authority by providers.ca_file"
    elif isinstance(error, ssl.SSLError):
        why, then = f"TLS fails ({error.reason})", "something in between intercepts or blocks TLS: ask who runs it"
    else:
        why = "no answer in time" if isinstance(error, TimeoutError) else f"{getattr(error, 'strerror', None) or error}"
        other = " (2197 does as well: providers.apns_port)" if target.tls_name in (APNS, APNS_SANDBOX) else ""
        then = f"let this machine open TCP connections to {target.shown}{other}"
    text = f"{target.shown} can't be reached: {why}"
    if target.needed:
        return fail("network", text, then)
    return warn("network", text, f"nothing to do while everything is emulated; later, {then}")


async def check_gateway(gateway: Connecting) -> list[Finding]:
    """A running gateway's own opinion of itself, and its clock against ours. SettingsError: --ca is wrong."""
    timeout = aiohttp.ClientTimeout(total=REACH_S)
    connector = aiohttp.TCPConnector(ssl=gateway.tls() or True)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"{gateway.url}/health/ready", allow_redirects=False) as response,
        ):
            found = [_ready(gateway, response.status, (await response.content.read(2000)).decode(errors="replace"))]
            at = http_date(response.headers.get("date", ""))
            return [*found, _clocks(at, "the gateway", now=time.time())] if at is not None else found
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if scheme := await wrong_scheme(gateway.url, error):
            return [fail("gateway", f"{gateway.url}: {scheme.partition('; ')[0]}", scheme.partition("; ")[2])]
        then = "is it running? Start it with `expo-gateway serve`; with --tls, name its authority with --ca FILE"
        return [fail("gateway", f"{gateway.url} can't be asked: {error or 'no answer in time'}", then)]


def _ready(gateway: Connecting, status: int, body: str) -> Finding:
    if status == 200:
        return ok("gateway", f"{gateway.url} is ready")
    return fail("gateway", f"{gateway.url} answered {status}: {body}", "look into its log")


async def check_clock_of_google(addresses: Providers) -> list[Finding]:
    """Our clock against that of the machine that answers for FCM. Nothing when it does not answer."""
    began_at, host = time.time(), urlsplit(addresses.fcm_endpoint).netloc
    timeout = aiohttp.ClientTimeout(total=REACH_S)
    try:
        connector = aiohttp.TCPConnector(ssl=context_of("http/1.1", addresses.ca_file))
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"{addresses.fcm_endpoint}/", allow_redirects=False) as response,
        ):
            at = http_date(response.headers.get("date", ""))
    except (aiohttp.ClientError, TimeoutError, OSError):
        return []
    # Neither the way there nor the way back is a difference of clocks.
    return [_clocks(at, host, now=min(max(at, began_at), time.time()))] if at is not None else []


def _clocks(other_at: float, whose: str, *, now: float) -> Finding:
    """The other's is cut to the second."""
    off_s = now - other_at
    text = f"this machine's differs from that of {whose} by {off_s:+.0f} s"
    then = "set both by NTP: Apple and Google refuse tokens of another time"
    if abs(off_s) > CLOCK_FAIL_S:
        return fail("clock", text, then)
    return warn("clock", text, then) if abs(off_s) > CLOCK_WARN_S else ok("clock", text)
