"""Entries as JSON values, as the control API shows them. They name whole tokens, so they are not for logs."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec
import orjson

from expo_gateway.journal.entry import Attempt, Entry
from expo_gateway.journal.query import NearMiss
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.protocol.device import Device
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.receipt import plain
from expo_gateway.providers.base import Accepted, Outcome, Rejected, Uncertain

Json = dict[str, object]


def summary(entry: Entry) -> Json:
    """What a list shows of a delivery."""
    message, receipt = entry.message, entry.receipt
    return {
        "id": entry.id,
        "ticket_id": entry.ticket_id,
        "batch_id": entry.batch_id,
        "place": entry.place,
        "state": entry.state.value,
        "accepted_at": entry.accepted_at,
        "push_token": entry.push_token,
        "device": None if entry.device is None else _device(entry.device),
        "project": None if entry.device is None else _project(entry.device),
        "title": message.title,
        "subtitle": message.subtitle,
        "body": message.body,
        "data": message.data_object(),
        "attempts_made": len(entry.attempts),
        "due_at": entry.due_at,
        "ticket_error": None if entry.refusal is None else orjson.loads(entry.refusal.to_json()),
        "receipt": None if receipt is None else orjson.loads(plain(receipt)),
        "expired_at": entry.expired_at,
    }


def life(entry: Entry) -> Json:
    """The same, with the message as it came, every attempt, and all that happened in its order."""
    return {
        **summary(entry),
        "message": entry.raw_message(),
        "attempts": [_attempt(attempt) for attempt in entry.attempts],
        "events": [msgspec.to_builtins(event) for event in entry.events],
    }


def near_miss(near: NearMiss) -> Json:
    """A delivery that was not meant, with each part that it failed and a sentence for it."""
    misses = [{**msgspec.to_builtins(miss), "why": miss.why} for miss in near.misses]
    return {"delivery": summary(near.entry), "misses": misses}


def apns_request(request: ApnsRequest) -> Json:
    """Without `authorization`, which is a secret, and what HTTP/2 adds."""
    headers = {
        "apns-id": request.apns_id,
        "apns-topic": request.topic,
        "apns-push-type": request.push_type,
        "apns-priority": str(request.priority),
        "apns-expiration": None if request.expiration is None else str(request.expiration),
        "apns-collapse-id": request.collapse_id,
    }
    return {
        "provider": "apns",
        "sandbox": request.sandbox,
        "path": f"/3/device/{quote(request.device_token, safe='', errors='replace')}",
        "headers": {name: value for name, value in headers.items() if value is not None},
        "payload": orjson.loads(request.payload),
    }


def fcm_request(request: FcmRequest) -> Json:
    """The body of `messages:send`."""
    message: Json = {"token": request.device_token, "data": dict(request.data), "android": dict(request.android)}
    if request.notification is not None:
        message["notification"] = dict(request.notification)
    message.update(request.others)
    return {"provider": "fcm", "body": {"message": message, "validate_only": False}}


def local_request(request: LocalRequest) -> Json:
    """The event that a channel or the cloud gets."""
    return {
        "provider": "local",
        "registration_id": request.registration_id,
        "event": orjson.loads(bytes(request.event)),
    }


def outcome(outcome: Outcome) -> Json:
    """`provider_id` of what was accepted, `reason` and `status` of what was rejected, else `why`."""
    if isinstance(outcome, Accepted):
        return {"outcome": "accepted", "provider_id": outcome.provider_id}
    if isinstance(outcome, Rejected):
        return {"outcome": "rejected", "reason": outcome.reason, "status": outcome.status}
    return {"outcome": "uncertain" if isinstance(outcome, Uncertain) else "unsent", "why": outcome.why}


def _attempt(attempt: Attempt) -> Json:
    return {
        "n": attempt.n,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "request": _request(attempt.request),
        "answer": None if attempt.outcome is None else outcome(attempt.outcome),
    }


def _request(request: ApnsRequest | FcmRequest | LocalRequest | None) -> Json | None:
    if request is None:
        return None
    if isinstance(request, LocalRequest):
        return local_request(request)
    return apns_request(request) if isinstance(request, ApnsRequest) else fcm_request(request)


def _device(device: Device) -> Mapping[str, object]:
    return {
        "platform": device.platform.value,
        "device_token": device.device_token,
        "app_id": device.app_id,
        "sandbox": device.sandbox,
        "virtual": device.virtual,
    }


def _project(device: Device) -> Mapping[str, object]:
    return {"project_id": device.project.project_id, "full_name": device.project.full_name}
