"""Settings: what they are, and where they come from. CLI options win over the environment over the file over defaults.

    server.port     --port     EXPO_GATEWAY_SERVER__PORT     [server] port = … in --config FILE.toml

msgspec validates and not pydantic-settings, which costs 0.2 s of every start (measured with pydantic 2.14) and msgspec,
which decodes messages anyway, nothing. A key that nobody knows is an error that names it and the nearest known one.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from expo_gateway.errors import SettingsError
from expo_gateway.project_settings import ProjectTable, read_project_tables

ENV_PREFIX = "EXPO_GATEWAY_"

# Kubernetes gives these to every pod beside a Service that is called expo-gateway; Docker's links do the same.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
INJECTED = re.compile(r"EXPO_GATEWAY_(NAME|SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")

Tree = dict[str, dict[str, object]]
"""section -> key -> value as it was given."""


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP server that clients talk to."""

    host: Annotated[str, Meta(min_length=1, description="Address or host name to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes any free one.")] = 8080
    tls: Annotated[bool, Meta(description="Serve TLS with a certificate of the emulators' authority.")] = False
    tls_certificate: Annotated[
        Path | None,
        Meta(
            description="Serve TLS with this certificate instead, followed by its issuers', as PEM. "
            "It is read again when it changes.",
            extra={"wanted": "the path of a file"},
        ),
    ] = None
    tls_key: Annotated[
        Path | None,
        Meta(
            description="The certificate's private key, as PEM without a passphrase.",
            extra={"wanted": "the path of a file"},
        ),
    ] = None
    body_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds a request's body may take to arrive, else it is answered 408.")
    ] = 30.0
    keep_alive_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="Seconds a connection may be idle, or take to send a request's headers."),
    ] = 30.0
    write_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds a client may leave an answer unread before it is cut off.")
    ] = 30.0
    drain_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds that requests under way get to finish at a stop.")
    ] = 10.0
    metrics: Annotated[bool, Meta(description="Answer GET /metrics with what is counted, for Prometheus.")] = True
    # Off: the Python SDK's check_receipts and several other SDKs never send the token there, and ids can't be guessed.
    receipts_need_token: Annotated[
        bool, Meta(description="Ask for a project's access token for receipts too, which some SDKs never send.")
    ] = False


class Store(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where state lives."""

    data: Annotated[
        Path | None, Meta(description="Directory for all state. Without one, state goes when the process ends.")
    ] = None
    durability: Annotated[
        Literal["process", "power"],
        Meta(
            description="What accepted messages survive: the end of the process, or also a loss of power. "
            "Unset: power with a data directory, process without."
        ),
    ] = "process"


class Emulator(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The emulated APNs and FCM, and who is enrolled there."""

    platform: Annotated[
        Literal["mixed", "ios", "android"],
        Meta(description="What virtual devices are; mixed gives each push token one of both, always the same."),
    ] = "mixed"
    strict: Annotated[
        bool | None,
        Meta(
            description="Refuse push tokens that were never registered, instead of enrolling virtual devices. Unset: "
            "only while a project sends to Apple and Google. false enrols them beside such projects too."
        ),
    ] = None
    project: Annotated[
        str,
        Meta(pattern=r"^@[^@/\s]+/[^@/\s]+$", description="Project of the virtual devices, as @owner/slug."),
    ] = "@emulator/app"
    apns_port: Annotated[int, Meta(ge=0, le=65535, description="Port of the APNs emulator; 0 takes any free one.")] = 0
    fcm_port: Annotated[int, Meta(ge=0, le=65535, description="Port of the FCM emulator; 0 takes any free one.")] = 0


class Proxy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The forward proxy, for clients with https://exp.host written into them."""

    enabled: Annotated[bool, Meta(description="Serve a forward proxy that leads to the gateway and nowhere else.")] = (
        False
    )
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of the forward proxy, if it is enabled; 0 takes any free one.")
    ] = 8081
    providers: Annotated[
        bool, Meta(description="Lead clients of APNs, FCM and Google's OAuth through the proxy to the emulators too.")
    ] = False


class Providers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where real projects send to. For tests: emulators that are addressed as if they were Apple and Google."""

    apns_host: Annotated[
        str | None,
        Meta(
            description="Connect here in place of Apple's hosts; the certificate must still be in Apple's names.",
            extra={"wanted": "a host name or an address"},
        ),
    ] = None
    apns_port: Annotated[int, Meta(ge=1, le=65535, description="Port of APNs; Apple answers on 443 and 2197.")] = 443
    fcm_endpoint: Annotated[
        str, Meta(pattern=r"^https?://[^/]+$", description="Send here in place of Google.", extra={"wanted": "a URL"})
    ] = "https://fcm.googleapis.com"
    ca_file: Annotated[
        Path | None,
        Meta(
            description="Trust the authorities in this PEM file beside the system's.",
            extra={"wanted": "the path of a file"},
        ),
    ] = None


class Dispatcher(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sending to the providers."""

    # Under the 15 minutes after which Expo tells clients to ask for receipts.
    retry_budget_s: Annotated[
        float, Meta(ge=0, le=900, description="Seconds after acceptance in which a message is tried again.")
    ] = 600.0
    drain_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds that deliveries under way get to finish at a stop.")
    ] = 10.0


