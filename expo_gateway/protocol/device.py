"""Devices, and the projects that own them."""

from base64 import urlsafe_b64encode
from enum import StrEnum
from hashlib import shake_256
from typing import Final
from uuid import UUID, uuid5

from msgspec import Struct


class Platform(StrEnum):
    IOS = "ios"
    ANDROID = "android"
    LOCAL = "local"
    """An app that registered itself for Home Assistant's local push: reached through a channel that it opens to us."""


PHONES: Final = (Platform.IOS, Platform.ANDROID)
"""Whose pushes go through Apple and Google; the others are never virtual."""


class ProjectKind(StrEnum):
    """Where a project's messages go. An emulated one never reaches a real provider, nor a real one an emulator."""

    EMULATED = "emulated"
    REAL = "real"


# The app that virtual devices have installed: bundle id and package name.
VIRTUAL_APP_ID = "dev.expo-gateway.emulated"

# Namespace of the project ids that are derived from a name: our own, made once.
_PROJECTS = UUID("6d9b1f0e-6c0a-5d5e-9a3e-0c6f1f6f7a11")


def project_id_of(full_name: str) -> str:
    """A stable project id for a project that is known by its name only."""
    return str(uuid5(_PROJECTS, full_name))


class Project(Struct, frozen=True, kw_only=True, gc=False):
    """What Expo calls a project or an experience; owns devices. Its credentials and limits: see project.py."""

    project_id: str
    """Lower-case UUID."""
    full_name: str
    """`@owner/slug`"""
    kind: ProjectKind = ProjectKind.EMULATED


def made_for(project_id: str) -> Project:
    """The project that is made when a phone registers with an id that nobody added: emulated, and named by its id."""
    return Project(project_id=project_id, full_name=f"@emulator/{project_id}")


# Without gc: tens of thousands of them are kept, and a search for cycles would take a millisecond for each thousand.
class Device(Struct, frozen=True, kw_only=True, gc=False):
    """An app on a phone: what a push token stands for."""

    push_token: str
    project: Project
    platform: Platform
    device_token: str
    """APNs: hex, lower case. FCM: registration token. LOCAL: the id of the registration."""
    app_id: str
    """Bundle id or package name; the topic of APNs."""
    registered_at: float
    sandbox: bool = False
    """APNs only: the app is a development build."""
    virtual: bool = False
    """Exists in the emulated world only; never sent to a real provider."""
    gone_at: float | None = None
    """Since when the provider calls the device token dead; None while it is alive."""


class Registration(Struct, frozen=True, kw_only=True):
    """What getExpoPushToken of expo-notifications says of its device. One per (device_id, app_id, project)."""

    device_id: str
    app_id: str
    project: Project
    platform: Platform
    device_token: str
    sandbox: bool


def virtual_device(
    push_token: str, *, project: Project, platform: Platform | None, now: float, mark: str = ""
) -> Device:
    """The device that the emulated world has for a push token: the same one each time.

    Without a platform, half of all push tokens are iPhones and half are Android phones. `mark`: what the device token
    begins with, at most 22 characters of base64url; in hex for APNs.
    """
    seed = shake_256(b"virtual device of " + push_token.encode()).digest(132)
    platform = platform or (Platform.IOS if seed[0] & 1 else Platform.ANDROID)
    return Device(
        push_token=push_token,
        project=project,
        platform=platform,
        device_token=(mark.encode() + seed)[:32].hex() if platform is Platform.IOS else _registration_token(seed, mark),
        app_id=VIRTUAL_APP_ID,
        registered_at=now,
        virtual=True,
    )


def _registration_token(seed: bytes, mark: str) -> str:
    """In the form of FCM's: an installation id of 22 characters, a colon, and 140 of base64url that begin APA91b."""
    text = urlsafe_b64encode(seed).decode("ascii")
    return f"{(mark + text)[:22]}:APA91b{text[22:156]}"
