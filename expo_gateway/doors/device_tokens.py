"""What expo-notifications asks of its service on the phone: a push token, and a rotated device token.

Source: expo-notifications 58, src/getExpoPushTokenAsync.ts and src/utils/updateDevicePushTokenAsync.ts.
"""

import re
from collections.abc import Callable
from typing import cast

import orjson

from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.http import Answer, DirectRoute, JsonEndpoint
from expo_gateway.errors import RequestRefused
from expo_gateway.gateway import Gateway
from expo_gateway.protocol.body import inflate
from expo_gateway.protocol.device import Platform, Registration
from expo_gateway.protocol.message import decode_json
from expo_gateway.protocol.schema import Check, Issue, boolean, issue_in_object, non_empty, one_of, optional, uuid

PLATFORMS = {"apns": Platform.IOS, "fcm": Platform.ANDROID}

# Our choice: ten times the longest that Apple and Google issue.
MAX_FIELD_CHARS = 4096

# Of bundle ids and package names: letters, digits, dots, and a hyphen with Apple, an underscore with Google.
_APP_ID = re.compile(r"[A-Za-z0-9._-]{1,255}", re.ASCII)
_FULL_NAME = re.compile(r"@[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)


def routes(gateway: Gateway, *, request_id: Callable[[], str], bodies: Bodies) -> list[DirectRoute]:
    async def get_expo_push_token(body: bytes) -> bytes:
        fields = _fields(body, {**_DEVICE, "projectId": optional(uuid), "experienceId": optional(_full_name)})
        project_id, full_name = fields.get("projectId"), fields.get("experienceId")
        if (project_id is None) == (full_name is None):
            raise RequestRefused("VALIDATION_ERROR", "Must supply exactly one of [experienceId, projectId].")
        token = await gateway.register(
            Registration(
                device_id=str(fields["deviceId"]).lower(),
                app_id=str(fields["appId"]),
                project=await gateway.project(
                    project_id=cast(str | None, project_id), full_name=cast(str | None, full_name)
                ),
                platform=PLATFORMS[str(fields["type"])],
                device_token=str(fields["deviceToken"]),
                sandbox=fields.get("development") is True,
            )
        )
        return orjson.dumps({"data": {"expoPushToken": token}})

    async def update_device_token(body: bytes) -> bytes:
        fields = _fields(body, _DEVICE)
        await gateway.update_device_token(
            device_id=str(fields["deviceId"]).lower(),
            app_id=str(fields["appId"]),
            device_token=str(fields["deviceToken"]),
            platform=PLATFORMS[str(fields["type"])],
            sandbox=fields.get("development") is True,
        )
        # Also for a device that never registered: the client tries for ever after anything but 2xx (assumed).
        return b'{"data":{}}'

    def endpoint(answer: Answer) -> JsonEndpoint:
        return JsonEndpoint(answer, request_id=request_id, bodies=bodies)

    return [
        DirectRoute("/--/api/v2/push/getExpoPushToken", endpoint(get_expo_push_token)),
        DirectRoute("/--/api/v2/push/updateDeviceToken", endpoint(update_device_token)),
    ]


def _fields(body: bytes, wanted: dict[str, Check]) -> dict[str, object]:
    decoded = decode_json(inflate(body))
    issue = issue_in_object(decoded, wanted)
    if issue is not None:
        raise RequestRefused("VALIDATION_ERROR", issue)
    return cast(dict[str, object], decoded)


def _field(value: object, path: str) -> Issue | None:
    issue = non_empty(value, path)
    if issue is None and len(str(value)) > MAX_FIELD_CHARS:
        return path, f"String must contain at most {MAX_FIELD_CHARS} character(s)"
    return issue


def _app_id(value: object, path: str) -> Issue | None:
    return non_empty(value, path) or (None if _APP_ID.fullmatch(str(value)) else (path, "Invalid"))


def _full_name(value: object, path: str) -> Issue | None:
    return non_empty(value, path) or (None if _FULL_NAME.fullmatch(str(value)) else (path, "Invalid"))


_DEVICE: dict[str, Check] = {
    "type": one_of(*PLATFORMS),
    "deviceId": _field,
    "development": optional(boolean),
    "appId": _app_id,
    "deviceToken": _field,
}
