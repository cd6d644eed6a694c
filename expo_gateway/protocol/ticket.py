"""Tickets and their ids.

A ticket id is a lower-case UUIDv7, as Expo's are, that carries its place: the 12 bits of `rand_a` are the index of
the recipient in its batch, the rest is the batch's own id. RFC 9562, section 5.7, leaves `rand_a` to the maker.
"""

import re
from collections.abc import Iterable, Sequence

import orjson
from msgspec import Struct

# A batch id is a ticket id's 16 bytes with place 0: 48 bits of Unix milliseconds, version, 12 zero bits, variant,
# and 62 random bits.
BatchId = bytes
BATCH_RANDOM_BYTES = 8
MAX_PLACES = 4096
_PLACES = [f"{place:03x}" for place in range(MAX_PLACES)]
_PLACE_OF = {text: place for place, text in enumerate(_PLACES)}

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def batch_id(*, now: float, random_bytes: bytes) -> BatchId:
    """A new batch id of this instant. `random_bytes` are BATCH_RANDOM_BYTES; two of their bits are lost."""
    low = int.from_bytes(random_bytes, "big") & ((1 << 62) - 1) | (0b10 << 62)
    return earliest_batch_id(now)[:8] + low.to_bytes(8, "big")


def earliest_batch_id(at: float) -> BatchId:
    """Not above any batch id of the instant `at`, and above all earlier ones."""
    return int(at * 1000).to_bytes(6, "big") + b"\x70\x00" + b"\x80" + bytes(7)


def accepted_at(batch: BatchId) -> float:
    """When the batch was accepted: Unix seconds, to the millisecond."""
    return int.from_bytes(batch[:6], "big") / 1000


def ticket_id(batch: BatchId, place: int) -> str:
    text = batch.hex()
    return f"{text[:8]}-{text[8:12]}-7{place:03x}-{text[16:20]}-{text[20:]}"


def parse_ticket_id(text: str) -> tuple[BatchId, int] | None:
    """(batch, place), or None for a text that no ticket of ours has. Upper case is read too."""
    text = text.lower()
    if _ID.fullmatch(text) is None:
        return None
    return bytes.fromhex(f"{text[:8]}{text[9:13]}7000{text[19:23]}{text[24:]}"), int(text[15:18], 16)


def parse_ticket_ids(texts: Iterable[str]) -> dict[str, tuple[BatchId, int]]:
    """(batch, place) of those that are ticket ids. Most come by the batch, and then differ in their place only."""
    batches: dict[str, BatchId | None] = {}
    found = {}
    for text in texts:
        lower = text.lower()
        without_place = lower[:15] + lower[18:]
        if without_place not in batches:
            parsed = parse_ticket_id(f"{lower[:15]}000{lower[18:]}")
            batches[without_place] = parsed[0] if parsed is not None else None
        batch, place = batches[without_place], _PLACE_OF.get(lower[15:18])
        if batch is not None and place is not None:
            found[text] = batch, place
    return found


class TicketError(Struct, frozen=True, kw_only=True):
    """A recipient that is refused at once. `error` is Expo's code; every member of the JSON is a string.

    Source: recorded; `fault` appears with InvalidCredentials for Android only.
    """

    message: str
    error: str
    push_token: str | None = None
    fault: str | None = None

    def to_json(self) -> bytes:
        details = {"error": self.error}
        if self.push_token is not None:
            details["expoPushToken"] = self.push_token
        if self.fault is not None:
            details["fault"] = self.fault
        return orjson.dumps({"status": "error", "message": self.message, "details": details})


def not_a_push_token(token: str) -> TicketError:
    """Recorded 2026-01-06."""
    return _not_registered(token, "is not a valid Expo push token")


def not_a_recipient(token: str) -> TicketError:
    """A well-formed push token that nobody holds. Documented; `expoPushToken` since October 2022."""
    return _not_registered(token, "is not a registered push notification recipient")


def _not_registered(token: str, why: str) -> TicketError:
    return TicketError(message=f'"{token}" {why}', error="DeviceNotRegistered", push_token=token)


def no_apns_credentials(bundle_id: str, full_name: str) -> TicketError:
    """Nothing is configured that reaches this app on iOS. Seen in public reports; without `fault`."""
    text = (
        f"Could not find APNs credentials for {bundle_id} ({full_name}). "
        "You may need to generate or upload new push credentials."
    )
    return TicketError(message=text, error="InvalidCredentials")


def no_fcm_credentials() -> TicketError:
    """Nothing is configured for Android. Seen in public reports of 2026."""
    text = (
        "Unable to retrieve the FCM server key for the recipient's app. "
        "Make sure you have provided a server key as directed by the Expo FCM documentation."
    )
    return TicketError(message=text, error="InvalidCredentials", fault="developer")


def tickets_json(batch: BatchId, refused: Sequence[TicketError | None], *, as_object: bool) -> bytes:
    """The answer to /push/send: `{"data":[…]}`, or one bare ticket. `refused[place]` is None where the ticket is ok."""
    text = batch.hex()
    head, tail = f'{{"status":"ok","id":"{text[:8]}-{text[8:12]}-7', f'-{text[16:20]}-{text[20:]}"}}'
    if any(refused):
        tickets = ",".join(
            f"{head}{place:03x}{tail}" if error is None else error.to_json().decode()
            for place, error in enumerate(refused)
        )
    else:
        # Nothing but the place differs, so the rest stands between the places.
        tickets = head + f"{tail},{head}".join(_PLACES[: len(refused)]) + tail if refused else ""
    return f'{{"data":{tickets}}}'.encode() if as_object else f'{{"data":[{tickets}]}}'.encode()
