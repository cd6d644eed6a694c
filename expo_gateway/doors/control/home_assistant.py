"""Home Assistant's doors, looked at from behind: who registered, who listens, and what notes there are.

Of the default world only. A webhook's id is never shown: it is all that it takes to use it.
"""

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from expo_gateway.doors.control.answers import ControlRefused, Reply, deleted, no_such
from expo_gateway.doors.control.conditions import DEFAULT_LIMIT, Id, Limit, page
from expo_gateway.doors.control.operation import Asked, Operation

if TYPE_CHECKING:  # most who ask the control API need nothing of it
    from expo_gateway.home_assistant.parts import HomeAssistant
    from expo_gateway.home_assistant.registrations import HaRegistration, PersistentNotification, Registrations


class _List(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = DEFAULT_LIMIT
    after: Id | None = None


async def list_registrations(asked: Asked) -> Reply:
    query, registrations = asked.query_as(_List), _parts(asked).registrations
    everyone = await registrations.alive()
    ids = [one.registration_id for one in everyone]
    start = ids.index(query.after) + 1 if query.after in ids else 0
    found = everyone[start : start + query.limit + 1]
    values: list[object] = [_registration(one, registrations) for one in found]
    return page("registrations", values, ids[start : start + query.limit + 1], limit=query.limit)


async def delete_registration(asked: Asked) -> Reply:
    asked.no_query()
    if not await _parts(asked).registrations.delete(asked.parameters["registration_id"]):
        raise no_such("registration")
    return deleted(1)


async def list_notifications(asked: Asked) -> Reply:
    asked.no_query()
    return Reply(value={"notifications": [_note(one) for one in await _parts(asked).store.notifications()]})


async def dismiss_notification(asked: Asked) -> Reply:
    asked.no_query()
    if not await _parts(asked).store.dismiss_notification(asked.parameters["notification_id"]):
        raise no_such("notification")
    return deleted(1)


def _parts(asked: Asked) -> "HomeAssistant":
    parts = asked.world.home_assistant()
    if parts is None:
        raise ControlRefused(404, "Home Assistant's doors are off here; home_assistant.enabled turns them on")
    return parts


def _registration(one: "HaRegistration", registrations: "Registrations") -> dict[str, object]:
    data = one.app_data
    return {
        "registration_id": one.registration_id,
        "push_token": one.push_token,
        "service": f"notify.mobile_app_{one.slug}" if registrations.supports_push(one) else None,
        "device_name": one.device_name,
        "app_id": one.app_id,
        "app_name": one.app_name,
        "app_version": one.app_version,
        "manufacturer": one.manufacturer,
        "model": one.model,
        "os_name": one.os_name,
        "os_version": one.os_version,
        "device_id": one.device_id,
        "has_cloud": bool(data.get("push_token")),
        "status": registrations.status(one).value,
        "messages": registrations.messages(one),
        "registered_at": one.registered_at,
    }


def _note(one: "PersistentNotification") -> dict[str, object]:
    return {
        "notification_id": one.notification_id,
        "title": one.title,
        "message": one.message,
        "created_at": one.created_at,
    }


OPERATIONS: Final = (
    Operation(method="GET", path="/home_assistant/registrations", answer=list_registrations),
    Operation(method="DELETE", path="/home_assistant/registrations/{registration_id}", answer=delete_registration),
    Operation(method="GET", path="/home_assistant/notifications", answer=list_notifications),
    # Whoever made it chose its id.
    Operation(
        method="DELETE", path="/home_assistant/notifications/{notification_id:path}", answer=dismiss_notification
    ),
)
