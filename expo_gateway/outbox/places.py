"""The places of a batch: which are pending, which have a receipt, which are tried again when. Pure, for every store.

In a store a batch's places are three columns: `states`, one byte a place; `receipts` and `retries`, JSON objects by
place for the few places that need more than a byte, or NULL.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from expo_gateway.outbox.base import Pending
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from expo_gateway.protocol.ticket import MAX_PLACES

PENDING: Final = 0
OK: Final = 1
FAILED: Final = 2
"""Any receipt but RECEIPT_OK_JSON."""
REFUSED: Final = 3
_STATES: Final = bytes([PENDING, OK, FAILED, REFUSED])

T = TypeVar("T")

# Raw keeps a receipt's bytes as they were given.
_JSON = msgspec.json.Decoder(msgspec.Raw)
_RECEIPTS = msgspec.json.Decoder(dict[int, msgspec.Raw])
_RETRIES = msgspec.json.Decoder(dict[int, tuple[int, float]])


class BrokenRow(ValueError):
    """What the store holds about a batch can't be read."""


class Places(msgspec.Struct, frozen=True, kw_only=True):
    states: bytes
    receipts: Mapping[int, bytes]
    """Receipt JSON of the FAILED places."""
    retries: Mapping[int, tuple[int, float]]
    """(attempts, due_at) of the PENDING places that were tried."""


def fresh(count: int, refused: Collection[int] = ()) -> Places:
    """Of a new batch: all pending but the refused ones."""
    if not 0 < count <= MAX_PLACES:
        raise ValueError(f"a batch has 1 to {MAX_PLACES} places, not {count}")
    states = bytearray(count)
    for place in refused:
        if not 0 <= place < count:
            raise ValueError(f"place {place} can't be refused: a batch of {count} has none")
        states[place] = REFUSED
    return Places(states=bytes(states), receipts={}, retries={})


def settled(places: Places, receipts: Mapping[int, bytes]) -> Places:
    """With these receipts. A place that has one keeps it, and a refused one its refusal; unknown places are left out.

    ValueError: a receipt is no JSON; it would make the row unreadable.
    """
    states, failed = bytearray(places.states), dict(places.receipts)
    for place, receipt in receipts.items():
        if not 0 <= place < len(states) or states[place] != PENDING:
            continue
        if receipt == RECEIPT_OK_JSON:
            states[place] = OK
        else:
            states[place] = FAILED
            failed[place] = bytes(_JSON.decode(receipt))
    retries = {place: retry for place, retry in places.retries.items() if states[place] == PENDING}
    return Places(states=bytes(states), receipts=failed, retries=retries)


def postponed(places: Places, retries: Sequence[Pending]) -> Places:
    """With these attempts and due times, for places that are pending."""
    states = places.states
    tried = {
        retry.place: (retry.attempts, retry.due_at)
        for retry in retries
        if 0 <= retry.place < len(states) and states[retry.place] == PENDING
    }
    return msgspec.structs.replace(places, retries={**places.retries, **tried}) if tried else places


def is_done(places: Places) -> bool:
    return PENDING not in places.states


def pending(places: Places) -> list[Pending]:
    """In order. A place that was never tried is due since 0.0."""
    found = []
    place = places.states.find(PENDING)
    while place >= 0:
        attempts, due_at = places.retries.get(place, (0, 0.0))
        found.append(Pending(place=place, attempts=attempts, due_at=due_at))
        place = places.states.find(PENDING, place + 1)
    return found


def next_due_at(places: Places, *, accepted_at: float) -> float | None:
    """When the earliest pending place is due; a place that was never tried, since the batch was accepted."""
    if is_done(places):
        return None
    if places.states.count(PENDING) > len(places.retries):
        return accepted_at
    return min(due_at for _, due_at in places.retries.values())


def receipt(places: Places, place: int) -> bytes | None:
    """Receipt JSON; None for a place that is pending, refused or not there."""
    state = places.states[place] if place < len(places.states) else REFUSED
    if state == OK:
        return RECEIPT_OK_JSON
    return places.receipts[place] if state == FAILED else None


def encoded_receipts(places: Places) -> str | None:
    raw = {place: msgspec.Raw(receipt) for place, receipt in places.receipts.items()}
    return msgspec.json.encode(raw).decode() if raw else None


def encoded_retries(places: Places) -> str | None:
    return msgspec.json.encode(places.retries).decode() if places.retries else None


def decoded(*, count: object, states: object, receipts: object = None, retries: object = None) -> Places:
    """From a store's columns. Raises BrokenRow when they don't fit each other.

    Who only reads receipts may leave out `retries`.
    """
    if not isinstance(states, bytes) or len(states) != count or states.translate(None, _STATES):
        raise BrokenRow(f"the states of its {count} places are no {count} bytes of 0 to {REFUSED}")
    if receipts is None and retries is None and FAILED not in states:
        return Places(states=states, receipts={}, retries={})  # as most rows are
    failed = {place: bytes(raw) for place, raw in _json(_RECEIPTS, receipts).items()}
    tried = _json(_RETRIES, retries)
    if len(failed) != states.count(FAILED) or not _are(FAILED, states, failed) or not _are(PENDING, states, tried):
        raise BrokenRow("its receipts or retries are not those of its places")
    return Places(states=states, receipts=failed, retries=tried)


def _json(decoder: msgspec.json.Decoder[dict[int, T]], column: object) -> dict[int, T]:
    """By place; NULL is none."""
    if column is None:
        return {}
    if not isinstance(column, str):
        raise BrokenRow("its receipts or retries are no text")
    try:
        return decoder.decode(column)
    except ValueError as error:
        raise BrokenRow(f"its receipts or retries are no JSON of theirs: {error}") from error


def _are(state: int, states: bytes, places: Collection[int]) -> bool:
    """Whether all `places` are there and in that state."""
    return all(0 <= place < len(states) and states[place] == state for place in places)
