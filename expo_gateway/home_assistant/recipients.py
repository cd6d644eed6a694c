"""Whose push token it is that Home Assistant has: an Expo push token, or what Apple or Google gave to a phone."""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from expo_gateway.gateway import Gateway, TokenPolicy
from expo_gateway.protocol.device import VIRTUAL_APP_ID, Device, Platform, Project, ProjectKind, Registration
from expo_gateway.protocol.push_token import passes_sdk_check
from expo_gateway.registry.base import Registry

# What FCM's tokens are made of; nobody promises more, and tests have theirs.
_FCM_CHARS: Final = re.compile(r"[A-Za-z0-9_:-]{1,4096}", re.ASCII)
# Those that apps print. What is none is not sent to Google, which counts such pushes against the sender.
_FCM_FORM: Final = re.compile(r"[A-Za-z0-9_-]{20,64}:[A-Za-z0-9_-]{100,1024}", re.ASCII)
# Apple's, which FCM does not know.
_APNS_FORM: Final = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}", re.ASCII)


class Recipients:
    """Push tokens as Home Assistant has them -> push tokens that the gateway accepts."""

    def __init__(
        self,
        *,
        registry: Registry,
        gateway: Gateway,
        policy: TokenPolicy,
        has_real: Callable[[], bool],
        project: str | None = None,
    ) -> None:
        """`project`: full name of the one whose FCM knows raw tokens. None: the policy's, where it enrols anything."""
        self._registry = registry
        self._gateway = gateway
        self._policy = policy
        self._has_real = has_real
        self._project = project

    async def find(self, token: str, *, app_id: str = "") -> str | None:
        """The push token of the device that is meant. None: there can't be one, or it is one of local push, which
        comes here itself when nobody listens, and would go round and round.

        An FCM token that is seen for the first time becomes a device of the project that raw tokens go to; `app_id` is
        its app, if that is known.
        """
        if passes_sdk_check(token):
            return None if _is_local((await self._registry.devices([token])).get(token)) else token
        device = await self._registry.device_with_token(token.lower() if _APNS_FORM.fullmatch(token) else token)
        if device is not None:
            return None if _is_local(device) else device.push_token
        project = await self._project_of_raw()
        if project is None or not _may_be_fcm(token, project):
            return None
        return await self._gateway.register(
            Registration(
                device_id=f"relay-{sha256(token.encode()).hexdigest()[:32]}",
                app_id=app_id[:255] or VIRTUAL_APP_ID,
                project=project,
                platform=Platform.ANDROID,
                device_token=token,
                sandbox=False,
            )
        )

    async def is_dead(self, push_token: str) -> bool:
        device = (await self._registry.devices([push_token])).get(push_token)
        return device is not None and device.gone_at is not None

    async def _project_of_raw(self) -> Project | None:
        if self._project is not None:
            return await self._registry.project_named(self._project)
        return None if self._policy.refuses_tokens(has_real=self._has_real()) else self._policy.project


def _is_local(device: Device | None) -> bool:
    return device is not None and device.platform is Platform.LOCAL


def _may_be_fcm(token: str, project: Project) -> bool:
    form = _FCM_FORM if project.kind is ProjectKind.REAL else _FCM_CHARS
    return form.fullmatch(token) is not None and not _APNS_FORM.fullmatch(token)
