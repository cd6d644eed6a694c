"""What is wrong with a JSON body, in the words of zod 3, which exp.host validates with.

`"0.to": String must contain at most 100 character(s).` and `"projectId": Invalid uuid.` are recorded; the other
texts are zod's own for the same mistakes (assumed). A body is looked at here only after a faster decoder refused it.
"""

import math
import re
from collections.abc import Callable, Mapping

Issue = tuple[str, str]
"""(path, text). The path is dot-joined; "" is the body itself."""
Check = Callable[[object, str], Issue | None]

MISSING = object()
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def issue_in_messages(body: object) -> str | None:
    """The first issue of a /push/send body, or None. A bare message has no index in its paths."""
    if not isinstance(body, list):
        return written(_message(body, ""))
    issues = (_message(message, str(place)) for place, message in enumerate(body))
    return written(next((issue for issue in issues if issue), None))


def issue_in_object(body: object, fields: Mapping[str, Check]) -> str | None:
    """The first issue of a JSON object that has these fields, or None."""
    return written(an_object(fields)(body, ""))


def written(issue: Issue | None) -> str | None:
    if issue is None:
        return None
    path, text = issue
    return f'"{path}": {text}.' if path else f"{text}."


# -- checks ---------------------------------------------------------------------------------------------------------


def string(value: object, path: str) -> Issue | None:
    return _expected("string", value, path)


def boolean(value: object, path: str) -> Issue | None:
    return _expected("boolean", value, path)


def number(value: object, path: str) -> Issue | None:
    issue = _expected("number", value, path)
    if issue is None and isinstance(value, float) and not math.isfinite(value):
        return path, "Number must be finite"
    return issue


def uuid(value: object, path: str) -> Issue | None:
    return string(value, path) or (None if _UUID.fullmatch(str(value)) else (path, "Invalid uuid"))


def non_empty(value: object, path: str) -> Issue | None:
    return string(value, path) or (None if value else (path, "String must contain at least 1 character(s)"))


def json_object(value: object, path: str) -> Issue | None:
    return _expected("object", value, path)


def strings(value: object, path: str) -> Issue | None:
    if not isinstance(value, list):
        return _expected("array", value, path)
    return next((issue for place, item in enumerate(value) if (issue := string(item, f"{path}.{place}"))), None)


def one_of(*words: str) -> Check:
    wanted = " | ".join(f"'{word}'" for word in words)

    def check(value: object, path: str) -> Issue | None:
        if isinstance(value, str):
            return None if value in words else (path, f"Invalid enum value. Expected {wanted}, received '{value}'")
        return path, "Required" if value is MISSING else f"Expected {wanted}, received {_kind(value)}"

    return check


def an_object(fields: Mapping[str, Check]) -> Check:
    """An object with these fields, looked at in this order; other fields are ignored."""

    def check(value: object, path: str) -> Issue | None:
        if not isinstance(value, dict):
            return _expected("object", value, path)
        prefix = f"{path}." if path else ""
        issues = (field(value.get(name, MISSING), prefix + name) for name, field in fields.items())
        return next((issue for issue in issues if issue), None)

    return check


def optional(check: Check) -> Check:
    """The field may be missing or null."""
    return lambda value, path: None if value is MISSING or value is None else check(value, path)


def _expected(kind: str, value: object, path: str) -> Issue | None:
    if value is MISSING:
        return path, "Required"
    return None if _kind(value) == kind else (path, f"Expected {kind}, received {_kind(value)}")


def _kind(value: object) -> str:
    """zod's name for the type of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


# -- Expo's message -------------------------------------------------------------------------------------------------


def _to(value: object, path: str) -> Issue | None:
    if not isinstance(value, list):
        return string(value, path)
    if len(value) > 100:
        # Recorded so, although the value is an array: the message limits `to`, the text speaks of characters.
        return path, "String must contain at most 100 character(s)"
    return strings(value, path)


def _sound(value: object, path: str) -> Issue | None:
    return None if isinstance(value, str) else _critical_sound(value, path)


_critical_sound = an_object({"critical": optional(boolean), "name": optional(string), "volume": optional(number)})
_message = an_object(
    {
        "to": _to,
        "title": optional(string),
        "subtitle": optional(string),
        "body": optional(string),
        "data": optional(json_object),
        "ttl": optional(number),
        "expiration": optional(number),
        "priority": optional(one_of("default", "normal", "high")),
        "sound": optional(_sound),
        "badge": optional(number),
        "interruptionLevel": optional(one_of("active", "critical", "passive", "time-sensitive")),
        "channelId": optional(string),
        "icon": optional(string),
        "richContent": optional(an_object({"image": optional(string)})),
        "categoryId": optional(string),
        "mutableContent": optional(boolean),
        "collapseId": optional(string),
        "tag": optional(string),
        "threadId": optional(string),
        "targetContentId": optional(string),
        "relevanceScore": optional(number),
        "filterCriteria": optional(string),
        "contentAvailable": optional(boolean),
        "_contentAvailable": optional(boolean),
    }
)
