"""Projects and their credentials: those of the settings file, and those that are stored."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLError

from cryptography import x509

from expo_gateway.commands.check_findings import Finding, fail, ok, warn
from expo_gateway.data_dir import DATABASE
from expo_gateway.errors import SettingsError, StoreUnavailable
from expo_gateway.project_providers import load_certificate
from expo_gateway.project_settings import APPLE_ID
from expo_gateway.protocol.device import ProjectKind, made_for
from expo_gateway.protocol.project import ApnsCertificate, ApnsCredential, ApnsKeyFile, ConfiguredProject, FcmCredential
from expo_gateway.providers.apns_token import ApnsKey, SharedProviderToken
from expo_gateway.providers.fcm_credentials import read_service_account
from expo_gateway.registry.sqlite import SqliteRegistry
from expo_gateway.settings import Providers
from expo_gateway.sqlite_file import SqliteFile

# Our choice: time to get a new one from Apple without hurry.
LAPSES_SOON_DAYS = 30
# Our choice: a line on a screen; `projects list` shows all.
SHOWN_PROJECTS = 3
GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"


async def stored_projects(directory: Path) -> tuple[Sequence[ConfiguredProject], list[Finding]]:
    """Those in the database. Its tables are read as they are: a check brings nothing up to date."""
    path = directory / DATABASE
    if not path.exists():
        return (), []
    try:
        async with SqliteFile(path, durability="process") as file:
            return await SqliteRegistry(file).configured_projects(), []
    except (SettingsError, StoreUnavailable) as error:
        then = "an older version's database is brought up to date at the next start; else see the text"
        return (), [warn("projects", f"the stored ones can't be read: {error}", then)]


def check_projects(projects: Sequence[ConfiguredProject], *, addresses: Providers) -> list[Finding]:
    real = [one for one in projects if one.project.kind is ProjectKind.REAL]
    if not real:
        return [ok("projects", "none with credentials: everything is emulated")]
    return [finding for one in real for finding in _project(one, addresses)]


def check_emulated(projects: Sequence[ConfiguredProject], *, strict: bool | None) -> Iterator[Finding]:
    """What is emulated beside real projects, where it is easily taken for real. `strict`: of the settings."""
    if all(one.project.kind is ProjectKind.EMULATED for one in projects):
        return
    if strict is False:
        text = "emulator.strict is false: a push token that nobody registered gets ok tickets, and reaches no phone"
        yield warn("projects", text, "leave emulator.strict out, unless tests run against this gateway too")
    made = [one.project for one in projects if one.project == made_for(one.project.project_id)]
    if made:
        names = ", ".join(project.full_name for project in made[:SHOWN_PROJECTS]) + (
            "…" if made[SHOWN_PROJECTS:] else ""
        )
        text = f"{len(made)} made for phones that registered with an unknown projectId, and emulated: {names}"
        then = "give it a name and credentials with `expo-gateway projects add @owner/slug --id UUID`, or remove it"
        yield warn("projects", text, then)


def _project(one: ConfiguredProject, addresses: Providers) -> Iterator[Finding]:
    name = one.project.full_name
    for credential in one.apns:
        yield _apns(name, credential)
    if one.fcm is not None:
        yield _fcm(name, one.fcm, addresses)
    if not one.apns:
        yield warn(name, "no APNs credential: iPhones get the ticket error InvalidCredentials", _how(name, "APNs"))
    if one.fcm is None:
        yield warn(name, "no FCM credential: Android gets the ticket error InvalidCredentials", _how(name, "FCM"))
    if one.requires_token and not one.tokens:
        then = f"make one with `expo-gateway tokens create {name}`, or don't require one"
        yield warn(name, "an access token is required and there is none: nobody can send", then)


def _how(name: str, provider: str) -> str:
    return f"if that is not meant, add it: see `expo-gateway projects set --help` for {name}'s {provider} options"


def _apns(name: str, credential: ApnsCredential) -> Finding:
    secret = credential.secret
    serves = f"{credential.environment}, {', '.join(credential.bundle_ids) or 'any bundle id'}"
    if isinstance(secret, ApnsKeyFile):
        return _apns_key(name, secret, serves)
    return _apns_certificate(name, secret, serves)


def _apns_key(name: str, secret: ApnsKeyFile, serves: str) -> Finding:
    for what, value in (("key id", secret.key_id), ("team id", secret.team_id)):
        if not re.fullmatch(APPLE_ID, value):
            then = "Apple shows it under Certificates, Identifiers & Profiles, Keys: ten capital letters and digits"
            return fail(name, f"APNs: got {value!r} as {what}", then)
    try:
        key = ApnsKey(key_id=secret.key_id, team_id=secret.team_id, private_key_pem=secret.private_key_pem)
        SharedProviderToken(key, clock=lambda: 0.0)
    except SettingsError as error:
        return fail(name, str(error), "give the .p8 file that Apple gave out, as it is")
    return ok(name, f"APNs key {secret.key_id} of team {secret.team_id}: {serves}")


def _apns_certificate(name: str, secret: ApnsCertificate, serves: str) -> Finding:
    then = "get a new push certificate from Apple, with its key as PEM"
    try:
        lapses_at = x509.load_pem_x509_certificate(secret.certificate_pem.encode()).not_valid_after_utc
        load_certificate(SSLContext(PROTOCOL_TLS_CLIENT), secret)
    except (ValueError, TypeError, SSLError):
        return fail(name, "the APNs certificate and its key can't be read, or don't belong together", then)
    days = (lapses_at - datetime.now(UTC)).days
    text = f"APNs certificate until {lapses_at:%Y-%m-%d}: {serves}"
    if days < 0:
        return fail(name, text, then)
    return warn(name, text, then) if days < LAPSES_SOON_DAYS else ok(name, text)


def _fcm(name: str, credential: FcmCredential, addresses: Providers) -> Finding:
    account = credential.service_account
    then = "give the JSON that Google gave out (Firebase console, Project settings, Service accounts), as it is"
    try:
        read_service_account(account)
    except SettingsError as error:
        return fail(name, f"FCM: {error}", then)
    text = f"FCM service account {account['client_email']} of {account['project_id']}"
    if account["token_uri"] != GOOGLE_TOKEN_URI and addresses.fcm_endpoint == Providers().fcm_endpoint:
        return warn(name, f"{text}, with the token_uri {account['token_uri']}", f"Google's is {GOOGLE_TOKEN_URI}")
    return ok(name, text)
