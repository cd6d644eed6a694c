"""Credential files: read, checked as far as that goes without Apple and Google, and made into what is configured.

Every failure is a SettingsError with the setting's name, what was got and what was wanted; never with a key in it.
"""

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from expo_gateway.errors import SettingsError
from expo_gateway.project_settings import ProjectTable
from expo_gateway.protocol.device import Project, ProjectKind, project_id_of
from expo_gateway.protocol.project import (
    NOTIFICATIONS_PER_SECOND,
    ApnsCertificate,
    ApnsCredential,
    ApnsEnvironment,
    ApnsKeyFile,
    ConfiguredProject,
    FcmCredential,
)

# Our choice: ten times the largest of them.
MAX_FILE_BYTES = 100_000

Read = Callable[[Path], bytes]
"""At most MAX_FILE_BYTES + 1 of a file. Raises OSError."""


def read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def configured_by(tables: Sequence[ProjectTable]) -> list[ConfiguredProject]:
    """What the settings file says of its projects. Blocks: it reads their files. SettingsError names the setting."""
    configured: list[ConfiguredProject] = []
    for number, table in enumerate(tables):
        one = _configured(table, f"projects[{number}]")
        _refuse_taken(one.project, [other.project for other in configured], f"projects[{number}]")
        configured.append(one)
    return configured


def _refuse_taken(project: Project, others: Sequence[Project], name: str) -> None:
    for other in others:
        if project.full_name == other.full_name:
            raise SettingsError(
                f"{name}.full_name: got {project.full_name}, which another table has; wanted each project once"
            )
        if project.project_id == other.project_id:
            raise SettingsError(
                f"{name}.project_id: got {project.project_id}, which is the id of {other.full_name}; "
                "wanted each project once"
            )


def check_authorities(path: Path | None) -> None:
    """Of the setting providers.ca_file. SettingsError unless OpenSSL takes it."""
    try:
        if path is not None:
            ssl.create_default_context(cafile=path)
    except OSError as error:
        raise SettingsError(
            f"providers.ca_file: got {path}, which can't be used ({error.strerror or error}); wanted PEM certificates"
        ) from None


def _configured(table: ProjectTable, name: str) -> ConfiguredProject:
    kind = ProjectKind(table.kind)
    project_id = table.project_id.lower() if table.project_id is not None else project_id_of(table.full_name)
    apns = apns_credential(table, name=lambda key: f"{name}.{key}", read=read_file)
    fcm = None
    if table.fcm_service_account_file is not None:
        fcm = fcm_credential(table.fcm_service_account_file, name=f"{name}.fcm_service_account_file", read=read_file)
    return ConfiguredProject(
        project=Project(project_id=project_id, full_name=table.full_name, kind=kind),
        requires_token=table.requires_token,
        notifications_per_second=rate_limit(table.notifications_per_second, kind=kind),
        apns=() if apns is None else (apns,),
        fcm=fcm,
    )


def rate_limit(given: int | None, *, kind: ProjectKind) -> int | None:
    """0 is none, and not given is Expo's for a real project."""
    if given is None:
        return NOTIFICATIONS_PER_SECOND if kind is ProjectKind.REAL else None
    return given or None


def apns_credential(table: ProjectTable, *, name: Callable[[str], str], read: Read) -> ApnsCredential | None:
    """The key or certificate that the table names; None when it names none. `name` is what a key is called."""
    key_parts = {
        "apns_key_file": table.apns_key_file,
        "apns_key_id": table.apns_key_id,
        "apns_team_id": table.apns_team_id,
    }
    missing = [key for key, value in key_parts.items() if value is None]
    certificate_file = table.apns_certificate_file
    if certificate_file is None and table.apns_certificate_key_file is not None:
        raise SettingsError(f"{name('apns_certificate_file')}: it is missing; wanted the path of the certificate")
    if certificate_file is not None and len(missing) < len(key_parts):
        raise SettingsError(f"{name('apns_certificate_file')}: wanted either a certificate or a key, got both")
    if certificate_file is None and len(missing) == len(key_parts):
        _refuse_lone(table, name)
        return None
    secret: ApnsKeyFile | ApnsCertificate
    if certificate_file is not None:
        secret = _certificate(certificate_file, table.apns_certificate_key_file, name=name, read=read)
    else:
        secret = _key(table.apns_key_file, table.apns_key_id, table.apns_team_id, missing, name=name, read=read)
    environment: ApnsEnvironment = table.apns_environment
    return ApnsCredential(secret=secret, environment=environment, bundle_ids=table.apns_bundle_ids)


