"""Do Apple and Google take the credentials? Google is asked for an access token; Apple has no such question.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from expo_gateway.commands.check_findings import Finding, fail, ok, skip, warn
from expo_gateway.commands.check_network import REACH_S, context_of
from expo_gateway.errors import SettingsError
from expo_gateway.protocol.device import ProjectKind
from expo_gateway.protocol.project import ApnsCredential, ApnsKeyFile, ConfiguredProject, FcmCredential
from expo_gateway.providers.fcm_credentials import read_service_account
from expo_gateway.providers.fcm_oauth import AccessRefused, Granted, NoAccess, fetch_access

# Our choice: beyond the exchange's own deadline, which does not cover name look-ups.
THREAD_GRACE_S = 5.0
# Our choice: many projects are asked about a few at a time.
MAX_AT_ONCE = 4


async def check_access(projects: Sequence[ConfiguredProject], *, ca: Path | None) -> list[Finding]:
    """A line for each credential of the real projects. Those that can't be read have theirs from check_projects."""
    real = [one for one in projects if one.project.kind is ProjectKind.REAL]
    try:
        context = context_of("http/1.1", ca)
    except OSError:
        return []  # said already, of the network
    slots = asyncio.Semaphore(MAX_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(_google(one.project.full_name, one.fcm, context, slots), name=one.project.full_name)
            for one in real
            if one.fcm is not None
        ]
    apple = [_apple(one.project.full_name, credential) for one in real for credential in one.apns]
    return [*apple, *(finding for task in asked if (finding := task.result()) is not None)]


def _apple(name: str, credential: ApnsCredential) -> Finding:
    secret = credential.secret
    what = f"key {secret.key_id}" if isinstance(secret, ApnsKeyFile) else "certificate"
    text = f"APNs {what} is not verified: Apple has no call for that without sending"
    return skip(name, text, "send a message to an iPhone of yours, and read its receipt")


async def _google(
    name: str, credential: FcmCredential, context: ssl.SSLContext, slots: asyncio.Semaphore
) -> Finding | None:
    account = credential.service_account
    async with slots:
        try:
            async with asyncio.timeout(REACH_S + THREAD_GRACE_S):
                answer = await asyncio.to_thread(_exchange, account, context)
        except TimeoutError:
            answer = NoAccess(why="the token endpoint did not answer in time")
        except SettingsError:
            return None
    return _finding(name, str(account["client_email"]), urlsplit(str(account["token_uri"])).netloc, answer)


def _exchange(account: Mapping[str, object], context: ssl.SSLContext) -> Granted | AccessRefused | NoAccess:
    return fetch_access(read_service_account(account), ssl_context=context, timeout_s=REACH_S)


def _finding(name: str, email: str, endpoint: str, answer: Granted | AccessRefused | NoAccess) -> Finding:
    if isinstance(answer, Granted):
        return ok(name, f"FCM: {endpoint} gives {email} access")
    if isinstance(answer, NoAccess):
        then = "see the network's lines; then look again"
        return warn(name, f"FCM: {email} is not verified: {answer.why}", then)
    then = "make a new key (Firebase console, Project settings, Service accounts); look at the clock, too"
    return fail(name, f"FCM: {endpoint} refuses {email}: {answer.error}: {answer.text}", then)
