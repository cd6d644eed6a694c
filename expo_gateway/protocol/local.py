"""A message as the event of a local channel: the notification as Home Assistant's apps read it. Pure."""

import msgspec

from expo_gateway.protocol.device import Device
from expo_gateway.protocol.message import PushMessage


class LocalRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event for one registration."""

    ticket_id: str
    registration_id: str
    event: msgspec.Raw
    """`{"message": …, "title"?: …, "data"?: …}`, a JSON object."""
    attempt: int
    """From 1 on. What was offered to a channel once is not again."""


def build_local_request(message: PushMessage, device: Device, *, ticket_id: str, attempt: int) -> LocalRequest:
    return LocalRequest(
        ticket_id=ticket_id, registration_id=device.device_token, event=_event(message), attempt=attempt
    )


def _event(message: PushMessage) -> msgspec.Raw:
    """What the door made, or Expo's title, body and data in Home Assistant's words."""
    # Of a native message; its class is not loaded for this.
    local = getattr(message, "local", None)
    if isinstance(local, msgspec.Raw) and len(memoryview(local)):
        return local
    event: dict[str, object] = {"message": message.body or ""}
    if message.title is not None:
        event["title"] = message.title
    if data := message.data_object():
        event["data"] = data
    return msgspec.Raw(msgspec.json.encode(event))
