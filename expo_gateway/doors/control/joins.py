"""Which delivery a capture is of. Pure.

APNs: the ticket id is the `apns-id`. FCM: the name of the message that it answered with; where it answered with an
error, the attempt that sent the very same body to that device meanwhile.
"""

from collections.abc import Iterable, Iterator

import orjson

from expo_gateway.emulators.inbox import Capture
from expo_gateway.journal import views
from expo_gateway.journal.entry import Attempt, Entry
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.providers.base import Accepted

NumberedCapture = tuple[int, Capture]


class Deliveries:
    """The entries of a journal by what captures know of them."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_ticket: dict[str, Entry] = {}
        self._by_device: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.ticket_id is not None and entry.device is not None:
                self._by_ticket[entry.ticket_id] = entry
                self._by_device.setdefault(entry.device.device_token, []).append(entry)

    def push_token_of(self, capture: Capture) -> str | None:
        """Of the newest delivery to the device."""
        entries = self._by_device.get(capture.device_token)
        return entries[-1].push_token if entries else None

    def of(self, capture: Capture) -> Entry | None:
        if capture.emulator == "apns":
            return self._by_ticket.get(_header(capture, "apns-id").lower())
        entries = self._by_device.get(capture.device_token, ())
        return next((entry for entry in entries if _is_of(capture, entry)), None)


def captures_of(entry: Entry, captures: Iterable[NumberedCapture]) -> Iterator[NumberedCapture]:
    deliveries = Deliveries([entry])
    return ((number, capture) for number, capture in captures if deliveries.of(capture) is entry)


def _is_of(capture: Capture, entry: Entry) -> bool:
    return any(_is_of_attempt(capture, attempt) for attempt in entry.attempts)


def _is_of_attempt(capture: Capture, attempt: Attempt) -> bool:
    if isinstance(attempt.outcome, Accepted) and capture.answer_id:
        return attempt.outcome.provider_id == capture.answer_id
    if not isinstance(attempt.request, FcmRequest) or capture.received_at < attempt.started_at:
        return False
    if attempt.ended_at is not None and attempt.ended_at < capture.received_at:
        return False
    return views.fcm_request(attempt.request)["body"] == _json_of(capture)


def _json_of(capture: Capture) -> object:
    try:
        value: object = orjson.loads(capture.body)
    except orjson.JSONDecodeError:
        return None
    return value


def _header(capture: Capture, name: str) -> str:
    return next((value for key, value in capture.headers if key.lower() == name), "")
