"""Seeds: what a gateway starts with. Projects, devices, faults, clock and limits of the default world, in one file.

The shape is that of the control API's state without its history, so what was exported can be kept and started from.
docs/seeds.md describes it key by key.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from expo_gateway.errors import RequestRefused, SettingsError
from expo_gateway.forward_settings import check_allowed
from expo_gateway.project_settings import FULL_NAME, MAX_PER_SECOND, UUID
from expo_gateway.protocol.device import Platform
from expo_gateway.protocol.magic import magic_of
from expo_gateway.protocol.push_token import passes_sdk_check
from expo_gateway.seed_file import SeedFile, read_seed_file

Instant = float | str
"""Unix seconds, or RFC 3339 text with an offset or Z."""

_PerSecond = Annotated[int, Meta(ge=1, le=MAX_PER_SECOND)]
# Those that the emulators, and so Apple and Google, take for one.
_DEVICE_TOKENS: Final = {
    Platform.IOS: (re.compile(r"(?:[0-9a-fA-F]{2}){32,100}", re.ASCII), "64 to 200 hex digits"),
    Platform.ANDROID: (re.compile(r"[A-Za-z0-9_:-]{1,4096}", re.ASCII), "letters, digits, _ : and -"),
}


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class SeedProject(_Part, frozen=True, kw_only=True):
    """An emulated project. Real ones are configured: a seed holds no credentials."""

    full_name: Annotated[str, Meta(pattern=FULL_NAME)]
    project_id: Annotated[str, Meta(pattern=UUID)] | None = None
    requires_token: bool = False
    notifications_per_second: _PerSecond | None = None


class SeedDevice(_Part, frozen=True, kw_only=True):
    """A virtual device; what is left out is made of its push token, the same each time."""

    push_token: str
    platform: Platform | None = None
    project: str | None = None
    """Full name of one of the seed's projects; None: that of `emulator.project`."""
    device_token: str | None = None
    app_id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    sandbox: bool = False
    unregistered_at: Instant | None = None
    gone_at: Instant | None = None

    def __repr__(self) -> str:
        return f"SeedDevice(platform={self.platform!r}, project={self.project!r})"  # tokens are secrets


class SeedClock(_Part, frozen=True, kw_only=True):
    at: Instant | None = None
    frozen: bool = False


class SeedLimits(_Part, frozen=True, kw_only=True):
    notifications_per_second: _PerSecond | None = None
    receipt_delay_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0


class SeedForward(_Part, frozen=True, kw_only=True):
    allow: tuple[str, ...]


class Seed(_Part, frozen=True, kw_only=True):
    version: Literal[1] = 1
    exported_at: Instant | None = None
    """Of an exported state; of no matter."""
    projects: tuple[SeedProject, ...] = ()
    devices: tuple[SeedDevice, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    """As in `emulators/fault_json.py`; they were decoded once to see that they can be."""
    clock: SeedClock | None = None
    limits: SeedLimits | None = None
    magic_tokens: bool | None = None
    """`emulator.magic_tokens`, unless that is set."""
    forward: SeedForward | None = None
    """The section [forward], unless that is set."""
    deliveries: tuple[object, ...] = ()
    captures: tuple[object, ...] = ()

    def settings(self) -> Iterator[tuple[str, str, object]]:
        """(section, key, value) of what are settings, too."""
        if self.magic_tokens is not None:
            yield "emulator", "magic_tokens", self.magic_tokens
        if self.forward is not None:
            yield "forward", "allow", list(self.forward.allow)

    def needs_control(self) -> str:
        """What of it acts only where tests may control the gateway; "": nothing."""
        parts = {"faults": self.faults, "clock": self.clock is not None, "limits": self.limits is not None}
        gone = any(device.unregistered_at is not None for device in self.devices)
        return next((name for name, is_there in {**parts, "devices[].unregistered_at": gone}.items() if is_there), "")


def read_seed(path: Path) -> Seed:
    """SettingsError: names the file, the line where it is known, and the key that is wrong."""
    file = read_seed_file(path)
    try:
        seed = msgspec.convert(file.value, Seed)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), file) from None
    except RecursionError:
        raise file.wrong("", "it contains itself") from None
    for key, message in (*_wrong_whole(seed), *_wrong_projects(seed), *_wrong_devices(seed), *_wrong_faults(seed)):
        raise file.wrong(key, message)
    return seed


def instant(value: Instant) -> float:
    """Unix seconds. ValueError: it is none from 1971 to 2200."""
    # Not at the top: it brings asyncio, which settings can do without.
    from expo_gateway.clock import EARLIEST_AT, LATEST_AT

    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ValueError("it has no offset")
        at = at.timestamp()
    if not EARLIEST_AT <= at <= LATEST_AT:
        raise ValueError("it is not from 1971 to 2200")
    return at


# -- what is wrong ----------------------------------------------------------------------------------------------------


