"""What may leave for Apple and Google while everything else is captured: nothing that was made up.

Neither Apple nor Google promises a form of their tokens. These are the forms that both have had for years, and what has
another one is not sent: a provider counts pushes to tokens that do not exist against the sender.
Source: assumed, from tokens that apps print and from Google's samples.
"""

import re
from typing import Final

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.device import Device, Platform, ProjectKind, virtual_device
from expo_gateway.protocol.magic import magic_of, magic_of_device
from expo_gateway.protocol.push_token import is_well_formed

_REAL_FORMS: Final = {
    Platform.IOS: re.compile(r"(?:[0-9a-f]{2}){32,100}"),
    Platform.ANDROID: re.compile(r"[A-Za-z0-9_-]{22}:APA91[A-Za-z0-9_-]{100,300}"),
}
# Our choice: 64 random hex digits have fewer than one time in ten millions, "a1" * 32 always.
_LEAST_DIFFERENT_CHARS: Final = 9


def why_never_forwarded(push_token: str) -> str:
    """Why a push token can't stand in `forward.allow`; "" when it can."""
    try:
        if magic_of(push_token) is not None:
            return "a magic push token, which is nobody's"
    except RequestRefused:
        return "a magic push token, which is nobody's"
    return "" if is_well_formed(push_token) else "no push token as Expo makes them"


def why_kept_in(device: Device) -> str:
    """Why nothing is sent to the device although its push token is named; "" when it is sent."""
    if device.virtual or _is_derived(device) or magic_of_device(device.device_token) is not None:
        return "it belongs to a virtual device"
    if device.project.kind is not ProjectKind.REAL:
        return f"its project {device.project.full_name} is emulated"
    token = device.device_token
    if _REAL_FORMS[device.platform].fullmatch(token) and len(set(token)) >= _LEAST_DIFFERENT_CHARS:
        return ""
    provider = "Apple" if device.platform is Platform.IOS else "Google"
    return f"its device token has not the form of {provider}'s"


def _is_derived(device: Device) -> bool:
    """Somebody registered the device token that a virtual device had."""
    made_up = virtual_device(device.push_token, project=device.project, platform=device.platform, now=0.0)
    return made_up.device_token == device.device_token