class Logs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged, to stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least severe lines that are logged.")
    ] = "info"
    format: Annotated[
        Literal["auto", "console", "json"], Meta(description="auto is console on a terminal and json elsewhere.")
    ] = "auto"
    access: Annotated[bool, Meta(description="Log a line for every request.")] = False


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, section by section."""

    server: Server = Server()
    store: Store = Store()
    emulator: Emulator = Emulator()
    proxy: Proxy = Proxy()
    providers: Providers = Providers()
    dispatcher: Dispatcher = Dispatcher()
    logs: Logs = Logs()
    projects: tuple[ProjectTable, ...] = ()
    """The file's `[[projects]]` tables; they have no names in the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, for documentation and messages."""

    section: str
    key: str
    default: object
    description: str
    wanted: str
    """What a value looks like: "true or false", "a whole number from 0 to 65535"."""

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def env(self) -> str:
        return f"{ENV_PREFIX}{self.section}__{self.key}".upper()


def load_settings(
    *, config: Path | None = None, environ: Mapping[str, str], overrides: Mapping[str, Mapping[str, object]]
) -> Settings:
    """Read the file and the environment, lay `overrides` (CLI options, without those not given) on top.

    Raises SettingsError: unreadable file, unknown key, wrong value.
    """
    origins: dict[tuple[str, str], str] = {}
    merged: Tree = {}
    from_file = _from_file(config) if config is not None else {}
    tables: object = from_file.pop("projects", [])
    cli = {section: dict(keys) for section, keys in overrides.items()}
    for origin, tree in ((str(config), from_file), ("the environment", _from_environ(environ)), ("the options", cli)):
        for section, keys in tree.items():
            merged.setdefault(section, {}).update(keys)
            origins.update({(section, key): origin for key in keys})
    if merged.get("store", {}).get("data") is not None:
        merged["store"].setdefault("durability", "power")
    settings = _validated(merged, origins)
    return settings if config is None or not tables else _with_projects(settings, tables, config)


def _with_projects(settings: Settings, tables: object, config: Path) -> Settings:
    return msgspec.structs.replace(settings, projects=read_project_tables(tables, config=config))


def describe_settings() -> Iterator[Setting]:
    """Every setting, in the order in which it is declared."""
    for section in msgspec.structs.fields(Settings):
        if section.name == "projects":
            continue
        for field in msgspec.structs.fields(section.type):
            yield Setting(
                section=section.name,
                key=field.name,
                default=field.default,
                description=next(meta.description or "" for meta in _metas(field.type)),
                wanted=_wanted(field.type),
            )


def _from_file(path: Path) -> Tree:
    try:
        with path.open("rb") as file:
            tree = tomllib.load(file)
    except OSError as error:
        raise SettingsError(
            f"--config: got {path}, which can't be read ({error.strerror}); wanted a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"--config: got {path}, which is not TOML: {error}") from error
    for section, keys in tree.items():
        if section == "projects":
            continue
        if not isinstance(keys, dict) or not (keys or hasattr(Settings, section)):
            raise SettingsError(_unknown(section, f"in {path}"))
        for key in keys:
            _check_known(section, key, shown=f"{section}.{key}", where=f"in {path}")
    return tree


def _from_environ(environ: Mapping[str, str]) -> Tree:
    """Names are matched without regard to case; an empty value is none, as Compose files pass them."""
    tree: Tree = {}
    for name, value in environ.items():
        if not name.upper().startswith(ENV_PREFIX) or INJECTED.fullmatch(name):
            continue
        section, _, key = name[len(ENV_PREFIX) :].lower().partition("__")
        _check_known(section, key, shown=name, where="in the environment")
        if value:
            tree.setdefault(section, {})[key] = value
    return tree


def _check_known(section: str, key: str, *, shown: str, where: str) -> None:
    if any(setting.section == section and setting.key == key for setting in describe_settings()):
        return
    raise SettingsError(_unknown(shown, where))


def _unknown(shown: str, where: str) -> str:
    """Never the value: it may be a secret under a misspelt name."""
    env = shown.upper().startswith(ENV_PREFIX)
    names = [setting.env if env else setting.name for setting in describe_settings()]
    nearest = difflib.get_close_matches(shown.upper() if env else shown, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"wanted one of {', '.join(names)}"
    return f"{shown} {where}: there is no such setting; {hint}"


def _validated(merged: Tree, origins: Mapping[tuple[str, str], str]) -> Settings:
    try:
        return msgspec.convert(merged, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        where = re.search(r"`\$\.(\w+)\.(\w+)`", str(error))
        if where is None:
            raise SettingsError(str(error)) from error
        section, key = where.groups()
        setting = next(found for found in describe_settings() if found.name == f"{section}.{key}")
        got, origin = merged[section][key], origins[section, key]
        raise SettingsError(f"{setting.name}: got {got!r} from {origin}; wanted {setting.wanted}") from error


def _decode(wanted: type, value: object) -> object:
    if wanted is Path and isinstance(value, str | Path) and str(value):
        return Path(value).expanduser()
    raise TypeError(f"expected a path, got {type(value).__name__}")


def _metas(annotated: Any) -> tuple[Meta, ...]:
    return tuple(annotated.__metadata__)


def _wanted(annotated: Any) -> str:
    """In words, what msgspec checks. The forms are those that this file uses."""
    plain, meta = annotated.__origin__, _metas(annotated)[0]
    if plain in (bool, bool | None):
        return "true or false"
    if plain in (int, float):
        kind = "a whole number" if plain is int else "a number"
        low = f"from {meta.ge:g}" if meta.ge is not None else f"above {meta.gt:g}, up"
        return f"{kind} {low} to {meta.le:g}"
    if plain in (str, str | None) and (meta.extra or {}).get("wanted"):
        return str((meta.extra or {})["wanted"])
    if plain is str:
        return "@owner/slug" if meta.pattern else "some text"
    if plain == Path | None:
        return str((meta.extra or {}).get("wanted", "the path of a directory"))
    return "one of " + ", ".join(plain.__args__)
