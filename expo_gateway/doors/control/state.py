"""A whole world as one JSON value: exported, and taken in again, all or nothing. A seed has the same shape.

Devices come back as virtual ones; of faults, what is left of their times. Deliveries and captures come as history.
Real projects and their devices stay out of it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from expo_gateway.doors.control.answers import ControlRefused, Reply, conflict, invalid
from expo_gateway.doors.control.capture_json import CaptureForm, capture_of
from expo_gateway.doors.control.captures import view as capture_view
from expo_gateway.doors.control.clock import no_holds_of_the_future
from expo_gateway.doors.control.counts import NewLimits, count_all, use_limits, view_limits
from expo_gateway.doors.control.deliveries import life
from expo_gateway.doors.control.devices import FullName, NewDevice, all_devices, called, phones_of, view, wanted_device
from expo_gateway.doors.control.faults import read_rule
from expo_gateway.doors.control.forms import convert, instant
from expo_gateway.doors.control.joins import Deliveries
from expo_gateway.doors.control.operation import Asked, Operation
from expo_gateway.emulators.fault_json import encode_rule
from expo_gateway.emulators.fault_rules import FaultRule, Faults
from expo_gateway.emulators.inbox import Capture
from expo_gateway.errors import StoreUnavailable
from expo_gateway.journal.entry import Entry
from expo_gateway.journal.history import Life, entry_of
from expo_gateway.protocol.device import Device, Platform, ProjectKind
from expo_gateway.world import World

VERSION: Final = 1
MAX_DEVICES: Final = 100_000
MAX_PROJECTS: Final = 1_000
# The store writes those in one go that come in one turn of the loop.
FORGET_AT_ONCE: Final = 500

T = TypeVar("T")


class _ClockForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    at: float | str | UnsetType = UNSET
    frozen: bool = False


class _ProjectForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    full_name: FullName


class _Form(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is in the lists is looked at one by one, so that an error can say where it stands."""

    version: Literal[1] = VERSION
    exported_at: float | str | UnsetType = UNSET
    clock: _ClockForm | UnsetType = UNSET
    limits: NewLimits | UnsetType = UNSET
    projects: Annotated[list[_ProjectForm], Meta(max_length=MAX_PROJECTS)] | UnsetType = UNSET
    devices: Annotated[list[object], Meta(max_length=MAX_DEVICES)] | UnsetType = UNSET
    faults: list[object] | UnsetType = UNSET
    deliveries: list[object] | UnsetType = UNSET
    captures: list[object] | UnsetType = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What was read, and fits. None: that part stays."""

    form: _Form
    clock_at: float | None
    devices: Mapping[str, tuple[Device, float | None]] | None
    """Push token -> the device, and since when the app is gone from it."""
    faults: Sequence[FaultRule] | None
    deliveries: Sequence[Entry] | None
    captures: Mapping[int, Capture] | None


# -- out --------------------------------------------------------------------------------------------------------------


async def export_state(asked: Asked) -> Reply:
    asked.no_query()
    world = asked.world
    now = world.clock.now()
    deliveries = Deliveries(world.journal)
    return Reply(
        value={
            "version": VERSION,
            "exported_at": now,
            "clock": {"at": now, "frozen": world.clock.is_frozen},
            "limits": view_limits(world),
            "projects": [
                {"full_name": one.full_name}
                for one in await world.registry.projects()
                if one.kind is ProjectKind.EMULATED
            ],
            "devices": [_device_json(one, world) for one in await _emulated_devices(world)],
            "faults": [encode_rule(rule) for rule in _left(world.emulated.faults)],
            "deliveries": [life(entry, world) for entry in world.journal],
            "captures": [capture_view(one, deliveries, world) for one in world.emulated.inbox.numbered()],
        }
    )


def _device_json(device: Device, world: World) -> dict[str, object]:
    shown = view(device, world)
    names = (field.encode_name for field in msgspec.structs.fields(NewDevice))
    return {name: shown[name] for name in names}


def _left(faults: Faults) -> list[FaultRule]:
    """The rules that are not used up, with the times that they have left."""
    counts = {rule.id: faults.counts(rule.id) for rule in faults}
    return [_with_times_left(rule, counts[rule.id].acted) for rule in faults if not counts[rule.id].is_used_up]


def _with_times_left(rule: FaultRule, acted: int) -> FaultRule:
    times = rule.match.times
    if times is None:
        return rule
    return msgspec.structs.replace(rule, match=msgspec.structs.replace(rule.match, times=times - acted))


# -- in ---------------------------------------------------------------------------------------------------------------


async def import_state_of(asked: Asked) -> Reply:
    if not asked.body.strip():
        raise invalid("the body is missing; wanted a state, of which every part may be left out")
    await import_state(asked.json(), asked.world)
    return Reply(value=await count_all(asked.world))


async def import_state(value: object, world: World) -> None:
    """Raises ControlRefused (400, 409) or StoreUnavailable, and nothing is changed then."""
    wanted = await _read(value, world)
    if wanted.devices is not None:
        await _put_devices(wanted.devices, world)
    for project in wanted.form.projects or ():
        await world.registry.add_project(called(project.full_name))
    if wanted.faults is not None:
        world.emulated.faults.clear()
        for rule in wanted.faults:
            world.emulated.faults.add(rule)
    if wanted.form.limits is not UNSET:
        use_limits(world, wanted.form.limits)
    if wanted.form.clock is not UNSET:
        with no_holds_of_the_future(world):
            _set_clock(wanted.form.clock, wanted.clock_at, world)
    if wanted.captures is not None:
        world.emulated.inbox.put(wanted.captures)
    if wanted.deliveries is not None:
        world.journal.put_history(wanted.deliveries)


async def _read(value: object, world: World) -> _Wanted:
    form = convert(value, _Form)
    if form.exported_at is not UNSET:
        instant(form.exported_at, "exported_at")
    clock_at = None
    if form.clock is not UNSET and form.clock.at is not UNSET:
        clock_at = instant(form.clock.at, "clock.at")
    now = world.clock.now() if clock_at is None else clock_at
    return _Wanted(
        form=form,
        clock_at=clock_at,
        devices=None if form.devices is UNSET else await _read_devices(form.devices, world),
        faults=None if form.faults is UNSET else _read_faults(form.faults, now=now),
        deliveries=None if form.deliveries is UNSET else _read_deliveries(form.deliveries, world),
        captures=None if form.captures is UNSET else _read_captures(form.captures, world),
    )


async def _read_devices(values: Sequence[object], world: World) -> dict[str, tuple[Device, float | None]]:
    found: dict[str, tuple[Device, float | None]] = {}
    for number, value in enumerate(values):
        inside = f"devices[{number}]"
        new = convert(value, NewDevice, inside=inside)
        device, unregistered_at, _ = await wanted_device(new, world, inside=f"{inside}.")
        if device.push_token in found:
            raise conflict(f"{inside} has the push token of another device in the list", f"{inside}.push_token")
        found[device.push_token] = device, unregistered_at
    return found


def _read_faults(values: Sequence[object], *, now: float) -> list[FaultRule]:
    """Added to faults of nobody first: whatever they have against each other shows there."""
    trial = Faults()
    found = []
    for number, value in enumerate(values):
        rule = read_rule(value, now=now, inside=f"faults[{number}]")
        try:
            found.append(trial.add(rule))
        except ValueError as error:
            raise conflict(f"faults[{number}]: {error}", f"faults[{number}]") from None
    return found


def _read_deliveries(values: Sequence[object], world: World) -> list[Entry]:
    lives = [convert(value, Life, inside=f"deliveries[{number}]") for number, value in enumerate(values)]
    found = {life.id: _checked(entry_of, life, f"deliveries[{number}]") for number, life in enumerate(lives)}
    if len(found) < len(lives):
        raise conflict("two deliveries have the same id", "deliveries")
    if len(found) > world.journal.max_deliveries:
        raise conflict(f"a run remembers {world.journal.max_deliveries} deliveries at most", "deliveries")
    return list(found.values())


def _read_captures(values: Sequence[object], world: World) -> dict[int, Capture]:
    forms = [convert(value, CaptureForm, inside=f"captures[{number}]") for number, value in enumerate(values)]
    found = {int(form.id): capture_of(form) for form in sorted(forms, key=lambda form: int(form.id))}
    if len(found) < len(forms):
        raise conflict("two captures have the same id", "captures")
    if len(found) > world.emulated.inbox.max_captures:
        raise conflict(f"a run keeps {world.emulated.inbox.max_captures} captures at most", "captures")
    return found


def _checked(make: Callable[[Any], T], form: object, inside: str) -> T:
    try:
        return make(form)
    except ValueError as error:
        raise invalid(f"{inside}: {error}", inside) from None


async def _put_devices(wanted: Mapping[str, tuple[Device, float | None]], world: World) -> None:
    """Instead of all that are emulated. When the store can't take them, those come back."""
    before = await _emulated_devices(world)
    for first in range(0, len(before), FORGET_AT_ONCE):
        going = before[first : first + FORGET_AT_ONCE]
        await asyncio.gather(*(world.registry.forget_device(device.push_token) for device in going))
    try:
        await world.registry.enrol([device for device, _ in wanted.values()])
    except StoreUnavailable as error:
        await world.registry.enrol(before)
        raise ControlRefused(409, f"the devices can't be taken in: {error}", wrong="devices") from None
    for device, unregistered_at in wanted.values():
        phones = phones_of(device, world)
        phones.enrol(device.device_token, app_id=device.app_id, sandbox=device.sandbox)
        if unregistered_at is not None:
            phones.unregister(device.device_token, at=unregistered_at)


async def _emulated_devices(world: World) -> list[Device]:
    """Without local ones: they are Home Assistant's registrations."""
    return [
        device
        for device in await all_devices(world)
        if device.project.kind is ProjectKind.EMULATED and device.platform is not Platform.LOCAL
    ]


def _set_clock(form: _ClockForm, at: float | None, world: World) -> None:
    if form.frozen:
        world.clock.freeze(at)
        return
    world.clock.resume()
    if at is not None:
        world.clock.set(at)


OPERATIONS: Final = (
    Operation(method="GET", path="/state", answer=export_state),
    Operation(method="POST", path="/state", answer=import_state_of, is_large=True),
)
