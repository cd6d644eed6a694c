"""`expo-gateway projects`: who sends, and what Apple and Google know them by. Secrets come from files or stdin only."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from expo_gateway.commands.project_answers import as_json as project_json
from expo_gateway.commands.project_answers import lines_of
from expo_gateway.commands.stored import AsJson, DataDir, Named, find, note, print_json, print_table, with_registry
from expo_gateway.errors import SettingsError
from expo_gateway.project_files import MAX_FILE_BYTES, apns_credential, fcm_credential, rate_limit, read_file
from expo_gateway.project_settings import ProjectTable, read_table
from expo_gateway.protocol.device import Project, ProjectKind, made_for, project_id_of
from expo_gateway.protocol.project import ConfiguredProject, with_apns
from expo_gateway.registry.base import Registry

app = typer.Typer(help="Projects, their credentials and limits.", no_args_is_help=True)

Kind = Annotated[
    str | None, typer.Option(metavar="KIND", help="real sends to Apple and Google, emulated to the emulators.")
]
KeyFile = Annotated[Path | None, typer.Option(metavar="FILE.p8", help="An APNs key; - reads stdin.")]
KeyId = Annotated[str | None, typer.Option(metavar="ID", help="The key's id: ten letters and digits.")]
TeamId = Annotated[str | None, typer.Option(metavar="ID", help="The team that the key is of.")]
CertificateFile = Annotated[
    Path | None, typer.Option(metavar="FILE.pem", help="A push certificate in place of a key; - reads stdin.")
]
CertificateKeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE.pem", help="Its private key, unless it is in the same file.")
]
BundleIds = Annotated[
    list[str] | None,
    typer.Option("--apns-bundle-id", metavar="ID", help="An app that it serves; may be repeated. Without: any."),
]
Environment = Annotated[
    str | None, typer.Option(metavar="NAME", help="What it is good for: production, sandbox or both (default).")
]
FcmFile = Annotated[
    Path | None, typer.Option(metavar="FILE.json", help="A service account of Google's; - reads stdin.")
]
RequiresToken = Annotated[
    bool | None,
    typer.Option("--requires-token/--no-requires-token", help="Refuse to send without an access token."),
]
PerSecond = Annotated[
    int | None, typer.Option(metavar="N", help="Rate limit; 0 is none. A real project begins with 600.")
]


@app.command("list")
def list_projects(data: DataDir = None, as_json: AsJson = False) -> None:
    """List all projects."""
    found = with_registry(data, lambda registry: registry.configured_projects())
    if as_json:
        print_json([project_json(one) for one in found])
        return
    print_table(
        ("project", "id", "kind", "APNs", "FCM", "tokens"),
        [
            (
                one.project.full_name,
                one.project.project_id,
                one.project.kind.value,
                ", ".join(credential.environment for credential in one.apns) or "-",
                "yes" if one.fcm is not None else "-",
                f"{len(one.tokens)}{', required' if one.requires_token else ''}",
            )
            for one in found
        ],
    )


@app.command()
def show(project: Named, data: DataDir = None, as_json: AsJson = False) -> None:
    """Show what is configured for a project; no secrets."""
    _answer(with_registry(data, lambda registry: find(registry, project)), as_json=as_json)


@app.command()
def add(
    full_name: Annotated[str, typer.Argument(metavar="@OWNER/SLUG")],
    project_id: Annotated[
        str | None, typer.Option("--id", metavar="UUID", help="The projectId that its apps register with.")
    ] = None,
    kind: Kind = None,
    apns_key_file: KeyFile = None,
    apns_key_id: KeyId = None,
    apns_team_id: TeamId = None,
    apns_certificate_file: CertificateFile = None,
    apns_certificate_key_file: CertificateKeyFile = None,
    apns_bundle_ids: BundleIds = None,
    apns_environment: Environment = None,
    fcm_service_account_file: FcmFile = None,
    requires_token: RequiresToken = None,
    notifications_per_second: PerSecond = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a project that sends to Apple and Google (or, with --kind emulated, to the emulators).

    A project that was made because a phone registered with its id is taken over, with its devices.
    """
    table = _table(
        full_name=full_name,
        project_id=project_id,
        kind=kind,
        apns_key_file=apns_key_file,
        apns_key_id=apns_key_id,
        apns_team_id=apns_team_id,
        apns_certificate_file=apns_certificate_file,
        apns_certificate_key_file=apns_certificate_key_file,
        apns_bundle_ids=apns_bundle_ids,
        apns_environment=apns_environment,
        fcm_service_account_file=fcm_service_account_file,
        requires_token=requires_token,
        notifications_per_second=notifications_per_second,
    )
    made_kind = ProjectKind(table.kind)
    made = Project(
        project_id=(table.project_id or project_id_of(full_name)).lower(), full_name=full_name, kind=made_kind
    )
    limit = rate_limit(table.notifications_per_second, kind=made_kind)
    fresh = ConfiguredProject(project=made, requires_token=table.requires_token, notifications_per_second=limit)
    added = _with_credentials(fresh, table)

    async def store(registry: Registry) -> ConfiguredProject:
        taken_over = _taken_over(made, await registry.configured_projects(), is_id_given=project_id is not None)
        try:
            await registry.configure(added)
        except ValueError as error:
            # Somebody was faster.
            raise SettingsError(f"@OWNER/SLUG: got {error}; wanted a name of its own") from error
        return replace(added, tokens=taken_over.tokens if taken_over is not None else ())

    _answer(with_registry(data, store, make=True), as_json=as_json)


