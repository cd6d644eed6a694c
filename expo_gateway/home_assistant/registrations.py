"""Apps that registered themselves: each is a local device, and what it is told goes the way of every message."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final

import orjson
from msgspec import Raw

from expo_gateway.errors import RequestRefused
from expo_gateway.gateway import Gateway
from expo_gateway.protocol.device import Platform, Project, Registration, project_id_of
from expo_gateway.protocol.home_assistant.registration import NewRegistration
from expo_gateway.protocol.message import MAX_RECIPIENTS
from expo_gateway.protocol.native import NativeMessage, encode_native, native_request
from expo_gateway.protocol.push_token import PUSH_TOKEN_RANDOM_BYTES, push_token
from expo_gateway.protocol.ticket import ticket_id
from expo_gateway.providers.channels import Channel, Channels, ChannelStatus
from expo_gateway.providers.local import Cloud
from expo_gateway.registry.base import Registry
from expo_gateway.registry.home_assistant import (
    HaRegistration,
    HomeAssistantStore,
    LongLivedToken,
    PersistentNotification,
    registration_id,
)

__all__ = [
    "Channel",
    "ChannelStatus",
    "Channels",
    "HaRegistration",
    "LongLivedToken",
    "NewRegistration",
    "PersistentNotification",
    "Registrations",
    "registration_id",
]

# Home Assistant's webhook ids are of 32 random bytes, in hex.
WEBHOOK_RANDOM_BYTES: Final = 32

# Whose local devices are. A project of their own, so that nobody needs an access token of a real one for them.
PROJECT: Final = Project(project_id=project_id_of("@home-assistant/local"), full_name="@home-assistant/local")


class Registrations:
    def __init__(
        self,
        *,
        store: HomeAssistantStore,
        registry: Registry,
        gateway: Gateway,
        channels: Channels | None,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        project: Project = PROJECT,
    ) -> None:
        """`channels`: None where nobody can listen."""
        self._store = store
        self._registry = registry
        self._gateway = gateway
        self._channels = channels
        self._clock = clock
        self._random_bytes = random_bytes
        self._project = project

    async def add(self, form: NewRegistration, *, user_id: str) -> HaRegistration:
        """A new one, in the place of an older one of the same app on the same device. StoreUnavailable.

        RequestRefused: there are too many.
        """
        webhook_id = self._random_bytes(WEBHOOK_RANDOM_BYTES).hex()
        device_token, now = registration_id(webhook_id), self._clock()
        registration = HaRegistration(
            registration_id=device_token,
            webhook_id=webhook_id,
            user_id=user_id,
            push_token=await self._device(webhook_id, app_id=form.app_id, now=now),
            app_id=form.app_id,
            app_name=form.app_name,
            app_version=form.app_version,
            device_name=form.device_name,
            slug=form.slug,
            manufacturer=form.manufacturer,
            model=form.model,
            os_name=form.os_name,
            os_version=form.os_version,
            device_id=form.device_id,
            app_data=form.app_data,
            registered_at=now,
        )
        try:
            older = await self._store.add_registration(registration)
        except ValueError as error:
            await self._registry.forget_device(registration.push_token)
            raise RequestRefused("TOO_MANY_REGISTRATIONS", f"{error}.", status=507) from None
        for one in older:
            await self._forget(one)
        return registration

    async def by_webhook(self, webhook_id: str) -> HaRegistration | None:
        """Also one that was deleted. StoreUnavailable."""
        return await self._store.registration(registration_id(webhook_id))

    async def update(self, registration: HaRegistration) -> bool:
        """False: it is gone. StoreUnavailable."""
        return await self._store.update_registration(registration)

    async def delete(self, registration_id: str) -> bool:
        """False: it is not there, or gone already. StoreUnavailable."""
        registration = await self._store.registration(registration_id)
        if registration is None or not await self._store.delete_registration(registration_id, now=self._clock()):
            return False
        await self._forget(registration)
        return True

    async def alive(self) -> Sequence[HaRegistration]:
        """By when they registered. StoreUnavailable."""
        return await self._store.registrations()

    def status(self, registration: HaRegistration) -> ChannelStatus:
        if self._channels is None:
            return ChannelStatus.UNAVAILABLE
        return self._channels.status(
            registration.registration_id, user_id=registration.user_id, app_data=registration.app_data
        )

    async def statuses(self) -> Mapping[str, int]:
        """How many there are of each status. StoreUnavailable."""
        counts = Counter(self.status(one) for one in await self.alive())
        return {status.value: counts[status] for status in ChannelStatus}

    def messages(self, registration: HaRegistration) -> int:
        """Sent through its channel since that was opened."""
        return 0 if self._channels is None else self._channels.messages(registration.registration_id)

    def is_reachable(self, registration: HaRegistration) -> bool:
        """Through a channel, or through the cloud."""
        is_open = self._channels is not None and self._channels.is_open(registration.registration_id)
        return is_open or isinstance(registration.app_data.get("push_token"), str)

    def supports_push(self, registration: HaRegistration) -> bool:
        """Home Assistant's rule, by which a notify service is made: the key alone will do, even with `false`."""
        data = registration.app_data
        return bool(data.get("push_token") and data.get("push_url")) or "push_websocket_channel" in data

    async def notify(self, registrations: Sequence[HaRegistration], event: Mapping[str, object]) -> list[str]:
        """Send the event to all. Returns the ticket ids of those that were accepted, in order; they are durable.

        RequestRefused, StoreUnavailable: of a hundred, none was; of earlier hundreds all may have been.
        """
        local = Raw(orjson.dumps(event))
        tickets: list[str] = []
        for start in range(0, len(registrations), MAX_RECIPIENTS):
            some = registrations[start : start + MAX_RECIPIENTS]
            message = _message(await self._push_tokens(some), event, local)
            answer = await self._gateway.accept(native_request([message]), body=encode_native([message]))
            accepted = [place for place, error in enumerate(answer.refused) if error is None]
            tickets += [ticket_id(answer.batch_id, place) for place in accepted]
        return tickets

    async def cloud_of(self, registration_id: str) -> Cloud | None:
        """Where its messages go when it does not listen. None: it is gone. StoreUnavailable."""
        registration = await self._store.registration(registration_id)
        if registration is None or registration.deleted_at is not None:
            return None
        data, info = registration.app_data, {"app_id": registration.app_id, "app_version": registration.app_version}
        info["webhook_id"] = registration.webhook_id
        if registration.os_version is not None:
            info["os_version"] = registration.os_version
        push_url, token = data.get("push_url"), data.get("push_token")
        return Cloud(
            push_url=push_url if isinstance(push_url, str) and push_url else None,
            push_token=token if isinstance(token, str) and token else None,
            registration_info=info,
            endpoint="android" if registration.os_name.lower() == "android" else "legacy",
        )

    async def _device(self, webhook_id: str, *, app_id: str, now: float) -> str:
        """The push token of its local device."""
        device = await self._registry.register(
            Registration(
                # Who knows it could give the device another address; the registration's id is shown to people.
                device_id=sha256(b"local device of " + webhook_id.encode()).hexdigest(),
                app_id=app_id,
                project=self._project,
                platform=Platform.LOCAL,
                device_token=registration_id(webhook_id),
                sandbox=False,
            ),
            push_token=push_token(self._random_bytes(PUSH_TOKEN_RANDOM_BYTES)),
            now=now,
        )
        return device.push_token

    async def _push_tokens(self, registrations: Sequence[HaRegistration]) -> list[str]:
        """Their devices', in order; one that somebody removed is made anew."""
        known = await self._registry.devices([one.push_token for one in registrations])
        return [one.push_token if one.push_token in known else await self._renewed(one) for one in registrations]

    async def _renewed(self, registration: HaRegistration) -> str:
        token = await self._device(registration.webhook_id, app_id=registration.app_id, now=self._clock())
        await self._store.update_registration(replace(registration, push_token=token))
        return token

    async def _forget(self, registration: HaRegistration) -> None:
        await self._registry.forget_device(registration.push_token)
        if self._channels is not None:
            self._channels.forget(registration.registration_id)


def _message(tokens: list[str], event: Mapping[str, object], local: Raw) -> NativeMessage:
    """`title` and `message` are what journal and inspect API show of it."""
    title, text, extra = event.get("title"), event.get("message"), event.get("data")
    return NativeMessage(
        to=tokens,
        title=title if isinstance(title, str) else None,
        body=text if isinstance(text, str) else None,
        data=Raw(orjson.dumps(extra)) if isinstance(extra, dict) and extra else Raw(b""),
        local=local,
    )
