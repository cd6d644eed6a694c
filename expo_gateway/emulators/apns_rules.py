"""What APNs refuses, and why: the judge of one request, pure.

Written from Apple's documents and from answers seen in production, and never from our own payload builder: the two
must be able to disagree. The order of the checks is assumed; Apple doesn't document it.
Source: Apple, "Sending notification requests to APNs",
https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from expo_gateway.emulators.apns_answers import ApnsReason, Refusal
from expo_gateway.emulators.apns_certificates import TrustedCertificate
from expo_gateway.emulators.apns_provider_tokens import ProviderToken
from expo_gateway.emulators.virtual_devices import VirtualDevice

DEVICE_PATH = "/3/device/"
MAX_PAYLOAD_BYTES = 4096
MAX_VOIP_PAYLOAD_BYTES = 5120
MAX_COLLAPSE_ID_BYTES = 64

# What each push type appends to the bundle id.
TOPIC_SUFFIXES = {
    "alert": "",
    "background": "",
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
    "location": ".location-query",
    "liveactivity": ".push-type.liveactivity",
    "widgets": ".push-type.widgets",
    "controls": ".push-type.controls",
    "pushtotalk": ".voip-ptt",
    "mdm": "",
}
_SUFFIXES = tuple(suffix for suffix in TOPIC_SUFFIXES.values() if suffix)

SANDBOX_HOSTS = frozenset({"api.sandbox.push.apple.com", "api.development.push.apple.com"})

# Today's tokens are 32 bytes, those of live activities 80; Apple promises no length. The bounds are assumed.
_DEVICE_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}")
_TOPIC = re.compile(r"[A-Za-z0-9.\-]{1,255}")
# Apple asks for lower case but answers with upper case itself; either is taken.
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EPOCH_S = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsRequest:
    headers: tuple[tuple[str, str], ...]
    """As received, pseudo headers too. Bytes that aren't ASCII stand as Latin-1, so that one char is one byte."""
    fields: Mapping[str, str]
    """The same by name; the last one of repeated headers."""
    body: bytes
    received_at: float

    @property
    def path(self) -> str:
        return self.fields.get(":path", "")

    @property
    def device_token(self) -> str:
        """ "" when the path names none."""
        return self.path.removeprefix(DEVICE_PATH) if self.path.startswith(DEVICE_PATH) else ""

    @property
    def push_type(self) -> str:
        """ "" when it isn't said, as by servers older than iOS 13."""
        return self.fields.get("apns-push-type", "")

    @property
    def topic(self) -> str:
        return self.fields.get("apns-topic", "")

    @property
    def app_id(self) -> str:
        """The bundle id in the topic."""
        for suffix in (TOPIC_SUFFIXES.get(self.push_type, ""),) if self.push_type else _SUFFIXES:
            if suffix and self.topic.endswith(suffix):
                return self.topic.removesuffix(suffix)
        return self.topic

    @property
    def is_sandbox(self) -> bool:
        """The environment is that of the host that was addressed; one that isn't Apple's is production."""
        host = self.fields.get(":authority") or self.fields.get("host", "")
        return host.partition(":")[0].lower() in SANDBOX_HOSTS


def judge(
    request: ApnsRequest,
    *,
    token: ProviderToken | TrustedCertificate | ApnsReason,
    device: VirtualDevice | None,
    known_only: bool,
) -> Refusal | None:
    """Why APNs refuses the request; None when it accepts it.

    `token` is what its `authorization` is worth, or its connection's certificate in place of one; `device` the one that
    has its device token; when there is none, `known_only` says that there is no such phone.
    """
    reason = (
        _judge_route(request)
        or (token if isinstance(token, ApnsReason) else _judge_key(request, token))
        or _judge_headers(request, device)
        or _judge_payload(request)
        or _judge_device(request, device, known_only=known_only)
    )
    if reason is not None:
        return Refusal(reason=reason)
    if device is not None and device.unregistered_at is not None:
        return Refusal(reason=ApnsReason.UNREGISTERED, timestamp_ms=int(device.unregistered_at * 1000))
    return None


