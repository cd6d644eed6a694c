"""`expo-gateway devices`: who can be reached. Device tokens are never shown whole; push tokens are what devices are
named by."""

from typing import Annotated

import typer

from expo_gateway.commands.stored import (
    AsJson,
    DataDir,
    find,
    note,
    print_json,
    print_table,
    shown_at,
    with_registry,
)
from expo_gateway.errors import SettingsError
from expo_gateway.protocol.device import Device
from expo_gateway.protocol.push_token import mistaken, passes_sdk_check, redacted
from expo_gateway.registry.base import Registry

app = typer.Typer(help="Devices, by push token.", no_args_is_help=True)

PushToken = Annotated[str, typer.Argument(metavar="PUSH_TOKEN", help="ExponentPushToken[…]")]


@app.command("list")
def list_devices(
    project: Annotated[str | None, typer.Option(metavar="PROJECT", help="Only this project's.")] = None,
    after: Annotated[str, typer.Option(metavar="PUSH_TOKEN", help="Go on after this one.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many at most.")] = 100,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List devices in the order of their push tokens."""

    async def found(registry: Registry) -> list[Device]:
        project_id = None if project is None else (await find(registry, project)).project.project_id
        return list(await registry.list_devices(project_id=project_id, after=after, limit=limit))

    devices = with_registry(data, found)
    if as_json:
        print_json([device_json(device) for device in devices])
        return
    print_table(
        ("push token", "project", "platform", "app", "state"),
        [(one.push_token, one.project.full_name, one.platform.value, one.app_id, _state(one)) for one in devices],
    )
    if len(devices) == limit:
        note(f"there may be more: --after '{devices[-1].push_token}'")


@app.command()
def show(push_token: PushToken, data: DataDir = None, as_json: AsJson = False) -> None:
    """Show one device."""

    async def found(registry: Registry) -> Device | None:
        return (await registry.devices([push_token])).get(push_token)

    device = with_registry(data, found)
    if device is None:
        raise _nobodys(push_token)
    if as_json:
        print_json(device_json(device))
    else:
        print_table(
            ("", ""), [(key, "-" if value is None else str(value)) for key, value in device_json(device).items()]
        )


@app.command()
def forget(push_token: PushToken, data: DataDir = None, as_json: AsJson = False) -> None:
    """Forget a device. Its app gets another push token when it registers again.

    Until then the push token is unknown: refused, or enrolled as a virtual device, as `emulator.strict` says.
    """
    if not with_registry(data, lambda registry: registry.forget_device(push_token)):
        raise _nobodys(push_token)
    if as_json:
        print_json({"forgotten": push_token})
    else:
        note("forgotten")


def device_json(device: Device) -> dict[str, object]:
    return {
        "push_token": device.push_token,
        "project": device.project.full_name,
        "platform": device.platform.value,
        "app_id": device.app_id,
        "device_token": redacted(device.device_token),
        "sandbox": device.sandbox,
        "virtual": device.virtual,
        "registered_at": shown_at(device.registered_at),
        "gone_at": None if device.gone_at is None else shown_at(device.gone_at),
    }


def _state(device: Device) -> str:
    if device.gone_at is not None:
        return f"gone since {shown_at(device.gone_at)}"
    return "virtual" if device.virtual else "sandbox" if device.sandbox else "registered"


def _nobodys(push_token: str) -> SettingsError:
    what = redacted(push_token)
    if not passes_sdk_check(push_token):
        what = f"got {mistaken(push_token)!r}, which is no push token, so it"
    return SettingsError(f"PUSH_TOKEN: {what} is no device here; see `expo-gateway devices list`")
