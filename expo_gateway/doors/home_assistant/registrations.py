"""Apps register themselves, and change it later: POST /api/mobile_app/registrations and POST /api/webhook/<id>.

Encrypted webhooks are not offered: their cipher, NaCl's SecretBox, is in no library that is here anyway. An app is told
so by `"secret": null`, as by a Home Assistant without libsodium.

https://developers.home-assistant.io/docs/api/native-app-integration/setup
Source: homeassistant/components/mobile_app/{http_api,webhook}.py.
"""

from dataclasses import replace

from starlette.routing import BaseRoute, Route

from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.home_assistant.answers import Asked, Endpoint, Reply, json_reply, message_reply
from expo_gateway.doors.home_assistant.auth import Tokens
from expo_gateway.home_assistant.registrations import HaRegistration, Registrations
from expo_gateway.protocol.home_assistant.registration import (
    MAX_WEBHOOK_ID_CHARS,
    Malformed,
    read_change,
    read_registration,
    read_webhook,
)


def routes(registrations: Registrations, tokens: Tokens, *, bodies: Bodies) -> list[BaseRoute]:
    door = _Door(registrations)
    methods = ("POST", "PUT", "GET", "HEAD")
    return [
        Route("/api/mobile_app/registrations", Endpoint(door.register, bodies=bodies, tokens=tokens)),
        Route("/api/webhook/{webhook_id}", Endpoint(door.webhook, bodies=bodies, methods=methods)),
    ]


class _Door:
    def __init__(self, registrations: Registrations) -> None:
        self._registrations = registrations

    async def register(self, asked: Asked) -> Reply:
        try:
            wanted = read_registration(asked.json())
        except Malformed as error:
            return message_reply(400, f"Message format incorrect: {error}")
        except ValueError:
            return message_reply(400, "Invalid JSON.")
        made = await self._registrations.add(wanted, user_id=asked.user_id)
        answer = {"cloudhook_url": None, "remote_ui_url": None, "secret": None, "webhook_id": made.webhook_id}
        return json_reply(answer, 201)

    async def webhook(self, asked: Asked) -> Reply:
        """An unknown id is answered like a known one: there is nothing to be learnt by trying."""
        registration = await self._known(asked.parameters["webhook_id"])
        if registration is None:
            return Reply()
        if registration.deleted_at is not None:
            return Reply(status=410)
        if asked.method in ("GET", "HEAD"):
            return Reply(status=405, headers=((b"allow", b"POST, PUT"),))
        try:
            value = asked.json()
        except ValueError:
            return json_reply({}, 400)
        return await self._act(registration, value)

    async def _known(self, webhook_id: str) -> HaRegistration | None:
        if len(webhook_id) > MAX_WEBHOOK_ID_CHARS:
            return None
        return await self._registrations.by_webhook(webhook_id)

    async def _act(self, registration: HaRegistration, value: object) -> Reply:
        """Whatever it does not know, or can't take, is answered `{}`: so the apps expect it."""
        try:
            hook = read_webhook(value)
            if hook.type == "enable_encryption":
                return _error(400, "encryption_not_available", "Encryption is unavailable")
            if hook.type != "update_registration":
                return json_reply({})
            change = read_change(hook.body)
        except Malformed:
            return json_reply({})
        changed = replace(
            registration,
            app_version=change.app_version,
            device_name=change.device_name,
            slug=change.slug,
            manufacturer=change.manufacturer,
            model=change.model,
            os_version=change.os_version if change.os_version is not None else registration.os_version,
            app_data=change.app_data if change.app_data is not None else registration.app_data,
        )
        if not await self._registrations.update(changed):
            return Reply(status=410)
        return json_reply(_shown(changed))


def _shown(registration: HaRegistration) -> dict[str, object]:
    """Without what is secret."""
    return {
        "app_data": dict(registration.app_data),
        "app_id": registration.app_id,
        "app_name": registration.app_name,
        "app_version": registration.app_version,
        "device_name": registration.device_name,
        "manufacturer": registration.manufacturer,
        "model": registration.model,
        "os_version": registration.os_version,
        "supports_encryption": False,
    }


def _error(status: int, code: str, message: str) -> Reply:
    return json_reply({"success": False, "error": {"code": code, "message": message}}, status)