def _refuse_lone(table: ProjectTable, name: Callable[[str], str]) -> None:
    for key, is_given in (
        ("apns_bundle_ids", bool(table.apns_bundle_ids)),
        ("apns_environment", table.apns_environment != "both"),
    ):
        if is_given:
            raise SettingsError(f"{name(key)}: it says what a key or certificate is good for; wanted that one with it")


def _key(
    path: Path | None,
    key_id: str | None,
    team_id: str | None,
    missing: list[str],
    *,
    name: Callable[[str], str],
    read: Read,
) -> ApnsKeyFile:
    if path is None or key_id is None or team_id is None:
        raise SettingsError(f"{name(missing[0])}: it is missing; wanted key file, key id and team id together")
    pem = _text(path, name=name("apns_key_file"), wanted="the .p8 file that Apple gave out", read=read)
    from expo_gateway.providers.apns_token import ApnsKey, SharedProviderToken

    key = ApnsKey(key_id=key_id, team_id=team_id, private_key_pem=pem)
    try:
        SharedProviderToken(key, clock=lambda: 0.0)
    except SettingsError:
        raise SettingsError(
            f"{name('apns_key_file')}: got {path}, which holds no P-256 private key; "
            "wanted the .p8 file that Apple gave out"
        ) from None
    return ApnsKeyFile(key_id=key_id, team_id=team_id, private_key_pem=pem)


def _certificate(path: Path, key_path: Path | None, *, name: Callable[[str], str], read: Read) -> ApnsCertificate:
    from cryptography import x509

    from expo_gateway.project_providers import load_certificate

    setting, wanted = name("apns_certificate_file"), "a push certificate of Apple's as PEM"
    pem = _text(path, name=setting, wanted=wanted, read=read)
    key_pem = (
        pem
        if key_path is None
        else _text(key_path, name=name("apns_certificate_key_file"), wanted="its private key as PEM", read=read)
    )
    try:
        lapses_at = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
    except ValueError:
        raise SettingsError(f"{setting}: got {path}, which holds no certificate; wanted {wanted}") from None
    if lapses_at < datetime.now(UTC):
        raise SettingsError(f"{setting}: got {path}, which lapsed on {lapses_at:%Y-%m-%d}; wanted one that is valid")
    certificate = ApnsCertificate(certificate_pem=pem, private_key_pem="" if key_path is None else key_pem)
    try:
        load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate)
    except (ssl.SSLError, TypeError, ValueError):
        setting = setting if key_path is None else name("apns_certificate_key_file")
        raise SettingsError(
            f"{setting}: got {key_path or path}, without the certificate's private key; "
            "wanted that key as PEM, without a passphrase"
        ) from None
    return certificate


def fcm_credential(path: Path, *, name: str, read: Read) -> FcmCredential:
    """SettingsError unless it is a service account with a private key that can be read."""
    text = _text(path, name=name, wanted="the JSON of a service account", read=read)
    try:
        account = orjson.loads(text)
    except orjson.JSONDecodeError:
        account = None
    if not isinstance(account, dict):
        raise SettingsError(f"{name}: got {path}, which is no JSON object; wanted the JSON of a service account")
    from expo_gateway.providers.fcm_credentials import read_service_account

    try:
        read_service_account(account)
    except SettingsError as error:
        raise SettingsError(f"{name}: got {path}; {error}") from None
    return FcmCredential(service_account=account)


def _text(path: Path, *, name: str, wanted: str, read: Read) -> str:
    try:
        content = read(path)
        if len(content) > MAX_FILE_BYTES:
            raise SettingsError(f"{name}: got {path}, with more than {MAX_FILE_BYTES} bytes; wanted {wanted}")
        return content.decode()
    except OSError as error:
        raise SettingsError(f"{name}: got {path}, which can't be read ({error.strerror}); wanted {wanted}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{name}: got {path}, which is not text; wanted {wanted}") from None
