"""Captures made of what the control API shows of them. Their bodies come back as JSON values, not byte by byte."""

from typing import Annotated, Literal

import orjson
from msgspec import Meta, Struct

from expo_gateway.emulators.inbox import Capture


class CaptureForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}\Z")]
    provider: Literal["apns", "fcm"]
    received_at: float
    path: str
    headers: list[tuple[str, str]]
    body: object
    text: str | None
    device_token: str
    push_token: str | None
    """Whose it is now is told by the deliveries, as is `delivery_id`."""
    status: int | None
    reason: str | None
    answer_id: str | None
    delivery_id: str | None


def capture_of(form: CaptureForm) -> Capture:
    return Capture(
        emulator=form.provider,
        received_at=form.received_at,
        path=form.path,
        headers=tuple(form.headers),
        body=orjson.dumps(form.body) if form.text is None else form.text.encode(),
        device_token=form.device_token,
        status=form.status or 0,
        reason=form.reason or "",
        answer_id=form.answer_id or "",
    )
