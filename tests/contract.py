"""The shipped OpenAPI document as a judge of HTTP traffic: which operation it is, and what it has against it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import expo_gateway

DOCUMENT = Path(expo_gateway.__file__).parent / "openapi.json"
CONTROL = "/_gateway/v1"
_RUN = re.compile(r"^/r/[A-Za-z0-9._-]{1,64}(?=/|$)")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    template: str
    method: str
    definition: Json


class Contract:
    """Complaints are sentences; an empty list is a match."""

    def __init__(self, document: Json | None = None) -> None:
        self.document: Json = document or json.loads(DOCUMENT.read_text(encoding="utf-8"))
        self._operations = list(self._read_operations())
        # Concrete paths first, as OpenAPI wants it.
        self._paths = sorted(self.document["paths"], key=lambda path: (path.count("{"), path))

    @property
    def operations(self) -> list[Operation]:
        return self._operations

    def operation(self, method: str, path: str) -> Operation | None:
        """The one that a request is for; a run's prefix and a query don't count."""
        plain = _RUN.sub("", path.partition("?")[0]) or "/"
        template = next((one for one in self._paths if _pattern(one).fullmatch(plain)), None)
        wanted = (template, method.lower())
        return next((one for one in self._operations if (one.template, one.method) == wanted), None)

    def about_request(self, method: str, path: str, body: object) -> list[str]:
        """`body`: the JSON value."""
        operation = self.operation(method, path)
        if operation is None:
            return [f"{method} {path} is not documented"]
        content = operation.definition.get("requestBody", {}).get("content", {})
        return self.about(content["application/json"]["schema"], body) if content else []

    def about_answer(self, method: str, path: str, *, status: int, media_type: str, text: str) -> list[str]:
        operation = self.operation(method, path)
        if operation is None:
            return [f"{method} {path} is not documented"]
        responses = operation.definition["responses"]
        keys = (str(status), f"{status // 100}XX", "default")
        response = next((responses[key] for key in keys if key in responses), None)
        if response is None:
            return [f"{method} {path} does not answer {status}"]
        content = self.resolved(response).get("content", {})
        if media_type not in content:
            return [f"{method} {path} does not answer {status} in {media_type}"]
        value = json.loads(text) if media_type == "application/json" else text
        return self.about(content[media_type]["schema"], value)

    def about(self, schema: Json, value: object) -> list[str]:
        whole = {**schema, "components": self.document["components"]}
        checker = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(value)]

    def schema(self, name: str) -> Json:
        found: Json = self.document["components"]["schemas"][name]
        return found

    def resolved(self, value: Json) -> Json:
        while "$ref" in value:
            target: Any = self.document
            for part in value["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            value = target
        return value

    def _read_operations(self) -> Iterator[Operation]:
        for template, item in self.document["paths"].items():
            for method in ("get", "put", "post", "delete", "patch"):
                if method in item:
                    yield Operation(template=template, method=method, definition=item[method])


def values_of(media: Mapping[str, Any]) -> list[object]:
    """The examples that stand beside a schema."""
    return [*([media["example"]] if "example" in media else []), *(e["value"] for e in _named(media))]


def _named(media: Mapping[str, Any]) -> list[Json]:
    return list(media.get("examples", {}).values())


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile("".join("[^/]+" if part[:1] == "{" else re.escape(part) for part in _parts(template)))


def _parts(template: str) -> list[str]:
    return re.split(r"(\{[^}]+\})", template)
