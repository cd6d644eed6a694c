"""Settings: what they are, and where they come from. CLI options win over the environment over the file over defaults.

    server.port     --port     EXPO_GATEWAY_SERVER__PORT     [server] port = … in --config FILE.toml

msgspec validates and not pydantic-settings, which costs 0.2 s of every start (measured with pydantic 2.14) and msgspec,
which decodes messages anyway, nothing. A key that nobody knows is an error that names it and the nearest known one.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Meta, Struct

from expo_gateway.errors import SettingsError
from expo_gateway.forward_settings import Forward, check_allowed
from expo_gateway.project_settings import ProjectTable, read_project_tables
from expo_gateway.seed import Seed, read_seed
from expo_gateway.settings_sections import (
    Control,
    Dispatcher,
    Emulator,
    HomeAssistant,
    Logs,
    Providers,
    Proxy,
    Runs,
    Server,
    Store,
)

__all__ = [
    "ENV_PREFIX",
    "Control",
    "Dispatcher",
    "Emulator",
    "Forward",
    "HomeAssistant",
    "Logs",
    "Providers",
    "Proxy",
    "Runs",
    "Server",
    "Setting",
    "Settings",
    "Store",
    "describe_settings",
    "load_settings",
]

ENV_PREFIX = "EXPO_GATEWAY_"

# Kubernetes gives these to every pod beside a Service that is called expo-gateway; Docker's links do the same.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
# And URL is for tests that use a gateway: see testing/gateway.py.
INJECTED = re.compile(r"EXPO_GATEWAY_(NAME|URL|SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")

Tree = dict[str, dict[str, object]]
"""section -> key -> value as it was given."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, section by section."""

    server: Server = Server()
    store: Store = Store()
    emulator: Emulator = Emulator()
    proxy: Proxy = Proxy()
    providers: Providers = Providers()
    forward: Forward = Forward()
    dispatcher: Dispatcher = Dispatcher()
    control: Control = Control()
    runs: Runs = Runs()
    home_assistant: HomeAssistant = HomeAssistant()
    logs: Logs = Logs()
    projects: tuple[ProjectTable, ...] = ()
    """The file's `[[projects]]` tables; they have no names in the environment."""
    seed: Seed | None = None
    """What stands in the file `emulator.seed`."""


class Setting(Struct, frozen=True, kw_only=True):
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
    seed = _seed_of(merged, origins)
    settings = msgspec.structs.replace(_validated(_listed(merged), origins), seed=seed)
    check_allowed(settings.forward.allow)
    if settings.home_assistant.push_url_allow:
        _check_push_urls(settings.home_assistant.push_url_allow)
    return settings if config is None or not tables else _with_projects(settings, tables, config)


def _with_projects(settings: Settings, tables: object, config: Path) -> Settings:
    return msgspec.structs.replace(settings, projects=read_project_tables(tables, config=config))


def describe_settings() -> Iterator[Setting]:
    """Every setting, in the order in which it is declared."""
    for section in msgspec.structs.fields(Settings):
        if section.name in ("projects", "seed"):
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


def _seed_of(merged: Tree, origins: dict[tuple[str, str], str]) -> Seed | None:
    """The seed that is named; what it says of settings is laid under all that was given."""
    path = merged.get("emulator", {}).get("seed")
    if not isinstance(path, str | Path) or not str(path):
        return None
    seed = read_seed(Path(path).expanduser())
    for section, key, value in seed.settings():
        if key not in merged.setdefault(section, {}):
            merged[section][key], origins[section, key] = value, str(path)
    return seed


def _check_push_urls(allowed: Sequence[str]) -> None:
    from expo_gateway.protocol.push_url import read_allowed  # it knows of networks, which few starts have to

    try:
        read_allowed(allowed)
    except ValueError as error:
        raise SettingsError(f"home_assistant.push_url_allow{error}") from None


def _listed(merged: Tree) -> Tree:
    """What is a list, and came as text out of the environment, as a list."""
    lists = {(one.section, one.key) for one in describe_settings() if one.wanted.startswith("a list of")}
    return {
        section: {
            key: _parts(value) if isinstance(value, str) and (section, key) in lists else value
            for key, value in keys.items()
        }
        for section, keys in merged.items()
    }


def _parts(text: str) -> list[str]:
    return [part for part in map(str.strip, text.split(",")) if part]


def _validated(merged: Tree, origins: Mapping[tuple[str, str], str]) -> Settings:
    try:
        return msgspec.convert(merged, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        where = re.search(r"`\$\.(\w+)\.(\w+)", str(error))
        if where is None:
            raise SettingsError(str(error)) from error
        section, key = where.groups()
        setting = next(found for found in describe_settings() if found.name == f"{section}.{key}")
        got, origin = merged[section][key], origins[section, key]
        # A list's may be push tokens.
        shown = "a list with something else" if isinstance(got, list) and got else repr(got)
        raise SettingsError(f"{setting.name}: got {shown} from {origin}; wanted {setting.wanted}") from error


def _decode(wanted: type, value: object) -> object:
    if wanted is Path and isinstance(value, str | Path) and str(value):
        return Path(value).expanduser()
    raise TypeError(f"expected a path, got {type(value).__name__}")


def _metas(annotated: Any) -> tuple[Meta, ...]:
    return tuple(annotated.__metadata__)


def _wanted(annotated: Any) -> str:
    """In words, what msgspec checks. The forms are those that this file uses."""
    plain, meta = annotated.__origin__, _metas(annotated)[0]
    if (meta.extra or {}).get("wanted"):
        return str((meta.extra or {})["wanted"])
    if plain in (bool, bool | None):
        return "true or false"
    if plain in (int, float):
        kind = "a whole number" if plain is int else "a number"
        low = f"from {meta.ge:g}" if meta.ge is not None else f"above {meta.gt:g}, up"
        return f"{kind} {low} to {meta.le:g}"
    if plain is str:
        return "@owner/slug" if meta.pattern else "some text"
    if plain == Path | None:
        return "the path of a directory"
    return "one of " + ", ".join(plain.__args__)
