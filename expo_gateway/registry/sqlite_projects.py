"""Projects and what is configured for them, as rows. Every change to them also counts up `projects_version`."""

import sqlite3
from collections import defaultdict
from typing import cast

import orjson

from expo_gateway.protocol.device import Project, ProjectKind
from expo_gateway.protocol.project import (
    AccessToken,
    ApnsCertificate,
    ApnsCredential,
    ApnsEnvironment,
    ApnsKeyFile,
    ConfiguredProject,
    FcmCredential,
    in_order,
)

_PROJECTS = "SELECT project_id, full_name, kind FROM projects"
_CONFIGURED = """
SELECT project_id, full_name, kind, requires_token, notifications_per_second, fcm_service_account
FROM projects ORDER BY full_name
"""
_PUT = """
INSERT INTO projects (project_id, full_name, kind, requires_token, notifications_per_second, fcm_service_account)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (project_id) DO UPDATE SET full_name = excluded.full_name, kind = excluded.kind,
  requires_token = excluded.requires_token, notifications_per_second = excluded.notifications_per_second,
  fcm_service_account = excluded.fcm_service_account
"""
_PUT_APNS = """
INSERT INTO apns_credentials (project_id, environment, bundle_ids, key_id, team_id, certificate_pem, private_key_pem)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_APNS = """
SELECT project_id, environment, bundle_ids, key_id, team_id, certificate_pem, private_key_pem FROM apns_credentials
"""
_ADD_TOKEN = """
INSERT INTO access_tokens (project_id, name, sha256, hint, created_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (project_id, name) DO NOTHING
"""


def projects(connection: sqlite3.Connection) -> list[Project]:
    return [_project(row) for row in connection.execute(f"{_PROJECTS} ORDER BY full_name").fetchall()]


def project_of(connection: sqlite3.Connection, *, where: str, value: str) -> Project | None:
    """`where` is ours: a column that is unique."""
    row = connection.execute(f"{_PROJECTS} WHERE {where} = ?", (value,)).fetchone()
    return None if row is None else _project(row)


def add_project(connection: sqlite3.Connection, *, project: Project) -> Project:
    known = project_of(connection, where="project_id", value=project.project_id) or project_of(
        connection, where="full_name", value=project.full_name
    )
    if known is None:
        _put(connection, ConfiguredProject(project=project))
        _changed(connection)
    return known or project


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT version FROM projects_version").fetchone()[0])


def configured_projects(connection: sqlite3.Connection) -> list[ConfiguredProject]:
    # One snapshot for the three reads: what was committed in between would not fit together.
    connection.execute("BEGIN")
    try:
        rows = connection.execute(_CONFIGURED).fetchall()
        apns, tokens = _apns(connection), _tokens(connection)
    finally:
        connection.execute("ROLLBACK")
    return [
        ConfiguredProject(
            project=_project((project_id, full_name, kind)),
            requires_token=bool(requires_token),
            notifications_per_second=per_second,
            apns=in_order(tuple(apns[project_id])),
            fcm=None if account is None else FcmCredential(service_account=orjson.loads(account)),
            tokens=tuple(tokens[project_id]),
        )
        for project_id, full_name, kind, requires_token, per_second, account in rows
    ]


def configure(connection: sqlite3.Connection, *, configured: ConfiguredProject) -> None:
    project = configured.project
    namesake = project_of(connection, where="full_name", value=project.full_name)
    if namesake is not None and namesake.project_id != project.project_id:
        raise ValueError(f"{project.full_name}, which is the name of project {namesake.project_id}")
    _put(connection, configured)
    connection.execute("DELETE FROM apns_credentials WHERE project_id = ?", (project.project_id,))
    connection.executemany(_PUT_APNS, [_apns_columns(project.project_id, one) for one in configured.apns])
    _changed(connection)


def remove(connection: sqlite3.Connection, *, project_id: str) -> int:
    gone = connection.execute("DELETE FROM devices WHERE project_id = ?", (project_id,)).rowcount
    for table in ("apns_credentials", "access_tokens", "projects"):
        connection.execute(f"DELETE FROM {table} WHERE project_id = ?", (project_id,))
    _changed(connection)
    return gone


def add_token(connection: sqlite3.Connection, *, project_id: str, token: AccessToken) -> bool:
    if project_of(connection, where="project_id", value=project_id) is None:
        raise ValueError(f"there is no project {project_id}")
    row = (project_id, token.name, token.sha256, token.hint, token.created_at)
    is_new = connection.execute(_ADD_TOKEN, row).rowcount > 0
    _changed(connection)
    return is_new


def revoke_token(connection: sqlite3.Connection, *, project_id: str, name: str) -> bool:
    op = "DELETE FROM access_tokens WHERE project_id = ? AND name = ?"
    was_there = connection.execute(op, (project_id, name)).rowcount > 0
    _changed(connection)
    return was_there


def _changed(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE projects_version SET version = version + 1")


def _project(row: tuple[str, str, str]) -> Project:
    return Project(project_id=row[0], full_name=row[1], kind=ProjectKind(row[2]))


def _put(connection: sqlite3.Connection, configured: ConfiguredProject) -> None:
    project, fcm = configured.project, configured.fcm
    connection.execute(
        _PUT,
        (
            project.project_id,
            project.full_name,
            project.kind.value,
            configured.requires_token,
            configured.notifications_per_second,
            None if fcm is None else orjson.dumps(fcm.service_account).decode(),
        ),
    )


def _apns(connection: sqlite3.Connection) -> defaultdict[str, list[ApnsCredential]]:
    found: defaultdict[str, list[ApnsCredential]] = defaultdict(list)
    for project_id, environment, bundle_ids, *secret in connection.execute(_APNS).fetchall():
        found[project_id].append(
            ApnsCredential(
                secret=_secret(*secret),
                environment=cast(ApnsEnvironment, environment),
                bundle_ids=tuple(orjson.loads(bundle_ids)),
            )
        )
    return found


def _secret(
    key_id: str, team_id: str, certificate_pem: str | None, private_key_pem: str
) -> ApnsKeyFile | ApnsCertificate:
    if certificate_pem is not None:
        return ApnsCertificate(certificate_pem=certificate_pem, private_key_pem=private_key_pem)
    return ApnsKeyFile(key_id=key_id, team_id=team_id, private_key_pem=private_key_pem)


def _apns_columns(project_id: str, credential: ApnsCredential) -> tuple[str | None, ...]:
    """The parameters of _PUT_APNS."""
    secret = credential.secret
    named = (
        (secret.key_id, secret.team_id, None)
        if isinstance(secret, ApnsKeyFile)
        else (None, None, secret.certificate_pem)
    )
    bundle_ids = orjson.dumps(credential.bundle_ids).decode()
    return (project_id, credential.environment, bundle_ids, *named, secret.private_key_pem)


def _tokens(connection: sqlite3.Connection) -> defaultdict[str, list[AccessToken]]:
    found: defaultdict[str, list[AccessToken]] = defaultdict(list)
    rows = connection.execute("SELECT project_id, name, sha256, hint, created_at FROM access_tokens ORDER BY name")
    for project_id, name, sha256, hint, created_at in rows.fetchall():
        found[project_id].append(AccessToken(name=name, sha256=sha256, hint=hint, created_at=created_at))
    return found
