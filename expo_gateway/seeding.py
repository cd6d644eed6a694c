"""A seed, applied at the start: projects and devices to the stores, the rest to the default world.

Applying it again changes nothing: what is as the seed wants it stays, with all that happened to it.
"""

import logging
from collections.abc import Callable

from msgspec.structs import replace

from expo_gateway.admission.limits import Limits
from expo_gateway.clock import RunClock
from expo_gateway.emulators.fault_json import decode_rule
from expo_gateway.emulators.world import EmulatedWorld
from expo_gateway.errors import SettingsError
from expo_gateway.live_projects import emulated_project, store_configured
from expo_gateway.protocol.device import Device, Platform, Project, ProjectKind, project_id_of, virtual_device
from expo_gateway.protocol.project import ConfiguredProject
from expo_gateway.registry.base import Registry
from expo_gateway.seed import Seed, SeedDevice, SeedProject, instant
from expo_gateway.settings import Settings

log = logging.getLogger(__name__)

# Our choice: one transaction each.
DEVICES_AT_ONCE = 1000


async def seed_stores(settings: Settings, registry: Registry, *, is_controlled: bool, now: float) -> None:
    """Projects and devices. `now` is real time.

    SettingsError: a project of the seed sends to Apple and Google, or there is no control API and the seed needs it.
    """
    seed = settings.seed
    if seed is None:
        return
    part = "" if is_controlled else seed.needs_control()
    if part:
        raise SettingsError(f"emulator.seed: got {part}, which needs the control API; wanted control.enabled")
    real = [project for project in await registry.projects() if project.kind is ProjectKind.REAL]
    taken = {name for project in real for name in (project.full_name, project.project_id)}
    for number, project in enumerate(seed.projects):
        if not taken.isdisjoint((project.full_name, (project.project_id or "").lower())):
            raise SettingsError(
                f"emulator.seed: projects[{number}] is {project.full_name}, which sends to Apple and Google; "
                "wanted a project of its own"
            )
    await store_configured(registry, [_configured(project) for project in seed.projects])
    default = await emulated_project(registry, settings.emulator.project)
    projects = {one.full_name: one for one in await registry.projects()}
    platform = None if settings.emulator.platform == "mixed" else Platform(settings.emulator.platform)
    wanted = [
        device_of(one, project=projects[one.project] if one.project else default, platform=platform, now=now)
        for one in seed.devices
    ]
    for first in range(0, len(wanted), DEVICES_AT_ONCE):
        await _enrol(wanted[first : first + DEVICES_AT_ONCE], registry)


async def seed_again(
    settings: Settings, registry: Registry, *, clock: RunClock, emulated: EmulatedWorld, now: Callable[[], float]
) -> None:
    """All but the limits, which know how they were, into a default world that was emptied. `now` is real time.

    Raises StoreUnavailable. A project of the seed that sends to Apple and Google by now stays without its devices.
    """
    seed_clock(settings.seed, clock)
    try:
        await seed_stores(settings, registry, is_controlled=True, now=now())
    except SettingsError as error:
        log.warning("the seed's projects and devices can't be brought back: %s", error)
    seed_emulators(settings, emulated)


def seed_clock(seed: Seed | None, clock: RunClock) -> None:
    """First: the rest goes by it."""
    if seed is None or seed.clock is None:
        return
    at = None if seed.clock.at is None else instant(seed.clock.at)
    if seed.clock.frozen:
        clock.freeze(at)
    elif at is not None:
        clock.set(at)


def limits_of(seed: Seed | None) -> Limits:
    if seed is None or seed.limits is None:
        return Limits()
    return Limits(
        notifications_per_second=seed.limits.notifications_per_second, receipt_delay_s=seed.limits.receipt_delay_s
    )


def seed_emulators(settings: Settings, world: EmulatedWorld) -> None:
    """Faults, and the devices that somebody removed the app from."""
    seed = settings.seed
    if seed is None:
        return
    for fault in seed.faults:
        world.faults.add(decode_rule(fault, now=world.clock()))
    platform = None if settings.emulator.platform == "mixed" else Platform(settings.emulator.platform)
    nowhere = Project(project_id="", full_name="")
    for one in seed.devices:
        if one.unregistered_at is not None:
            device = device_of(one, project=nowhere, platform=platform, now=0.0)
            phones = world.apns_devices if device.platform is Platform.IOS else world.fcm_devices
            phones.enrol(device.device_token, app_id=device.app_id, sandbox=device.sandbox)
            phones.unregister(device.device_token, at=instant(one.unregistered_at))


def device_of(one: SeedDevice, *, project: Project, platform: Platform | None, now: float) -> Device:
    """The device that is wanted. It registered before the app was removed from it, or nobody would believe that."""
    device = virtual_device(one.push_token, project=project, platform=one.platform or platform, now=now)
    token = one.device_token or device.device_token
    return replace(
        device,
        device_token=token.lower() if device.platform is Platform.IOS else token,
        app_id=one.app_id or device.app_id,
        sandbox=one.sandbox,
        registered_at=min([now, *(instant(at) for at in (one.unregistered_at, one.gone_at) if at is not None)]),
        gone_at=None if one.gone_at is None else instant(one.gone_at),
    )


def _configured(project: SeedProject) -> ConfiguredProject:
    project_id = project.project_id.lower() if project.project_id else project_id_of(project.full_name)
    return ConfiguredProject(
        project=Project(project_id=project_id, full_name=project.full_name),
        requires_token=project.requires_token,
        notifications_per_second=project.notifications_per_second,
    )


async def _enrol(wanted: list[Device], registry: Registry) -> None:
    known = await registry.devices([device.push_token for device in wanted])
    for device in wanted:
        before = known.get(device.push_token)
        if before is not None and before.virtual and not _is_same(before, device):
            await registry.forget_device(device.push_token)
    # Those that are there stay as they are, and so does what a phone has registered.
    await registry.enrol(wanted)


def _is_same(one: Device, other: Device) -> bool:
    return replace(one, registered_at=other.registered_at, gone_at=other.gone_at) == other
