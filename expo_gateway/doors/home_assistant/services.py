"""Telling somebody something: POST /api/services/notify/… and /persistent_notification/…, and what there is: GET.

The answers are those of Home Assistant's actions: 200 `[]` once a notification is on its way. What became of it stands
in its receipt, and in the inspect API.

https://developers.home-assistant.io/docs/api/rest
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from uuid import uuid4

from starlette.routing import BaseRoute, Route

from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.home_assistant.answers import (
    Answer,
    Asked,
    Endpoint,
    Reply,
    json_reply,
    message_reply,
    text_reply,
)
from expo_gateway.doors.home_assistant.auth import Tokens
from expo_gateway.home_assistant.registrations import HaRegistration, PersistentNotification, Registrations
from expo_gateway.protocol.home_assistant.registration import Malformed
from expo_gateway.protocol.home_assistant.services import (
    SERVICE_PREFIX,
    Notification,
    read_dismissal,
    read_note,
    read_notification,
    services,
)

# Home Assistant answers with the states that changed, and none of ours does.
DONE = b"[]"
# Our choice: a sentence that a log can hold.
MAX_SHOWN_NAMES = 20


class Notes(Protocol):
    """Persistent notifications. StoreUnavailable."""

    async def put_notification(self, notification: PersistentNotification) -> None: ...

    async def dismiss_notification(self, notification_id: str) -> bool: ...


def routes(
    registrations: Registrations, tokens: Tokens, notes: Notes, *, bodies: Bodies, clock: Callable[[], float]
) -> list[BaseRoute]:
    door = _Door(registrations, notes, clock=clock)

    def endpoint(answer: Answer, method: str) -> Endpoint:
        return Endpoint(answer, bodies=bodies, tokens=tokens, methods=(method,))

    return [
        Route("/api", endpoint(door.root, "GET")),
        Route("/api/services", endpoint(door.services, "GET")),
        Route("/api/services/{domain}/{service}", endpoint(door.call, "POST")),
    ]


class _Door:
    def __init__(self, registrations: Registrations, notes: Notes, *, clock: Callable[[], float]) -> None:
        self._registrations = registrations
        self._notes = notes
        self._clock = clock

    async def root(self, asked: Asked) -> Reply:
        return message_reply(200, "API running.")

    async def services(self, asked: Asked) -> Reply:
        return json_reply(services(one.slug for one in await self._pushable()))

    async def call(self, asked: Asked) -> Reply:
        try:
            value = asked.json() if asked.body else {}
        except ValueError:
            return message_reply(400, "Data should be valid JSON.")
        try:
            return await self._act(asked.parameters["domain"], asked.parameters["service"], value)
        except Malformed:
            return text_reply(400)

    async def _act(self, domain: str, service: str, value: object) -> Reply:
        match domain, service:
            case "persistent_notification", "create":
                return await self._create(value)
            case "persistent_notification", "dismiss":
                await self._notes.dismiss_notification(read_dismissal(value))
                return Reply(body=DONE)
            case "notify", "notify":
                return await self._notify_many(read_notification(value))
            case "notify", name if name.startswith(SERVICE_PREFIX):
                return await self._notify_one(name.removeprefix(SERVICE_PREFIX), value)
        return text_reply(400)

    async def _create(self, value: object) -> Reply:
        note = read_note(value)
        await self._notes.put_notification(
            PersistentNotification(
                notification_id=note.notification_id or uuid4().hex,
                message=note.message,
                title=note.title,
                created_at=self._clock(),
            )
        )
        return Reply(body=DONE)

    async def _notify_one(self, slug: str, value: object) -> Reply:
        """Whom the service's name says, whatever the targets: as Home Assistant."""
        # Of two of a name the last one is meant.
        found = {one.slug: one for one in await self._pushable()}.get(slug)
        if found is None:
            return text_reply(400)
        return await self._notify(read_notification(value), [found])

    async def _notify_many(self, notification: Notification) -> Reply:
        """Its targets, or everybody."""
        everyone = await self._pushable()
        if not notification.targets:
            return await self._notify(notification, everyone)
        names = _by_name(everyone)
        for place, target in enumerate(notification.targets, start=1):
            if target not in names:
                # Not which: it may be meant for a webhook's id.
                count = len(notification.targets)
                return message_reply(400, f"Target {place} of {count} is no device here.")
        chosen = {names[target].registration_id: names[target] for target in notification.targets}
        return await self._notify(notification, list(chosen.values()))

    async def _notify(self, notification: Notification, devices: Sequence[HaRegistration]) -> Reply:
        """500: some can't be reached at the moment, and the others were notified."""
        reachable: list[HaRegistration] = []
        lost: list[str] = []
        for one in devices:
            if self._registrations.is_reachable(one):
                reachable.append(one)
            else:
                lost.append(one.device_name)
        if reachable:
            await self._registrations.notify(reachable, notification.event())
        if lost:
            return message_reply(500, f"Device(s) {_some(lost)} not connected to local push notifications")
        return Reply(body=DONE)

    async def _pushable(self) -> list[HaRegistration]:
        return [one for one in await self._registrations.alive() if self._registrations.supports_push(one)]


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_SHOWN_NAMES
    return ", ".join(names[:MAX_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _by_name(devices: Sequence[HaRegistration]) -> Mapping[str, HaRegistration]:
    """By all that a target may be: the service's name with or without prefix, the device's, the webhook's id."""
    names: dict[str, HaRegistration] = {}
    for one in devices:
        names[one.device_name] = names[one.slug] = names[f"{SERVICE_PREFIX}{one.slug}"] = one
    return {**names, **{one.webhook_id: one for one in devices}}
