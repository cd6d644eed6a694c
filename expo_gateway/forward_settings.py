"""The settings section `[forward]`: which push tokens go to Apple and Google while all others are captured."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from expo_gateway.errors import SettingsError
from expo_gateway.protocol.outwards import why_never_forwarded
from expo_gateway.protocol.push_token import redacted


class Forward(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sending some devices' messages on, and capturing everybody else's."""

    # Beside `allow`, since an empty variable in the environment counts as not set, and must not open the door.
    enabled: Annotated[
        bool | None,
        Meta(
            description="Capture what real projects send, but for the push tokens in `allow`. Unset: if `allow` is set."
        ),
    ] = None
    allow: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="The push tokens of phones that real projects reach while everything else is captured.",
            extra={"wanted": "a list of push tokens, in the environment with commas between them"},
        ),
    ] = None

    @property
    def allowed(self) -> frozenset[str] | None:
        """None: nothing is captured that a real project sends."""
        is_on = self.allow is not None if self.enabled is None else self.enabled
        return frozenset(self.allow or ()) if is_on else None


def check_allowed(push_tokens: Sequence[str] | None, *, name: str = "forward.allow") -> None:
    """SettingsError: one of them can never be a phone's."""
    for number, token in enumerate(push_tokens or ()):
        why = why_never_forwarded(token)
        if why:
            raise SettingsError(f"{name}[{number}]: got {redacted(token)}, {why}; wanted the push token of a phone")