@app.command("set")
def set_project(
    project: Named,
    full_name: Annotated[str | None, typer.Option("--name", metavar="@OWNER/SLUG", help="A new name.")] = None,
    kind: Kind = None,
    apns_key_file: KeyFile = None,
    apns_key_id: KeyId = None,
    apns_team_id: TeamId = None,
    apns_certificate_file: CertificateFile = None,
    apns_certificate_key_file: CertificateKeyFile = None,
    apns_bundle_ids: BundleIds = None,
    apns_environment: Environment = None,
    no_apns: Annotated[bool, typer.Option("--no-apns", help="Remove all APNs credentials first.")] = False,
    fcm_service_account_file: FcmFile = None,
    no_fcm: Annotated[bool, typer.Option("--no-fcm", help="Remove the service account.")] = False,
    requires_token: RequiresToken = None,
    notifications_per_second: PerSecond = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change a project; what is not named stays. A new key takes the place of the one for its environment."""
    given = {"kind": kind, "requires_token": requires_token, "notifications_per_second": notifications_per_second}
    table = _table(
        full_name=full_name or "@unchanged/name",
        apns_key_file=apns_key_file,
        apns_key_id=apns_key_id,
        apns_team_id=apns_team_id,
        apns_certificate_file=apns_certificate_file,
        apns_certificate_key_file=apns_certificate_key_file,
        apns_bundle_ids=apns_bundle_ids,
        apns_environment=apns_environment,
        fcm_service_account_file=fcm_service_account_file,
        name_option="--name",
        **given,
    )

    async def store(registry: Registry) -> ConfiguredProject:
        before = await find(registry, project)
        kept = replace(before, apns=() if no_apns else before.apns, fcm=None if no_fcm else before.fcm)
        changed = _with_credentials(_with_given(kept, table, full_name=full_name, given=given), table)
        try:
            await registry.configure(changed)
        except ValueError as error:
            raise SettingsError(f"--name: got {error}; wanted a name of its own") from error
        return changed

    _answer(with_registry(data, store), as_json=as_json)


@app.command()
def remove(
    project: Named,
    with_devices: Annotated[bool, typer.Option("--with-devices", help="Forget its devices too.")] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove a project with its credentials and access tokens."""

    async def removed(registry: Registry) -> dict[str, object]:
        one = (await find(registry, project)).project
        if not with_devices and await registry.list_devices(project_id=one.project_id, limit=1):
            raise SettingsError(
                f"PROJECT: {one.full_name} has devices, and their push tokens would be lost; "
                "--with-devices removes them too"
            )
        gone = await registry.remove_project(one.project_id)
        return {"removed": one.full_name, "project_id": one.project_id, "devices": gone}

    answer = with_registry(data, removed)
    if as_json:
        print_json(answer)
    else:
        note(f"removed {answer['removed']} and {answer['devices']} devices")


def _taken_over(made: Project, known: Sequence[ConfiguredProject], *, is_id_given: bool) -> ConfiguredProject | None:
    """The project whose place `made` takes, if any: one that was made for a phone, and got no credentials since.

    SettingsError: the id or the name is another project's.
    """
    of_id = next((one for one in known if one.project.project_id == made.project_id), None)
    of_name = next((one for one in known if one.project.full_name == made.full_name), None)
    if of_name is not None and of_name is not of_id:
        raise SettingsError(
            f"@OWNER/SLUG: got {made.full_name}, which is the name of project {of_name.project.project_id}; "
            "`expo-gateway projects set` changes that one"
        )
    if of_id is None or (of_id.project == made_for(made.project_id) and not (of_id.apns or of_id.fcm)):
        return of_id
    if of_id is of_name:
        there = f"{made.full_name} ({made.project_id}) is there already"
        raise SettingsError(f"@OWNER/SLUG: {there}; `expo-gateway projects set` changes it")
    if not is_id_given:
        whose = f"the one derived from the name is that of {of_id.project.full_name}"
        raise SettingsError(f"--id: it is missing, and {whose}; wanted another UUID")
    raise SettingsError(
        f"--id: got {made.project_id}, which is the id of {of_id.project.full_name}; "
        "`expo-gateway projects set` changes that one"
    )


def _table(*, name_option: str = "@OWNER/SLUG", **options: object) -> ProjectTable:
    """The options as a table of the settings file: the same rules, the same words."""
    given = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    return read_table(
        {key: value for key, value in given.items() if value not in (None, [])},
        name=lambda key: name_option if key == "full_name" else _option(key),
        origin="from the options",
        directory=Path(),
    )


def _option(key: str) -> str:
    special = {"apns_bundle_ids": "--apns-bundle-id", "project_id": "--id"}
    return special.get(key, "--" + key.replace("_", "-"))


def _with_given(
    before: ConfiguredProject, table: ProjectTable, *, full_name: str | None, given: Mapping[str, object]
) -> ConfiguredProject:
    """What was given changes. A project that becomes real gets the limit that a real one begins with."""
    kind = before.project.kind if given["kind"] is None else ProjectKind(table.kind)
    limit = before.notifications_per_second
    if table.notifications_per_second is not None or (kind is not before.project.kind and limit is None):
        limit = rate_limit(table.notifications_per_second, kind=kind)
    return replace(
        before,
        project=replace(before.project, full_name=full_name or before.project.full_name, kind=kind),
        requires_token=before.requires_token if given["requires_token"] is None else table.requires_token,
        notifications_per_second=limit,
    )


def _with_credentials(before: ConfiguredProject, table: ProjectTable) -> ConfiguredProject:
    apns = apns_credential(table, name=_option, read=_read)
    fcm = before.fcm
    if table.fcm_service_account_file is not None:
        fcm = fcm_credential(table.fcm_service_account_file, name="--fcm-service-account-file", read=_read)
    return replace(before, apns=before.apns if apns is None else with_apns(before.apns, apns), fcm=fcm)


def _read(path: Path) -> bytes:
    return sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if path == Path("-") else read_file(path)


def _answer(one: ConfiguredProject, *, as_json: bool) -> None:
    if as_json:
        print_json(project_json(one))
    else:
        print_table(("", ""), lines_of(one))