def _judge_route(request: ApnsRequest) -> ApnsReason | None:
    if request.fields.get(":method") != "POST":
        return ApnsReason.METHOD_NOT_ALLOWED
    if request.path in (DEVICE_PATH, DEVICE_PATH.rstrip("/")):
        return ApnsReason.MISSING_DEVICE_TOKEN
    if not request.device_token or "/" in request.device_token:
        return ApnsReason.BAD_PATH
    # Assumed: Apple says only "one or more headers are repeated"; we take it for any header.
    if len(request.fields) != len(request.headers):
        return ApnsReason.DUPLICATE_HEADERS
    return None


def _judge_key(request: ApnsRequest, token: ProviderToken | TrustedCertificate) -> ApnsReason | None:
    environment = "sandbox" if request.is_sandbox else "production"
    if token.environment not in (None, environment):
        is_certificate = isinstance(token, TrustedCertificate)
        return ApnsReason.BAD_CERTIFICATE_ENVIRONMENT if is_certificate else ApnsReason.BAD_ENVIRONMENT_KEY_IN_TOKEN
    if token.topics is not None and request.topic and request.app_id not in token.topics:
        return ApnsReason.TOPIC_DISALLOWED
    return None


def _judge_headers(request: ApnsRequest, device: VirtualDevice | None) -> ApnsReason | None:
    fields = request.fields
    if not request.topic:
        return ApnsReason.MISSING_TOPIC
    if not _TOPIC.fullmatch(request.topic):
        return ApnsReason.BAD_TOPIC
    if request.push_type and not _fits_topic(request, device):
        return ApnsReason.INVALID_PUSH_TYPE
    if not _is_priority(fields.get("apns-priority"), push_type=request.push_type):
        return ApnsReason.BAD_PRIORITY
    if "apns-expiration" in fields and not _EPOCH_S.fullmatch(fields["apns-expiration"]):
        return ApnsReason.BAD_EXPIRATION_DATE
    if len(fields.get("apns-collapse-id", "")) > MAX_COLLAPSE_ID_BYTES:
        return ApnsReason.BAD_COLLAPSE_ID
    if "apns-id" in fields and not _UUID.fullmatch(fields["apns-id"]):
        return ApnsReason.BAD_MESSAGE_ID
    return None


def _fits_topic(request: ApnsRequest, device: VirtualDevice | None) -> bool:
    """Is the push type known, and the topic one of its kind?

    Seen: `alert` to a .voip topic brings InvalidPushType (AndrewBarba/apns2 issue 23). The other way round is assumed.
    An app whose very bundle id ends like a suffix is told by its device.
    """
    suffix = TOPIC_SUFFIXES.get(request.push_type)
    if suffix is None:
        return False
    if suffix:
        return request.topic.endswith(suffix)
    return not request.topic.endswith(_SUFFIXES) or (device is not None and device.app_id == request.topic)


def _is_priority(priority: str | None, *, push_type: str) -> bool:
    """Apple: 10 with `background` "is an error". Left out it means 10, yet node-apn leaves it out and is served."""
    if priority is None:
        return True
    return priority == "5" if push_type == "background" else priority in ("1", "5", "10")


def _judge_payload(request: ApnsRequest) -> ApnsReason | None:
    is_voip = request.push_type == "voip" or (not request.push_type and request.topic.endswith(".voip"))
    if not request.body:
        return ApnsReason.PAYLOAD_EMPTY
    if len(request.body) > (MAX_VOIP_PAYLOAD_BYTES if is_voip else MAX_PAYLOAD_BYTES):
        return ApnsReason.PAYLOAD_TOO_LARGE
    try:
        payload = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        payload = None
    # Assumed: Apple has no reason for what isn't JSON. `{}` is right: Wallet passes are updated with it.
    return None if isinstance(payload, dict) else ApnsReason.PAYLOAD_EMPTY


def _judge_device(request: ApnsRequest, device: VirtualDevice | None, *, known_only: bool) -> ApnsReason | None:
    if not _DEVICE_TOKEN.fullmatch(request.device_token):
        return ApnsReason.BAD_DEVICE_TOKEN
    if device is None:
        return ApnsReason.BAD_DEVICE_TOKEN if known_only else None
    if device.sandbox != request.is_sandbox:
        return ApnsReason.BAD_DEVICE_TOKEN
    if device.app_id not in (request.app_id, request.topic):
        return ApnsReason.DEVICE_TOKEN_NOT_FOR_TOPIC
    return None
