"""The `[[projects]]` tables of the settings file, as they are written: names, limits, and paths of credential files.

What is in the files is read by project_files.py. A table is the whole truth about its project's credentials and limits
at the start; its access tokens are made with `expo-gateway tokens` and stay.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from expo_gateway.errors import SettingsError

FULL_NAME = r"^@[\w.-]{1,100}/[\w.-]{1,100}$"
# https://developer.apple.com/help/account/manage-keys/get-a-key-identifier: ten characters, as are team ids.
APPLE_ID = r"^[A-Z0-9]{10}$"
UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
BUNDLE_ID = r"^[A-Za-z0-9.-]{1,155}$"
MAX_PER_SECOND = 1_000_000

_PATH = {"wanted": "the path of a file"}


class ProjectTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One project that sends to Apple and Google, or to the emulators."""

    full_name: Annotated[
        str, Meta(pattern=FULL_NAME, description="Name of the project.", extra={"wanted": "@owner/slug"})
    ]
    project_id: Annotated[
        Annotated[str, Meta(pattern=UUID)] | None,
        Meta(
            description="The projectId that its apps register with. Without one, it is derived from the name.",
            extra={"wanted": "a UUID"},
        ),
    ] = None
    kind: Annotated[
        Literal["real", "emulated"],
        Meta(description="Where its messages go: to Apple and Google, or to the emulators.", extra={}),
    ] = "real"
    apns_key_file: Annotated[Path | None, Meta(description="A .p8 key of Apple's developer account.", extra=_PATH)] = (
        None
    )
    apns_key_id: Annotated[
        Annotated[str, Meta(pattern=APPLE_ID)] | None,
        Meta(description="The key's id.", extra={"wanted": "ten letters and digits"}),
    ] = None
    apns_team_id: Annotated[
        Annotated[str, Meta(pattern=APPLE_ID)] | None,
        Meta(description="The team that the key is of.", extra={"wanted": "ten letters and digits"}),
    ] = None
    apns_certificate_file: Annotated[
        Path | None, Meta(description="A push certificate as PEM, in place of a key.", extra=_PATH)
    ] = None
    apns_certificate_key_file: Annotated[
        Path | None,
        Meta(description="Its private key as PEM without a passphrase, unless it is in the same file.", extra=_PATH),
    ] = None
    apns_bundle_ids: Annotated[
        tuple[Annotated[str, Meta(pattern=BUNDLE_ID)], ...],
        Meta(description="The apps that the key or certificate serves. Empty: any.", extra={"wanted": "bundle ids"}),
    ] = ()
    apns_environment: Annotated[
        Literal["production", "sandbox", "both"],
        Meta(description="What it is good for; development builds are in the sandbox.", extra={}),
    ] = "both"
    fcm_service_account_file: Annotated[
        Path | None, Meta(description="A service account's JSON, as Google gives it out.", extra=_PATH)
    ] = None
    requires_token: Annotated[
        bool,
        Meta(
            description="Refuse to send without an access token; Expo calls it enhanced security.",
            extra={"wanted": "true or false"},
        ),
    ] = False
    notifications_per_second: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_PER_SECOND)] | None,
        Meta(
            description="Rate limit; 0 is none. Unset: 600 for a real project, none for an emulated one.",
            extra={"wanted": f"a whole number from 0 to {MAX_PER_SECOND}"},
        ),
    ] = None


class ProjectSetting(Struct, frozen=True, kw_only=True):
    """One key of a table, for documentation and messages."""

    key: str
    default: object
    """msgspec.NODEFAULT: it must be given."""
    description: str
    wanted: str


def describe_project_settings() -> Iterator[ProjectSetting]:
    """Every key of a `[[projects]]` table, in the order in which it is declared."""
    for field in msgspec.structs.fields(ProjectTable):
        annotated: Any = field.type
        meta: Meta = annotated.__metadata__[0]
        wanted = (meta.extra or {}).get("wanted") or "one of " + ", ".join(annotated.__origin__.__args__)
        yield ProjectSetting(
            key=field.name, default=field.default, description=meta.description or "", wanted=str(wanted)
        )


def read_project_tables(tables: object, *, config: Path) -> tuple[ProjectTable, ...]:
    """The tables of the file `config`; relative paths in them start at its directory. SettingsError names the key."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SettingsError(f"projects: got something else in {config}; wanted tables that begin with [[projects]]")
    return tuple(
        read_table(table, name=partial(_in_file, number), origin=f"in {config}", directory=config.parent)
        for number, table in enumerate(tables)
    )


def _in_file(number: int, key: str) -> str:
    return f"projects[{number}].{key}"


def read_table(
    table: Mapping[str, object], *, name: Callable[[str], str], origin: str, directory: Path
) -> ProjectTable:
    """One table. `name` is what a key is called there, `origin` says where ("in FILE"). SettingsError."""
    known = {setting.key: setting for setting in describe_project_settings()}
    for key in table:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5) or sorted(known)
            hint = "did you mean" if len(nearest) == 1 else "wanted one of"
            raise SettingsError(f"{name(key)} {origin}: there is no such setting; {hint} {', '.join(nearest)}?")
    try:
        return msgspec.convert(table, ProjectTable, dec_hook=lambda wanted, value: _path(wanted, value, directory))
    except msgspec.ValidationError as error:
        where = re.search(r"`\$\.(\w+)", str(error))
        key = where.group(1) if where is not None else "full_name"
        got = f"got {shown(table[key])}" if key in table else "it is missing"
        raise SettingsError(f"{name(key)}: {got} {origin}; wanted {known[key].wanted}") from None


def _path(wanted: type, value: object, directory: Path) -> object:
    if wanted is Path and isinstance(value, str) and value and "\n" not in value:
        return directory / Path(value).expanduser()
    raise TypeError("expected a path")


def shown(value: object) -> str:
    """For a message. Somebody may have given a secret where its path was wanted: nothing long is repeated."""
    text = repr(value)
    return text if len(text) <= 80 and "-----" not in text else f"a text of {len(text)} characters"
