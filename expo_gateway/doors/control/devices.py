"""Virtual devices of a world, and its projects: made, listed, unregistered, deleted. Never those of real projects."""

import os
import re
from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from expo_gateway.doors.control.answers import Reply, conflict, deleted, invalid, no_such
from expo_gateway.doors.control.conditions import DEFAULT_LIMIT, Id, Limit, page
from expo_gateway.doors.control.forms import Nothing, instant
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.emulators.virtual_devices import VirtualDevices
from expo_gateway.protocol.device import Device, Platform, Project, ProjectKind, made_for, project_id_of, virtual_device
from expo_gateway.protocol.push_token import PUSH_TOKEN_RANDOM_BYTES, passes_sdk_check, push_token
from expo_gateway.world import World

# Those that the emulators, and so Apple and Google, take for one.
_DEVICE_TOKENS: Final = {
    Platform.IOS: (re.compile(r"(?:[0-9a-fA-F]{2}){32,100}", re.ASCII), "64 to 200 hex digits, an even number"),
    Platform.ANDROID: (re.compile(r"[A-Za-z0-9_:-]{1,4096}", re.ASCII), "letters, digits, _ : and -"),
}
_MADE: Final = re.compile(r"@emulator/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
FullName = Annotated[str, Meta(pattern=r"^@[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}\Z")]


class NewDevice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out is made up, or stays as it was."""

    push_token: Annotated[str, Meta(min_length=1, max_length=256)] | UnsetType = UNSET
    platform: Platform | UnsetType = UNSET
    project: FullName | UnsetType = UNSET
    device_token: Annotated[str, Meta(min_length=1, max_length=4096)] | UnsetType = UNSET
    app_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,255}\Z")] | UnsetType = UNSET
    sandbox: bool | UnsetType = UNSET
    unregistered_at: float | str | None = None
    gone_at: float | str | None = None


class _List(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    push_token: str | None = None
    platform: Platform | None = None
    project: str | None = None
    limit: Limit = DEFAULT_LIMIT
    after: Id | None = None


# -- operations -------------------------------------------------------------------------------------------------------


async def list_devices(asked: Asked) -> Reply:
    query = asked.query_as(_List)
    if query.push_token is not None:
        return await _list_one(query.push_token, query, asked.world)
    project_id = None if query.project is None else await _project_id(query.project, asked.world)
    found: list[Device] = []
    after = query.after or ""
    # The store knows nothing of platforms: those of the other one are stepped over.
    while len(found) <= query.limit:
        devices = await asked.world.registry.list_devices(project_id=project_id, after=after, limit=query.limit + 1)
        found += [device for device in devices if query.platform in (None, device.platform)]
        if len(devices) <= query.limit:
            break
        after = devices[-1].push_token
    values: list[object] = [view(device, asked.world) for device in found]
    return page("devices", values, [device.push_token for device in found], limit=query.limit)


async def _list_one(push_token: str, query: _List, world: World) -> Reply:
    """One at most."""
    device = (await world.registry.devices([push_token])).get(push_token)
    is_meant = (
        device is not None
        and query.platform in (None, device.platform)
        and query.project in (None, device.project.full_name, device.project.project_id)
    )
    values: list[object] = [view(device, world)] if device is not None and is_meant else []
    return page("devices", values, [push_token], limit=query.limit)


async def make_device(asked: Asked) -> Reply:
    new = asked.body_as(NewDevice)
    device, unregistered_at, is_new = await wanted_device(new, asked.world)
    await put_device(device, asked.world, unregistered_at=unregistered_at)
    return Reply(value=view(device, asked.world), status=201 if is_new else 200)


async def get_device(asked: Asked) -> Reply:
    asked.no_query()
    return Reply(value=view(await _device(asked), asked.world))


async def delete_device(asked: Asked) -> Reply:
    asked.no_query()
    device = _made_here(await _device(asked))
    if not await asked.world.registry.forget_device(device.push_token):
        raise no_such("device")
    # The next push to it makes a new one, and that is alive.
    phones_of(device, asked.world).enrol(device.device_token, app_id=device.app_id, sandbox=device.sandbox)
    return deleted(1)


async def unregister_device(asked: Asked) -> Reply:
    asked.body_as(Nothing)
    device = _made_here(await _device(asked))
    phones = phones_of(device, asked.world)
    if phones.get(device.device_token) is None:
        phones.enrol(device.device_token, app_id=device.app_id, sandbox=device.sandbox)
    phones.unregister(device.device_token, at=asked.world.clock.now())
    return Reply(value=view(device, asked.world))


async def list_projects(asked: Asked) -> Reply:
    asked.no_query()
    projects = [
        {
            "project_id": one.project.project_id,
            "full_name": one.project.full_name,
            "kind": one.project.kind.value,
            "notifications_per_second": one.notifications_per_second,
            "requires_token": one.requires_token or one.project.kind is ProjectKind.REAL,
        }
        for one in await asked.world.registry.configured_projects()
    ]
    return Reply(value={"projects": projects})


# -- devices as they are wanted ---------------------------------------------------------------------------------------


async def wanted_device(new: NewDevice, world: World, *, inside: str = "") -> tuple[Device, float | None, bool]:
    """The device, since when it is unregistered, and whether it is new. Nothing is changed.

    Raises ControlRefused: 400 when it can't be so, 409 when it is a real project's.
    """
    token = new.push_token or push_token(os.urandom(PUSH_TOKEN_RANDOM_BYTES))
    if not passes_sdk_check(token):
        raise invalid("push_token is none that an SDK lets pass; wanted ExponentPushToken[…]", f"{inside}push_token")
    known = (await world.registry.devices([token])).get(token)
    if known is not None:
        _made_here(known)
    if new.platform is Platform.LOCAL:
        text = "platform is local; such a device registers itself at /api/mobile_app/registrations"
        raise invalid(text, f"{inside}platform")
    project = await _project(new.project or None, world, otherwise=known.project if known else world.project)
    unregistered_at = None
    if new.unregistered_at is not None:
        unregistered_at = instant(new.unregistered_at, f"{inside}unregistered_at")
    gone_at = None if new.gone_at is None else instant(new.gone_at, f"{inside}gone_at")
    # A provider's word that a device is gone counts only from when it was registered on.
    registered_at = min(at for at in (world.clock.now(), unregistered_at, gone_at) if at is not None)
    device = replace(_as_wanted(new, known, token=token, project=project, now=registered_at), gone_at=gone_at)
    pattern, wanted = _DEVICE_TOKENS[device.platform]
    if pattern.fullmatch(device.device_token) is None:
        text = f"device_token is none of {device.platform.value}; wanted {wanted}"
        raise invalid(text, f"{inside}device_token")
    return device, unregistered_at, known is None


async def put_device(device: Device, world: World, *, unregistered_at: float | None) -> None:
    """Instead of the one that holds its push token now. It is alive unless `unregistered_at`."""
    await world.registry.forget_device(device.push_token)
    await world.registry.enrol([device])
    phones = phones_of(device, world)
    phones.enrol(device.device_token, app_id=device.app_id, sandbox=device.sandbox)
    if unregistered_at is not None:
        phones.unregister(device.device_token, at=unregistered_at)


def view(device: Device, world: World) -> dict[str, object]:
    phone = phones_of(device, world).get(device.device_token)
    return {
        "push_token": device.push_token,
        "platform": device.platform.value,
        "project": device.project.full_name,
        "device_token": device.device_token,
        "app_id": device.app_id,
        "sandbox": device.sandbox,
        "virtual": device.virtual,
        "registered_at": device.registered_at,
        "unregistered_at": None if phone is None else phone.unregistered_at,
        "gone_at": device.gone_at,
    }


async def all_devices(world: World) -> Sequence[Device]:
    found: list[Device] = []
    while devices := await world.registry.list_devices(after=found[-1].push_token if found else "", limit=1000):
        found += devices
    return found


def _as_wanted(new: NewDevice, known: Device | None, *, token: str, project: Project, now: float) -> Device:
    platform = new.platform or (known.platform if known else None)
    device = virtual_device(token, project=project, platform=platform, now=now)
    if known is not None:
        device = replace(device, app_id=known.app_id, sandbox=known.sandbox)
        if known.platform is device.platform:
            device = replace(device, device_token=known.device_token)
    device_token = new.device_token or device.device_token
    return replace(
        device,
        device_token=device_token.lower() if device.platform is Platform.IOS else device_token,
        app_id=new.app_id or device.app_id,
        sandbox=device.sandbox if new.sandbox is UNSET else new.sandbox,
    )


async def _project(full_name: str | None, world: World, *, otherwise: Project) -> Project:
    if full_name is None:
        return otherwise
    known = await world.registry.project_named(full_name)
    if known is not None and known.kind is ProjectKind.REAL:
        raise conflict(f"{full_name} is a real project; its devices register themselves", "project")
    return known or called(full_name)


def called(full_name: str) -> Project:
    """An emulated project of this name: also the one that a phone has made."""
    made_by_phone = _MADE.fullmatch(full_name)
    if made_by_phone is not None:
        return made_for(made_by_phone[1])
    return Project(project_id=project_id_of(full_name), full_name=full_name)


async def _project_id(name: str, world: World) -> str:
    """By full name or id; one that there is not has no devices."""
    known = await world.registry.project_named(name)
    return known.project_id if known is not None else name.lower()


async def _device(asked: Asked) -> Device:
    token = asked.parameters["push_token"]
    device = (await asked.world.registry.devices([token])).get(token)
    if device is None:
        raise no_such("device")
    return device


def _made_here(device: Device) -> Device:
    if device.platform is Platform.LOCAL:
        raise conflict("the device is one of Home Assistant's registrations; it goes when that does")
    if device.project.kind is ProjectKind.REAL:
        raise conflict(f"the device is one of {device.project.full_name}, which is a real project")
    return device


def phones_of(device: Device, world: World) -> VirtualDevices:
    return world.emulated.apns_devices if device.platform is Platform.IOS else world.emulated.fcm_devices


OPERATIONS: Final = (
    Operation(method="GET", path="/devices", answer=list_devices),
    Operation(method="POST", path="/devices", answer=make_device),
    # A push token may have a slash in it.
    Operation(method="POST", path="/devices/{push_token:path}/unregister", answer=unregister_device),
    Operation(method="GET", path="/devices/{push_token:path}", answer=get_device),
    Operation(method="DELETE", path="/devices/{push_token:path}", answer=delete_device),
    Operation(method="GET", path="/projects", answer=list_projects),
)
