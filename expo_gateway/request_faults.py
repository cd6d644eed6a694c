"""What a fault does to a request at a door of ours: a forced refusal, a delay, a cut connection.

Only the types: who takes a fault is above, and the doors perform it. Their JSON is that of every fault, which
`emulators/fault_json.py` documents.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

# Our choice: a day, as long as Expo keeps receipts.
MAX_RETRY_AFTER_S = 86_400


class RequestError(Struct, frozen=True, kw_only=True, tag_field="type", tag="expo", forbid_unknown_fields=True):
    """The whole request is refused, and nothing of it is accepted."""

    status: Annotated[int, Meta(ge=400, le=599)]
    code: str | None = None
    """Of the error in Expo's JSON; None: the usual one of the status."""
    message: str | None = None
    text: str | None = None
    """A plain text body instead of JSON, as exp.host's front end has at 503."""
    retry_after_s: Annotated[int, Meta(ge=0, le=MAX_RETRY_AFTER_S)] | None = None


class RequestDelay(Struct, frozen=True, kw_only=True, tag_field="type", tag="slow", forbid_unknown_fields=True):
    """The ordinary answer, but `delay_s` later."""

    delay_s: Annotated[float, Meta(ge=0, le=3600)]


class RequestCut(Struct, frozen=True, kw_only=True, tag_field="type", tag="cut", forbid_unknown_fields=True):
    """The connection ends without an answer: before anything was accepted, or after all of it was."""

    when: Literal["before", "after"] = "before"


RequestAct = RequestError | RequestDelay | RequestCut
