"""The fields of an FCM v1 send request, as data: proto names and types.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages and the fcm.v1 discovery document.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FCM_TYPES = "type.googleapis.com/google.firebase.fcm.v1."


@dataclass(frozen=True, slots=True)
class Scalar:
    kind: Literal["string", "bool", "int32", "float", "duration", "timestamp"]
    type_name: str
    """As error texts name it."""


@dataclass(frozen=True, slots=True)
class Enum:
    type_name: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Repeated:
    element: "Scalar"


@dataclass(frozen=True, slots=True)
class StringMap:
    type_name: str


@dataclass(frozen=True, slots=True)
class FreeObject:
    """Any JSON object: google.protobuf.Struct, or a message that we do not judge."""

    type_name: str


@dataclass(frozen=True, slots=True)
class Message:
    type_name: str
    fields: Mapping[str, "FieldType"]
    oneof: frozenset[str] = frozenset()
    oneof_name: str = ""
    spellings: Mapping[str, str] = field(init=False)
    """Proto name by each accepted spelling: snake_case and lowerCamelCase."""

    def __post_init__(self) -> None:
        spellings = {name: name for name in self.fields} | {_camel(name): name for name in self.fields}
        object.__setattr__(self, "spellings", spellings)


FieldType = Scalar | Enum | Repeated | StringMap | FreeObject | Message


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


STRING = Scalar("string", "TYPE_STRING")
BOOL = Scalar("bool", "TYPE_BOOL")
INT32 = Scalar("int32", "TYPE_INT32")
FLOAT = Scalar("float", "TYPE_FLOAT")
DURATION = Scalar("duration", "type.googleapis.com/google.protobuf.Duration")
TIMESTAMP = Scalar("timestamp", "type.googleapis.com/google.protobuf.Timestamp")
STRUCT = FreeObject("type.googleapis.com/google.protobuf.Struct")


def _strings(*names: str) -> dict[str, FieldType]:
    return dict.fromkeys(names, STRING)


def _map_of(owner: str, name: str) -> StringMap:
    return StringMap(f"{FCM_TYPES}{owner}.{name}Entry")


def _enum(name: str, *values: str) -> Enum:
    return Enum(FCM_TYPES + name, frozenset(values))


COLOR = Message("type.googleapis.com/google.type.Color", dict.fromkeys(("red", "green", "blue", "alpha"), FLOAT))
LIGHT_SETTINGS = Message(
    FCM_TYPES + "LightSettings",
    {"color": COLOR, "light_on_duration": DURATION, "light_off_duration": DURATION},
)
NOTIFICATION = Message(FCM_TYPES + "Notification", _strings("title", "body", "image"))
ANDROID_NOTIFICATION = Message(
    FCM_TYPES + "AndroidNotification",
    {
        **_strings("title", "body", "icon", "color", "sound", "tag", "click_action", "body_loc_key", "title_loc_key"),
        **_strings("channel_id", "ticker", "image"),
        "body_loc_args": Repeated(STRING),
        "title_loc_args": Repeated(STRING),
        "sticky": BOOL,
        "local_only": BOOL,
        "default_sound": BOOL,
        "default_vibrate_timings": BOOL,
        "default_light_settings": BOOL,
        "bypass_proxy_notification": BOOL,
        "event_time": TIMESTAMP,
        "vibrate_timings": Repeated(DURATION),
        "notification_count": INT32,
        "light_settings": LIGHT_SETTINGS,
        "notification_priority": _enum(
            "AndroidNotification.NotificationPriority",
            *("PRIORITY_UNSPECIFIED", "PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH"),
            "PRIORITY_MAX",
        ),
        "visibility": _enum("AndroidNotification.Visibility", "VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"),
        "proxy": _enum("AndroidNotification.Proxy", "PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"),
    },
)
ANDROID = Message(
    FCM_TYPES + "AndroidConfig",
    {
        **_strings("collapse_key", "restricted_package_name"),
        "priority": _enum("AndroidConfig.AndroidMessagePriority", "NORMAL", "HIGH"),
        "ttl": DURATION,
        "data": _map_of("AndroidConfig", "Data"),
        "notification": ANDROID_NOTIFICATION,
        "fcm_options": Message(FCM_TYPES + "AndroidFcmOptions", _strings("analytics_label")),
        "direct_boot_ok": BOOL,
        "bandwidth_constrained_ok": BOOL,
        "restricted_satellite_ok": BOOL,
    },
)
APNS = Message(
    FCM_TYPES + "ApnsConfig",
    {
        "headers": _map_of("ApnsConfig", "Headers"),
        "payload": STRUCT,
        "fcm_options": Message(FCM_TYPES + "ApnsFcmOptions", _strings("analytics_label", "image")),
        "live_activity_token": STRING,
    },
)
WEBPUSH = Message(
    FCM_TYPES + "WebpushConfig",
    {
        "headers": _map_of("WebpushConfig", "Headers"),
        "data": _map_of("WebpushConfig", "Data"),
        "notification": STRUCT,
        "fcm_options": Message(FCM_TYPES + "WebpushFcmOptions", _strings("link", "analytics_label")),
    },
)
TARGETS = frozenset(("token", "topic", "condition", "fid"))
MESSAGE = Message(
    FCM_TYPES + "Message",
    {
        **_strings("name", *sorted(TARGETS)),
        "data": _map_of("Message", "Data"),
        "notification": NOTIFICATION,
        "android": ANDROID,
        # In the Admin SDKs since 2026; its rules are not published well enough to judge by.
        "android_v2": FreeObject(FCM_TYPES + "AndroidConfigV2"),
        "webpush": WEBPUSH,
        "apns": APNS,
        "fcm_options": Message(FCM_TYPES + "FcmOptions", _strings("analytics_label")),
    },
    oneof=TARGETS,
    oneof_name="target",
)
SEND_REQUEST = Message(FCM_TYPES + "SendMessageRequest", {"validate_only": BOOL, "message": MESSAGE})
