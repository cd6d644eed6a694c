"""Magic push tokens: each has one fixed outcome, with nothing to set up.

    ExponentPushToken[magic-<kind>-<anything>]

"Anything" makes it 22 characters in the brackets, as Expo's own have, and gives a test as many devices of a kind as it
wants. The device token begins with the same words, so that what knows only that knows the outcome too. What each kind
does for its user is in docs/magic-tokens.md; the refusals come from the emulators (`emulators/magic_devices.py`).
"""

import math
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.device import Device, Platform, Project, project_id_of, virtual_device


class MagicKind(StrEnum):
    GONE = "gone"
    UNINSTALLED = "uninstalled"
    TOO_BIG = "toobig"
    TOO_FAST = "toofast"
    MISMATCH = "mismatch"
    CREDENTIALS = "credentials"
    DEVELOPER = "developer"
    PROVIDER = "provider"
    EXPO = "expo"
    PENDING = "pending"
    AFTER = "after"
    """As it is written, `after30s`: the seconds are part of it."""
    OTHER_PROJECT = "otherproject"
    BUSY = "busy"


REFUSED_BY_PROVIDER: Final = frozenset(
    {
        *(MagicKind.UNINSTALLED, MagicKind.TOO_BIG, MagicKind.TOO_FAST, MagicKind.MISMATCH),
        *(MagicKind.CREDENTIALS, MagicKind.DEVELOPER, MagicKind.PROVIDER),
    }
)

OTHER_PROJECT: Final = Project(project_id=project_id_of("@emulator/other"), full_name="@emulator/other")
"""Whose the devices of `otherproject` are."""

_OTHER_PROJECT_MARK: Final = f"[magic-{MagicKind.OTHER_PROJECT.value}"

# Receipts are kept for a day.
MAX_AFTER_S: Final = 86_399
SECRET_CHARS: Final = 22

_MARK: Final = "magic-"
_DEVICE_MARKS: Final = (_MARK, _MARK.encode().hex())
_PUSH_TOKEN: Final = re.compile(r"Expo(?:nent)?PushToken\[magic-(.*)\]", re.DOTALL)
_SECRET: Final = re.compile(r"([a-z0-9]+)(?:-[A-Za-z0-9_-]*)?")
_AFTER: Final = re.compile(r"after([1-9]\d{0,4})s", re.ASCII)
_KINDS: Final = {kind.value: kind for kind in MagicKind if kind is not MagicKind.AFTER}


class Magic(Struct, frozen=True, kw_only=True):
    kind: MagicKind
    receipt_after_s: float | None = None
    """When the receipt is shown, in seconds after the message was accepted; inf: never; None: once it is there."""

    @property
    def word(self) -> str:
        """As it stands in a token."""
        return f"after{self.receipt_after_s:.0f}s" if self.kind is MagicKind.AFTER else self.kind.value


def magic_of(push_token: str) -> Magic | None:
    """None: it is an ordinary push token.

    RequestRefused: its kind does not exist. An outcome that was misspelt must not pass for a device that works.
    """
    found = _PUSH_TOKEN.fullmatch(push_token)
    if found is None:
        return None
    secret = _SECRET.fullmatch(found[1])
    magic = _magic(secret[1]) if secret is not None else None
    if magic is None:
        raise _no_such_magic(found[1])
    return magic


def magic_of_device(device_token: str) -> Magic | None:
    """Of the device token that a magic device was enrolled with, at Apple or at Google."""
    if not device_token.startswith(_DEVICE_MARKS):
        return None
    try:
        text = device_token if device_token.startswith(_MARK) else bytes.fromhex(device_token).decode("latin-1")
    except ValueError:
        return None
    return _magic(text[len(_MARK) :].partition("-")[0])


def magic_device(push_token: str, magic: Magic, *, project: Project, platform: Platform | None, now: float) -> Device:
    """The virtual device of a magic push token: like any other, but for what its kind is about.

    Only Google has a MismatchSenderId, so those devices are Android phones whatever `platform` says.
    """
    device = virtual_device(
        push_token,
        project=OTHER_PROJECT if magic.kind is MagicKind.OTHER_PROJECT else project,
        platform=Platform.ANDROID if magic.kind is MagicKind.MISMATCH else platform,
        now=now,
        mark=f"{_MARK}{magic.word}-",
    )
    return replace(device, gone_at=now) if magic.kind is MagicKind.GONE else device


def is_busy(device: Device) -> bool:
    magic = magic_of_device(device.device_token)
    return magic is not None and magic.kind is MagicKind.BUSY


def names_other_project(push_tokens: Sequence[str]) -> bool:
    """Whether a device of OTHER_PROJECT may be among them. It is asked of every request, so it is one look at all."""
    return _OTHER_PROJECT_MARK in "".join(push_tokens)


def words() -> list[str]:
    """Every kind as it is written, `<n>` for a number."""
    return ["after<n>s" if kind is MagicKind.AFTER else kind.value for kind in MagicKind]


def _magic(word: str) -> Magic | None:
    after = _AFTER.fullmatch(word)
    if after is not None:
        after_s = int(after[1])
        return Magic(kind=MagicKind.AFTER, receipt_after_s=float(after_s)) if after_s <= MAX_AFTER_S else None
    kind = _KINDS.get(word)
    if kind is None:
        return None
    return Magic(kind=kind, receipt_after_s=math.inf if kind is MagicKind.PENDING else None)


def _no_such_magic(secret: str) -> RequestRefused:
    """What was got stands in the text: a magic push token is nobody's secret."""
    known = ", ".join(words())
    return RequestRefused(
        "VALIDATION_ERROR",
        f"There is no magic push token {_MARK}{secret[:SECRET_CHARS]}; wanted {_MARK}<kind>-<anything>, "
        f"with one of these kinds: {known}, where <n> is 1 to {MAX_AFTER_S}.",
    )