def _wrong_whole(seed: Seed) -> Iterator[tuple[str, str]]:
    for key in ("deliveries", "captures"):
        if getattr(seed, key):
            yield key, "a seed has no history; wanted it left out, or sent to POST /_gateway/v1/state"
    if seed.clock is not None and seed.clock.at is not None:
        yield from _wrong_instant(seed.clock.at, "clock.at")
    if seed.forward is not None:
        try:
            check_allowed(seed.forward.allow)
        except SettingsError as error:
            yield "forward.allow", str(error).partition(": ")[2]


def _wrong_projects(seed: Seed) -> Iterator[tuple[str, str]]:
    for key in ("full_name", "project_id"):
        given = [getattr(project, key) for project in seed.projects]
        for number, value in enumerate(given):
            if value is not None and value in given[:number]:
                yield f"projects[{number}].{key}", f"{value} is given more than once"


def _wrong_devices(seed: Seed) -> Iterator[tuple[str, str]]:
    names = [project.full_name for project in seed.projects]
    seen: set[str] = set()
    for number, device in enumerate(seed.devices):
        here = f"devices[{number}]"
        for key, message in (*_wrong_push_token(device, seen), *_wrong_device_token(device)):
            yield f"{here}.{key}", message
        if device.project is not None and device.project not in names:
            near = difflib.get_close_matches(device.project, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "name it under projects"
            yield f"{here}.project", f"the seed has no project {device.project}; {hint}"
        for key in ("unregistered_at", "gone_at"):
            if (at := getattr(device, key)) is not None:
                yield from _wrong_instant(at, f"{here}.{key}")
        seen.add(device.push_token)


def _wrong_push_token(device: SeedDevice, seen: set[str]) -> Iterator[tuple[str, str]]:
    if not passes_sdk_check(device.push_token):
        yield "push_token", "no SDK lets it pass; wanted ExponentPushToken[…]"
    elif device.push_token in seen:
        yield "push_token", "another device has it"
    elif device.device_token is None and _is_magic(device.push_token):
        # With one it comes from an exported state, and its outcome stands in there.
        yield "push_token", "magic push tokens have their outcomes without a seed"


def _wrong_device_token(device: SeedDevice) -> Iterator[tuple[str, str]]:
    if device.platform is Platform.LOCAL:
        yield "platform", "got local, which registers itself at /api/mobile_app/registrations; wanted ios or android"
        return
    if device.device_token is None:
        return
    if device.platform is None:
        yield "platform", "it is missing beside device_token; wanted ios or android"
        return
    pattern, wanted = _DEVICE_TOKENS[device.platform]
    if pattern.fullmatch(device.device_token) is None:
        yield "device_token", f"it is none of {device.platform.value}; wanted {wanted}"


def _wrong_faults(seed: Seed) -> Iterator[tuple[str, str]]:
    if not seed.faults:
        return
    from expo_gateway.emulators.fault_json import InvalidFault, decode_rule

    seen: set[str] = set()
    for number, fault in enumerate(seed.faults):
        try:
            rule = decode_rule(fault, now=0.0)
        except InvalidFault as error:
            yield f"faults[{number}]" + (f".{error.field}" if error.field else ""), error.message
            continue
        if rule.id and rule.id in seen:
            yield f"faults[{number}].id", f"another fault is called {rule.id}"
        seen.add(rule.id)


def _wrong_instant(value: Instant, key: str) -> Iterator[tuple[str, str]]:
    try:
        instant(value)
    except ValueError:
        yield key, "wanted Unix seconds, or RFC 3339 text with an offset or Z, from 1971 to 2200"


def _is_magic(push_token: str) -> bool:
    try:
        return magic_of(push_token) is not None
    except RequestRefused:
        return True


_AT: Final = re.compile(r"(?P<text>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_KEY: Final = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")


def _invalid(text: str, file: SeedFile) -> SettingsError:
    """msgspec says where as "… - at `$.devices[2].platform`", and of a key too many where it should not be."""
    at = _AT.fullmatch(text)
    message, path = (at["text"], at["path"] or "") if at else (text, "")
    unknown = _KEY.match(message)
    if unknown is None:
        return file.wrong(path, message[:1].lower() + message[1:])
    known = _KNOWN.get(re.sub(r"\[.*", "", path), ())
    near = difflib.get_close_matches(unknown["key"], known, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; wanted one of {', '.join(known)}"
    return file.wrong(".".join(part for part in (path, unknown["key"]) if part), f"there is no such key{hint}")


_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "": Seed.__struct_encode_fields__,
    "projects": SeedProject.__struct_encode_fields__,
    "devices": SeedDevice.__struct_encode_fields__,
    "clock": SeedClock.__struct_encode_fields__,
    "limits": SeedLimits.__struct_encode_fields__,
    "forward": SeedForward.__struct_encode_fields__,
}
