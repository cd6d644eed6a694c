"""What apps say of themselves to Home Assistant: registrations, and webhooks that change them. Pure.

Strings are taken as Home Assistant takes them: numbers and booleans become text. Unknown keys of a registration are
dropped, those of `app_data` are kept.

https://developers.home-assistant.io/docs/api/native-app-integration/setup
Source: homeassistant/components/mobile_app/{http_api,webhook,const}.py.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import orjson
from msgspec import Struct

# Our choices: no app says more of itself than that.
MAX_TEXT_CHARS: Final = 255
MAX_PUSH_TOKEN_CHARS: Final = 4096
MAX_PUSH_URL_CHARS: Final = 2048
MAX_APP_DATA_BYTES: Final = 16 * 1024
# Home Assistant's are of 64.
MAX_WEBHOOK_ID_CHARS: Final = 128

_MARKS: Final = re.compile(r"[^a-z0-9]+")
# What Unicode does not take apart and everybody writes in the same way.
_LETTERS: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "ae", "ø": "o", "Ø": "o", "œ": "oe", "Œ": "oe", "đ": "d", "Đ": "d", "ł": "l", "Ł": "l"}
)
_TRUE: Final = frozenset({"1", "true", "yes", "on", "enable"})
_FALSE: Final = frozenset({"0", "false", "no", "off", "disable"})


class Malformed(ValueError):
    """What is wrong, in words that may be answered: names of keys, and no values."""


class NewRegistration(Struct, frozen=True, kw_only=True):
    app_id: str
    app_name: str
    app_version: str
    device_name: str
    slug: str
    """Of `device_name`."""
    manufacturer: str
    model: str
    os_name: str
    os_version: str | None = None
    device_id: str | None = None
    app_data: Mapping[str, object] = {}


class ChangedRegistration(Struct, frozen=True, kw_only=True):
    """What `update_registration` says. What it leaves out stays as it is; `app_data` is replaced as a whole."""

    app_version: str
    device_name: str
    slug: str
    manufacturer: str
    model: str
    os_version: str | None = None
    app_data: Mapping[str, object] | None = None


class Webhook(Struct, frozen=True, kw_only=True):
    """What is posted to a webhook."""

    type: str
    body: object
    """Its `data`; {} without one."""


def slug_of(name: str) -> str:
    """`Bob's iPhone` -> `bob_s_iphone`, as Home Assistant's slugify does it for Latin letters.

    It spells other scripts out, too; here nothing is left of them, and of nothing but them "unknown".
    """
    plain = unicodedata.normalize("NFKD", name.translate(_LETTERS)).encode("ascii", "ignore").decode("ascii")
    return _MARKS.sub("_", plain.lower()).strip("_") or "unknown"


def read_registration(value: object) -> NewRegistration:
    """The JSON body of POST /api/mobile_app/registrations. Raises Malformed."""
    given = _object(value)
    _check_encryption(given)
    name = _text(given, "device_name")
    return NewRegistration(
        app_id=_text(given, "app_id"),
        app_name=_text(given, "app_name"),
        app_version=_text(given, "app_version"),
        device_name=name,
        slug=slug_of(name),
        manufacturer=_text(given, "manufacturer"),
        model=_text(given, "model"),
        os_name=_text(given, "os_name"),
        os_version=_text(given, "os_version") if "os_version" in given else None,
        device_id=_text(given, "device_id") if "device_id" in given else None,
        app_data=_app_data(given["app_data"]) if "app_data" in given else {},
    )


def read_webhook(value: object) -> Webhook:
    """Raises Malformed."""
    given = _object(value)
    _only(given, ("type", "data", "encrypted", "encrypted_data"))
    return Webhook(type=_text(given, "type"), body=given.get("data", {}))


_CHANGES: Final = ("app_data", "app_version", "device_name", "manufacturer", "model", "os_version")


def read_change(value: object) -> ChangedRegistration:
    """The `data` of an `update_registration`. Raises Malformed; also for a key that it does not know."""
    given = _object(value)
    _only(given, _CHANGES)
    name = _text(given, "device_name")
    return ChangedRegistration(
        app_version=_text(given, "app_version"),
        device_name=name,
        slug=slug_of(name),
        manufacturer=_text(given, "manufacturer"),
        model=_text(given, "model"),
        os_version=_text(given, "os_version") if "os_version" in given else None,
        app_data=_app_data(given["app_data"]) if "app_data" in given else None,
    )


# -- checks ----------------------------------------------------------------------------------------------------------


def text_of(value: object, name: str, *, max_chars: int = MAX_TEXT_CHARS) -> str:
    """As Home Assistant's `cv.string`: any scalar but null. Raises Malformed."""
    if value is None:
        raise Malformed(f"string value is None for dictionary value @ data['{name}']")
    if isinstance(value, (list, dict)):
        raise Malformed(f"value should be a string for dictionary value @ data['{name}']")
    text = str(value)
    if len(text) > max_chars:
        raise Malformed(f"got {len(text)} characters, wanted at most {max_chars} @ data['{name}']")
    return text


def size_bytes(value: object, name: str) -> int:
    """As JSON. Raises Malformed for what is nested so deeply that it can't be written again."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        raise Malformed(f"nested too deeply @ data['{name}']") from None


def _text(given: Mapping[str, object], name: str) -> str:
    if name not in given:
        raise Malformed(f"required key not provided @ data['{name}']")
    return text_of(given[name], name)


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Malformed("expected a dictionary")
    return value


def _only(given: Mapping[str, object], names: Sequence[str]) -> None:
    unknown = next((name for name in given if name not in names), None)
    if unknown is not None:
        raise Malformed(f"extra keys not allowed @ data['{unknown[:60]}']")


def _check_encryption(given: Mapping[str, object]) -> None:
    """We offer none; who asks for it in a way that can't be understood is told all the same."""
    _boolean(given.get("supports_encryption", False), "supports_encryption")


def _boolean(value: object, name: str) -> bool:
    """As Home Assistant's `cv.boolean`."""
    if isinstance(value, (bool, int, float)):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _TRUE | _FALSE:
        raise Malformed(f"invalid boolean value for dictionary value @ data['{name}']")
    return word in _TRUE


def _app_data(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Malformed("expected a dictionary for dictionary value @ data['app_data']")
    if size_bytes(value, "app_data") > MAX_APP_DATA_BYTES:
        raise Malformed(f"got more than {MAX_APP_DATA_BYTES} bytes @ data['app_data']")
    checked: dict[str, object] = dict(value)
    if ("push_token" in value) != ("push_url" in value):
        raise Malformed("some but not all values in the same group of inclusion 'push_cloud' @ data['app_data']")
    if "push_token" in value:
        checked["push_token"] = text_of(value["push_token"], "push_token", max_chars=MAX_PUSH_TOKEN_CHARS)
        checked["push_url"] = _url(value["push_url"])
    if "push_websocket_channel" in value:
        checked["push_websocket_channel"] = _boolean(value["push_websocket_channel"], "push_websocket_channel")
    return checked


def _url(value: object) -> str:
    """An absolute URL of http or https; whether it may be posted to is asked when it is."""
    url = text_of(value, "push_url", max_chars=MAX_PUSH_URL_CHARS)
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise Malformed("invalid url for dictionary value @ data['push_url']")
    return url
