"""The lines of docs/testing.md that one can paste: each is a request that the OpenAPI document has."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract import Contract

PAGE = Path(__file__).parent.parent / "docs" / "testing.md"
CONTRACT = Contract()
URL = "http://127.0.0.1:8080"
VALUES = {"$url": URL, "$api": f"{URL}/_gateway/v1", "$token": "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"}
OF_WORD = {"-X": "method", "--json": "json", "-d": "query", "--data-urlencode": "query", "-o": "file"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curl line, read as curl reads it."""

    method: str
    path: str
    query: tuple[str, ...]
    """The names of its parameters."""
    body: Any


def curl_lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("curl ")]


def read(line: str) -> Line:
    for name, value in VALUES.items():
        line = line.replace(f"'{name}'", value).replace(name, value)
    words = iter(shlex.split(line)[1:])
    given: dict[str, list[str]] = {}
    for word in words:
        kind, value = (OF_WORD[word], next(words)) if word in OF_WORD else ("url", word)
        if word not in ("-G", "-g"):
            given.setdefault(kind, []).append(value)
    path, _, query = given["url"][0].removeprefix(URL).partition("?")
    parameters = [*given.get("query", []), *filter(None, query.split("&"))]
    body = given.get("json", [None])[0]
    return Line(
        method=given.get("method", ["POST" if body else "GET"])[0],
        path=path,
        query=tuple(one.partition("=")[0] for one in parameters),
        body=json.loads(body) if body and not body.startswith("@") else None,
    )


@pytest.mark.parametrize("text", curl_lines())
def test_a_line_is_a_request_that_is_documented(text: str) -> None:
    line = read(text)
    operation = CONTRACT.operation(line.method, line.path)

    assert operation is not None
    assert line.body is None or CONTRACT.about_request(line.method, line.path, line.body) == []
    known = {CONTRACT.resolved(one)["name"] for one in operation.definition.get("parameters", [])}
    assert {"data" if name.startswith("data.") else name for name in line.query} <= known


def test_the_page_shows_every_part_of_the_control_api() -> None:
    shown = {operation.template for line in curl_lines() if (operation := CONTRACT.operation(*of(read(line))))}
    parts = {template.split("/")[3] for template in CONTRACT.document["paths"] if template.startswith("/_gateway")}

    # What speaks for itself.
    assert parts - {template.split("/")[3] for template in shown if template.startswith("/_gateway")} == {
        "openapi.json",
        "counts",
        "projects",
        "reset",
    }


def of(line: Line) -> tuple[str, str]:
    return line.method, line.path


def test_the_page_names_every_key_and_act_of_a_fault() -> None:
    page = PAGE.read_text(encoding="utf-8").split("## Make it fail")[1].split("\n## ")[0]
    names = [*CONTRACT.schema("NewFaultMatch")["properties"], *CONTRACT.schema("FaultAct")["discriminator"]["mapping"]]

    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_page_names_every_state_and_filter_of_deliveries() -> None:
    page = PAGE.read_text(encoding="utf-8")
    listed = CONTRACT.operation("GET", "/_gateway/v1/deliveries")
    assert listed is not None
    filters = {CONTRACT.resolved(one)["name"] for one in listed.definition["parameters"]} - {"limit", "data"}

    assert [name for name in CONTRACT.schema("DeliveryState")["enum"] if f"| `{name}` |" not in page] == []
    assert [name for name in filters if f"`{name}`" not in page] == []
