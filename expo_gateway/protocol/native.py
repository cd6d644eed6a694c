"""Messages that a door has already put into the providers' own words, and the batches that they are stored in.

Home Assistant's notifications say what APNs, FCM or a local channel is to get. They go the way of Expo's messages all
the same: one batch, one outbox, one journal. `title`, `body` and `data` are what is shown of them there.
"""

from collections.abc import Sequence

import msgspec

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.body import NATIVE_MARK
from expo_gateway.protocol.message import PushMessage, SendRequest

ABSENT = msgspec.Raw(b"")


class NativeApns(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A push as APNs takes it."""

    headers: dict[str, str] = {}
    """`apns-push-type`, `apns-priority`, `apns-collapse-id`, `apns-expiration`; of others nothing is made. The topic is
    the device's, the id the ticket's."""
    payload: msgspec.Raw
    """The JSON object as a whole, `aps` and all."""
    device_token: str | None = None
    """Another address than the device's own: the push token of a Live Activity."""


class NativeMessage(PushMessage, frozen=True, gc=False, rename="camel", kw_only=True):
    """A message that has been translated. A device whose provider has no part gets title, body and data, as Expo's."""

    apns: NativeApns | None = None
    fcm: msgspec.Raw = ABSENT
    """FCM's `message` object without a target. Its `apns` part is what an APNs device gets when `apns` is None."""
    local: msgspec.Raw = ABSENT
    """The event of a local channel: Home Assistant's notification, a JSON object."""

    @property
    def largest_bytes(self) -> int:
        parts = (self.data, self.fcm, self.local, self.apns.payload if self.apns is not None else ABSENT)
        return max(len(memoryview(part)) for part in parts)


_decoder: msgspec.json.Decoder[list[NativeMessage]] = msgspec.json.Decoder(list[NativeMessage])
_encoder = msgspec.json.Encoder()


def native_request(messages: Sequence[NativeMessage]) -> SendRequest:
    """The messages as a gateway accepts them."""
    return SendRequest(
        messages=list(messages),
        tokens=[token for message in messages for token in message.recipients],
        answers_object=False,
    )


def encode_native(messages: Sequence[NativeMessage]) -> bytes:
    """The body that such a batch is stored with."""
    return NATIVE_MARK + _encoder.encode([_sparse(message) for message in messages])


def decode_native(body: bytes) -> SendRequest:
    """Read it back. RequestRefused: it is damaged."""
    try:
        return native_request(_decoder.decode(memoryview(body)[len(NATIVE_MARK) :]))
    except msgspec.DecodeError as error:
        raise RequestRefused("VALIDATION_ERROR", f"The stored batch can't be read: {error}.") from None


def _sparse(message: NativeMessage) -> dict[str, object]:
    """What it has: most members are absent, and an absent `data` has no JSON at all."""
    members: dict[str, object] = {}
    for field in msgspec.structs.fields(NativeMessage):
        value = getattr(message, field.name)
        if value is None or (isinstance(value, msgspec.Raw) and not len(memoryview(value))):
            continue
        members[field.encode_name] = value
    return members
